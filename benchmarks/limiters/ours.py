"""The package's rate limiter."""

from amili_async._wire.rate_limiter import SlidingWindowLimiter
from amili_async.policies import Priority, RateLimit

LABEL = "amili_async"


class _BulkLimiter:
    """The rate limiter as the pages of a stream use it: with bulk priority."""

    def __init__(self, per_second: int, per_minute: int) -> None:
        self._limiter = SlidingWindowLimiter(RateLimit(per_second=per_second, per_minute=per_minute))
        self.on_response = self._limiter.on_response
        self.on_rate_limited = self._limiter.on_rate_limited

    async def acquire(self) -> None:
        await self._limiter.acquire(Priority.BULK)


def make(per_second: int = 10, per_minute: int = 100) -> _BulkLimiter:
    """Empty windows, on the clock of the running loop."""
    return _BulkLimiter(per_second, per_minute)
