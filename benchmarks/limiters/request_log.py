"""pyrate-limiter: a log of requests per window, counted when a request is sent."""

import asyncio

from pyrate_limiter import AbstractClock, InMemoryBucket, Limiter, Rate, SingleBucketFactory

from benchmarks.limiters import SleepAfter429

LABEL = "pyrate-limiter, 10/s + 100/min"


class _LoopClock(AbstractClock):
    def now(self) -> int:
        """Milliseconds on the clock of the running loop."""
        return int(asyncio.get_running_loop().time() * 1000)


class _LoopBucket(InMemoryBucket):
    _clock = _LoopClock()


class _RequestLog(SleepAfter429):
    def __init__(self, per_second: int, per_minute: int) -> None:
        bucket = _LoopBucket([Rate(per_second, 1000), Rate(per_minute, 60_000)])
        # Without its background thread, which expires entries by the system's clock instead of the loop's.
        self._limiter = Limiter(SingleBucketFactory(bucket, schedule_leak=False))

    async def acquire(self) -> None:
        await self._limiter.try_acquire_async()


def make(per_second: int = 10, per_minute: int = 100) -> _RequestLog:
    """An empty log, on the clock of the running loop."""
    return _RequestLog(per_second, per_minute)
