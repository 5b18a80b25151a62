"""Clocks for tests: one that the test advances, one that never makes a caller wait, and loops whose time jumps."""

import asyncio
import heapq
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from amili_async import AmiliClient
from amili_async._wire.clock import Clock

GUARD = 120.0
"""Seconds after which an operation counts as hanging; none needs a hundredth of them, on a busy machine neither."""


class _Timer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class MovedClock:
    """Time does not pass until the test advances it."""

    def __init__(self) -> None:
        self._now = 1000.0
        self.epoch = time.time() - self._now
        self._timers: list[tuple[float, int, _Timer]] = []
        self._order = count()

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self.epoch + self._now

    @property
    def timers(self) -> list[Any]:
        """The timers that are set and not cancelled."""
        return [timer for *_, timer in self._timers if timer.callback is not None]

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self.call_later(seconds, lambda: None if woken.done() else woken.set_result(None))
        await woken

    def call_later(self, seconds: float, callback: Callable[[], None]) -> _Timer:
        timer = _Timer(callback)
        heapq.heappush(self._timers, (self._now + seconds, next(self._order), timer))
        return timer

    def skip(self, seconds: float) -> None:
        """Move on without running any timer, as a machine does that was suspended."""
        self._now += seconds

    async def move(self, seconds: float) -> None:
        """Move on, and at each timer before that moment let the tasks that it wakes run."""
        end = self._now + seconds
        await settle()
        while self._timers and self._timers[0][0] <= end:
            self._now, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                timer.callback()
            await settle()
        self._now = end


class HastyClock(MovedClock):
    """A sleeper wakes after a millisecond of real time; for it, all of its time has passed."""

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

    def skip(self, seconds: float) -> None:
        """Move on without running any timer, as a machine does that was suspended."""
        self._jumped += seconds

    def _run_once(self) -> None:
        scheduled: Any = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:  # noqa: SLF001 - asyncio counts cancelled timers
            heapq.heappop(scheduled)._scheduled = False  # noqa: SLF001 - and marks those it has removed
            self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
        if not self._ready and scheduled:  # type: ignore[attr-defined]
            self._jumped = max(self._jumped, scheduled[0]._when)  # noqa: SLF001 - a handle shows its time only so
        super()._run_once()  # type: ignore[misc]


def is_python_loop() -> bool:
    """Whether the loop that runs is asyncio's own, whose time `PassingTime` can let pass."""
    return isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)


class PassingTime:
    """Lets a loop's time pass by its iterations, so that a timeout expires without real waiting.

    Client and server share the loop, and an exchange takes some thirty iterations. A timeout of five seconds takes five
    hundred: it expires because the server is silent, never because the machine is busy.
    """

    ROUNDS = 100
    """Iterations of the loop for each second."""

    def __init__(self) -> None:
        self._passing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; a second start does nothing, nor does one under uvloop, whose timers are not Python's."""
        if self._passing is None and is_python_loop():
            self._passing = asyncio.get_running_loop().create_task(self._pass())

    def stop(self) -> None:
        """Time passes at its real pace from here on."""
        if self._passing is not None:
            self._passing.cancel()
            self._passing = None

    async def _pass(self) -> None:
        loop, skipped = asyncio.get_running_loop(), 0.0
        real_time = loop.time
        loop.time = lambda: real_time() + skipped  # type: ignore[method-assign]
        while True:
            await settle(self.ROUNDS)
            skipped += 1.0


def on_clock(clock: Clock) -> type[AmiliClient]:
    """`AmiliClient` with another clock than the system's."""

    class ClientOnClock(AmiliClient):
        _clock = clock

    return ClientOnClock


async def settle(rounds: int = 10) -> None:
    """Let every task run that can run without time passing."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def happens(condition: Callable[[], object], *, within: float = GUARD) -> None:
    """Return once *condition* holds, which other tasks or the network bring about; fail after *within* real seconds.

    What this loop brings about is seen in the iteration that follows; another process is left the processor.
    """
    give_up = time.monotonic() + within
    for iteration in count():
        if condition():
            return
        assert time.monotonic() < give_up, "the condition never held"
        await asyncio.sleep(0 if iteration < 1000 else 0.002)
