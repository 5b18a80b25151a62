"""What the processes that use one API key share, through Redis or Valkey: `pip install "amili-async[redis]"`."""

from amili_async.shared.rate_limiter import RedisRateLimiter
from amili_async.shared.status import RateLimiterStatus

__all__ = ["RateLimiterStatus", "RedisRateLimiter"]
