"""Task helpers: cancel a group of tasks, finish work that must not be interrupted, keep contents out of a task's repr.

Invariant: a cancellation is never swallowed. It is raised at once, or, where work must be finished first, right after.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from msgspec import Struct

P = ParamSpec("P")
S = TypeVar("S", bound=Struct)
T = TypeVar("T")


class Cancellable(Protocol):
    """Something running that the client cancels when it closes."""

    def cancel(self) -> Sequence[asyncio.Task[Any]]:
        """Cancel it and return its tasks that have not finished."""


def is_being_cancelled() -> bool:
    """Whether the running task itself is being cancelled, as opposed to a task or future that it awaits.

    Both arrive as the same `CancelledError`; only `Task.cancelling()` distinguishes them.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def cancel_all(running: Iterable[Cancellable]) -> None:
    """Cancel all of *running*, then wait until they have finished; all are cancelled even if this is cancelled."""
    ending = {task for each in tuple(running) for task in each.cancel()}
    # The running task can be one of them, if a token source closes the client: a task that awaits itself raises.
    ending -= {asyncio.current_task()}
    await asyncio.gather(*ending, return_exceptions=True)


async def finish_uncancelled(work: asyncio.Future[Any]) -> None:
    """Wait until *work* is done, without raising its error; a cancellation is raised only then."""
    cancellation: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait((work,))  # unlike `await work`, it does not pass the cancellation on to the work
        except asyncio.CancelledError as error:
            cancellation = error
    if not work.cancelled():
        work.exception()  # otherwise asyncio logs "exception was never retrieved"
    if cancellation is not None:
        try:
            raise cancellation
        finally:
            # Its traceback refers to this frame, so frame, error and result would form a cycle that keeps the result
            # alive until the garbage collector runs.
            del cancellation


async def in_thread(work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Run blocking *work* in a thread; a cancellation waits for it, since the caller then closes what it writes to.

    A cancellation also loses the result: *work* registers what it opens with an owner that outlives the call, such as
    an `ExitStack`.
    """
    # Not `asyncio.to_thread`, a coroutine: it would need a task to outlive a cancellation, and a task for each page
    # costs as much CPU as the page.
    working = asyncio.get_running_loop().run_in_executor(None, partial(work, *arguments, **options))
    await finish_uncancelled(working)
    return working.result()


def hide_contents(kind: type[S]) -> type[S]:
    """Class decorator for a struct with secret or personal contents: neither `repr` nor rich shows them.

    A `__repr__` that the class itself defines stays; without one only the name of the class is shown.
    """
    if "__repr__" not in vars(kind):
        kind.__repr__ = lambda self: f"{type(self).__name__}(<hidden>)"  # type: ignore[method-assign]
    # rich prefers `__rich_repr__`, which msgspec defines for each struct, to `__repr__`, and would print all fields.
    kind.__rich_repr__ = None  # type: ignore[assignment, method-assign]
    return kind


@hide_contents
class Redacted(Struct, Generic[T], frozen=True):
    """A task's result that may hold records: asyncio puts the repr of a result into the repr of its task."""

    content: T
    """The result itself."""
