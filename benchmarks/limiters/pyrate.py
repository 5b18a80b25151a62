"""pyrate-limiter: a log of both windows, filled when a request is sent."""

import asyncio

from pyrate_limiter import AbstractClock, InMemoryBucket, Limiter, Rate, SingleBucketFactory

from benchmarks.limiters import Unpaused

LABEL = "pyrate-limiter, 10/s + 100/min"


class _LoopClock(AbstractClock):
    def now(self) -> int:
        """Milliseconds of the running loop."""
        return int(asyncio.get_running_loop().time() * 1000)


class _LoopBucket(InMemoryBucket):
    _clock = _LoopClock()


class _Pyrate(Unpaused):
    def __init__(self, per_second: int, per_minute: int) -> None:
        bucket = _LoopBucket([Rate(per_second, 1000), Rate(per_minute, 60_000)])
        # no thread of its own that forgets what is old: it would follow another clock
        self._limiter = Limiter(SingleBucketFactory(bucket, schedule_leak=False))

    async def acquire(self) -> None:
        await self._limiter.try_acquire_async()


def make(per_second: int = 10, per_minute: int = 100) -> _Pyrate:
    """On the clock of the running loop."""
    return _Pyrate(per_second, per_minute)
