"""Clocks for tests: one that the test moves, one that jumps to whatever is waited for, and a loop of that kind."""

import asyncio
import heapq
import time
from collections.abc import Callable
from itertools import count
from typing import Any


class _Timer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class MovedClock:
    """Time stands still until the test moves it."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._started = time.time() - self._now
        self._timers: list[tuple[float, int, _Timer]] = []
        self._order = count()

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._started + self._now

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self.call_later(seconds, lambda: None if woken.done() else woken.set_result(None))
        await woken

    def call_later(self, seconds: float, callback: Callable[[], None]) -> _Timer:
        timer = _Timer(callback)
        heapq.heappush(self._timers, (self._now + seconds, next(self._order), timer))
        return timer

    async def move(self, seconds: float) -> None:
        """Move on, stopping at each timer on the way to let whoever it wakes run."""
        end = self._now + seconds
        await settle()
        while self._timers and self._timers[0][0] <= end:
            self._now, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                timer.callback()
            await settle()
        self._now = end


class HastyClock(MovedClock):
    """Whoever waits is woken a millisecond later, and by then it is as late as was to be waited for."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Any:
        due = self._now + seconds

        def wake() -> None:
            self._now = max(self._now, due)
            callback()

        return asyncio.get_running_loop().call_later(0.001, wake)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer instead of waiting for it; for tests without sockets."""

    _jumped = 0.0

    def time(self) -> float:
        return self._jumped

    def _run_once(self) -> None:
        scheduled: Any = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
            self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
        if not self._ready and scheduled:  # type: ignore[attr-defined]
            self._jumped = max(self._jumped, scheduled[0]._when)
        super()._run_once()  # type: ignore[misc]


async def settle(rounds: int = 10) -> None:
    """Let everything run that can run now."""
    for _ in range(rounds):
        await asyncio.sleep(0)
