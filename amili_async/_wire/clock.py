"""The time and how to wait, in one replaceable place, so that a test can advance time instead of waiting."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A scheduled callback."""

    def cancel(self) -> None:
        """Drop the callback."""


class Clock(Protocol):
    """All that the client knows of time, except the timeout of an attempt, which aiohttp measures."""

    def now(self) -> float:
        """Seconds on a monotonic clock; only differences have a meaning."""

    def wall(self) -> float:
        """Seconds since 1970, for comparisons with a server's dates."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Schedule *callback*."""


class SystemClock:
    """The running event loop's clock and the system's."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, callback)
