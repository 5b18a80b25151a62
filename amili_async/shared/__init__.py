"""What the processes that use one API key share, through Redis or Valkey: `pip install "amili-async[redis]"`."""

from amili_async.shared.claims import PostgresClaims, RedisClaims
from amili_async.shared.rate_limiter import RedisRateLimiter
from amili_async.shared.status import RateLimiterStatus
from amili_async.shared.tokens import RedisTokens

__all__ = ["PostgresClaims", "RateLimiterStatus", "RedisClaims", "RedisRateLimiter", "RedisTokens"]
