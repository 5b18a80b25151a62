"""When this process exchanges messages with Redis: at a time that is set, one exchange after the other.

Invariant: there is no task but for the exchange in flight, and no timer once nothing is to be exchanged.
"""

import asyncio
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any

from amili_async._wire.tasks import finish_uncancelled, not_picklable


@not_picklable
class ExchangeTimer:
    """Runs *exchange* when it is due, if *is_needed* then."""

    def __init__(self, exchange: Callable[[], Coroutine[Any, Any, None]], is_needed: Callable[[], bool]) -> None:
        self._exchange, self._is_needed = exchange, is_needed
        self._due_at = self._timer_at = inf
        self._timer: asyncio.Handle | None = None
        self._is_running = self._is_closed = False
        self._task: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no exchange runs or is due."""
        return self._timer is None and not self._is_running

    def due_in(self, seconds: float) -> None:
        """Run the next exchange so many seconds from now, unless it is due earlier."""
        self._due_at = min(self._due_at, asyncio.get_running_loop().time() + seconds)
        self._set()

    async def aclose(self) -> None:
        """Run what is needed a last time, if no earlier one hangs; later nothing runs."""
        self._is_closed = True
        self._cancel()
        if self._task is not None:
            await finish_uncancelled(self._task)
        if self._is_needed():
            self._start()
            if self._task is not None:
                await finish_uncancelled(self._task)

    def _set(self) -> None:
        if self._is_running or self._is_closed or self._due_at >= self._timer_at:
            return
        self._cancel()
        loop = asyncio.get_running_loop()
        self._timer_at = self._due_at
        # Due at once: after the calls that start in the same step of the loop, so that one exchange serves them all.
        is_due = self._due_at <= loop.time()
        self._timer = loop.call_soon(self._on_due) if is_due else loop.call_at(self._due_at, self._on_due)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, inf

    def _on_due(self) -> None:
        self._timer, self._timer_at = None, inf
        if self._is_needed():
            self._start()
        else:
            self._due_at = inf

    def _start(self) -> None:
        self._is_running, self._due_at = True, inf
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._exchange()
        finally:
            self._is_running = False
            if self._due_at < inf:
                self._set()
