"""aiolimiter: two leaky buckets, one inside the other."""

from aiolimiter import AsyncLimiter

from benchmarks.limiters import Unpaused

LABEL = "aiolimiter (10, 1) + (100, 60)"


class _Leaky(Unpaused):
    def __init__(self) -> None:
        self._second, self._minute = AsyncLimiter(10, 1), AsyncLimiter(100, 60)

    async def acquire(self) -> None:
        await self._second.acquire()
        await self._minute.acquire()


def make() -> _Leaky:
    """It follows the time of the running loop by itself."""
    return _Leaky()
