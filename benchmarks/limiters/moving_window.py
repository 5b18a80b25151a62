"""limits: its moving window, asked for both windows; not simulated, since it reads `time.time` wherever it stands."""

from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from benchmarks.limiters import Unpaused

LABEL = "limits, moving window"


class _MovingWindow(Unpaused):
    def __init__(self, per_second: int, per_minute: int) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._second, self._minute = RateLimitItemPerSecond(per_second), RateLimitItemPerMinute(per_minute)

    async def acquire(self) -> None:
        """One attempt: waiting is left to the caller."""
        if not (await self._limiter.hit(self._second) and await self._limiter.hit(self._minute)):
            raise BlockingIOError("no turn is free")


def make(per_second: int = 10, per_minute: int = 100) -> _MovingWindow:
    """Fresh, in memory."""
    return _MovingWindow(per_second, per_minute)
