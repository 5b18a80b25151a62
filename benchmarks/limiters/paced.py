"""One request after the other, 99 a minute, never a burst."""

import asyncio

from benchmarks.limiters import Unpaused

LABEL = "paced, 99 a minute"


class _Paced(Unpaused):
    def __init__(self) -> None:
        self._next_at = 0.0

    async def acquire(self) -> None:
        now = asyncio.get_running_loop().time()
        self._next_at = max(self._next_at, now) + 60.0 / 99
        await asyncio.sleep(self._next_at - 60.0 / 99 - now)


def make() -> _Paced:
    """The first one goes at once."""
    return _Paced()
