"""aiolimiter: a leaky bucket per second and one per minute, acquired one after the other."""

from aiolimiter import AsyncLimiter

from benchmarks.limiters import SleepAfter429

LABEL = "aiolimiter (10, 1) + (100, 60)"


class _LeakyBuckets(SleepAfter429):
    def __init__(self) -> None:
        self._second, self._minute = AsyncLimiter(10, 1), AsyncLimiter(100, 60)

    async def acquire(self) -> None:
        await self._second.acquire()
        await self._minute.acquire()


def make() -> _LeakyBuckets:
    """Two empty buckets, on the clock of the running loop."""
    return _LeakyBuckets()
