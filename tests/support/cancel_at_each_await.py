"""Cancel a call at its nth suspension, or that of a task it started.

A wrapping coroutine runs the call's task and all tasks that it starts, and sees each suspension. The tasks of the
sandbox are not wrapped, although they share the loop.
"""

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from enum import StrEnum
from typing import Any

_stepper: ContextVar["Stepper | None"] = ContextVar("_stepper", default=None)


class Moment(StrEnum):
    """The moment of the cancellation."""

    WAITING = "while waiting"
    WITH_RESULT = "with the result"
    TWICE = "twice"


class Stepper:
    """One run of a call, cancelled at one suspension."""

    def __init__(self, *, at: int, moment: Moment = Moment.WAITING) -> None:
        self._at = at
        self._moment = moment
        self._steps = 0
        self._task: asyncio.Task[Any] | None = None
        self.was_cancelled = False
        """Whether the call was still running when it was cancelled."""

    @property
    def was_reached(self) -> bool:
        """Whether the call was suspended that many times."""
        return self._steps >= self._at

    async def run(self, call: Coroutine[Any, Any, Any]) -> BaseException | None:
        """Run the call in its own task and return what it raised."""
        asyncio.get_running_loop().set_task_factory(_make_task)
        outer = _stepper.set(self)
        self._task = asyncio.create_task(call)
        _stepper.reset(outer)
        await asyncio.wait((self._task,))
        task, self._task = self._task, None  # a reference to the task would keep the objects of the call alive
        return asyncio.CancelledError() if task.cancelled() else task.exception()

    def note(self, awaited: Any, task: asyncio.Task[Any] | None) -> None:
        """Count a suspension of one of the call's tasks."""
        if self._task is None:
            return
        self._steps += 1
        if self._steps == self._at:
            if self._moment is Moment.WITH_RESULT and asyncio.isfuture(awaited):
                awaited.add_done_callback(lambda _: self._cancel())  # runs before the callback that wakes the task
            else:
                asyncio.get_running_loop().call_soon(self._cancel)
        elif self._moment is Moment.TWICE and self.was_cancelled and task is self._task:
            self._moment = Moment.WAITING
            asyncio.get_running_loop().call_soon(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self.was_cancelled |= self._task.cancel()


class _Steps(Coroutine[Any, Any, Any]):
    """A coroutine that reports each suspension."""

    def __init__(self, inner: Coroutine[Any, Any, Any], stepper: Stepper) -> None:
        self._inner = inner
        self._stepper = stepper
        self.__qualname__ = getattr(inner, "__qualname__", "a generator that is being closed")

    def send(self, value: Any) -> Any:
        return self._note(self._inner.send(value))

    def throw(self, *error: Any) -> Any:
        try:
            return self._note(self._inner.throw(*error))
        finally:
            del error  # its traceback holds this frame, which would keep the objects of the call alive

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()

    def _note(self, awaited: Any) -> Any:
        self._stepper.note(awaited, asyncio.current_task())
        return awaited


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
    stepper = _stepper.get()
    return asyncio.Task(coroutine if stepper is None else _Steps(coroutine, stepper), loop=loop, **options)
