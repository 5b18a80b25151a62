"""limits: a moving window per period; not simulated, since it reads `time.time` instead of the loop's clock."""

from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from benchmarks.limiters import SleepAfter429

LABEL = "limits, moving window"


class _MovingWindow(SleepAfter429):
    def __init__(self, per_second: int, per_minute: int) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._second, self._minute = RateLimitItemPerSecond(per_second), RateLimitItemPerMinute(per_minute)

    async def acquire(self) -> None:
        """Check both windows once: the library leaves waiting to its caller."""
        if not (await self._limiter.hit(self._second) and await self._limiter.hit(self._minute)):
            raise BlockingIOError("both windows must have room: this limiter does not wait")


def make(per_second: int = 10, per_minute: int = 100) -> _MovingWindow:
    """Empty windows, in memory."""
    return _MovingWindow(per_second, per_minute)
