"""The package's own budget."""

from amili_async._wire.rate_limiter import SlidingWindowLimiter
from amili_async.policies import Priority, RateLimit

LABEL = "amili_async"


class _Bulk:
    """The budget as the pages of a stream use it."""

    def __init__(self, per_second: int, per_minute: int) -> None:
        self._rate_limiter = SlidingWindowLimiter(RateLimit(per_second=per_second, per_minute=per_minute))
        self.on_response = self._rate_limiter.on_response
        self.on_rate_limited = self._rate_limiter.on_rate_limited

    async def acquire(self) -> None:
        await self._rate_limiter.acquire(Priority.BULK)


def make(per_second: int = 10, per_minute: int = 100) -> _Bulk:
    """On the clock of the running loop."""
    return _Bulk(per_second, per_minute)
