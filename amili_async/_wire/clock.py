"""What time it is and how to wait, in one replaceable place, so that a test can move time instead of waiting."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A callback that has not been made yet."""

    def cancel(self) -> None:
        """See to it that it never will be."""


class Clock(Protocol):
    """All that the client knows of time, but for the timeout of one try, which belongs to the socket."""

    def now(self) -> float:
        """Seconds on a clock that never jumps; only differences mean anything."""

    def wall(self) -> float:
        """Seconds since 1970, for what is compared with a server's dates."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back after that long."""


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
