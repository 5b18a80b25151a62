"""Evenly spaced requests, 99 per minute, without bursts."""

import asyncio

from benchmarks.limiters import SleepAfter429

LABEL = "evenly spaced, 99 per minute"
INTERVAL = 60.0 / 99
"""Seconds between requests."""


class _EvenlySpaced(SleepAfter429):
    def __init__(self) -> None:
        self._next_at = 0.0

    async def acquire(self) -> None:
        now = asyncio.get_running_loop().time()
        self._next_at = max(self._next_at, now) + INTERVAL
        await asyncio.sleep(self._next_at - INTERVAL - now)


def make() -> _EvenlySpaced:
    """The first request is sent at once."""
    return _EvenlySpaced()
