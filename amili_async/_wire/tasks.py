"""What a cancellation must not do: pass for one's own, keep alive what is to end, or leave work to nobody."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from msgspec import Struct


class Cancellable(Protocol):
    """Something under way that the client ends when it closes."""

    def end(self) -> Sequence[asyncio.Task[Any]]:
        """Cancel it; returns the tasks that it consists of until they have ended."""


def is_being_cancelled() -> bool:
    """Whether somebody asked the running task to end, rather than the task that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def cancel_all(walks: Iterable[Cancellable]) -> None:
    """Cancel all of them, and only then wait until they have ended: a cancellation meanwhile spares none.

    The running task may be one of them, as where a token source closes the client: it cannot wait for itself.
    """
    ending = {task for walk in tuple(walks) for task in walk.end()} - {asyncio.current_task()}
    await asyncio.gather(*ending, return_exceptions=True)


async def finish_uncancelled(work: asyncio.Future[Any]) -> None:
    """Wait until *work* has ended, whatever comes of it; a cancellation waits too, and is raised then."""
    cancellation: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait((work,))
        except asyncio.CancelledError as error:
            cancellation = error
    if not work.cancelled():
        work.exception()  # looked at, so that asyncio does not report it as forgotten
    if cancellation is not None:
        try:
            raise cancellation
        finally:
            del cancellation  # its traceback holds this frame: what the work brought would live on


T = TypeVar("T")


class Redacted(Struct, Generic[T], frozen=True):
    """Something that no text shows."""

    content: T
    """To be taken out by whoever waits for the task."""

    def __repr__(self) -> str:
        return f"Redacted({type(self.content).__name__})"

    __rich_repr__ = None  # type: ignore[assignment]  # rich would show what repr hides


P = ParamSpec("P")


async def in_thread(work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Run blocking *work* beside the event loop; a cancellation waits for it: what it writes to is closed next.

    What it opens would be lost with its result: it leaves that to somebody who outlives the wait, such as an ExitStack.
    """
    # Not to_thread: a task around each page would cost as much as the page.
    working = asyncio.get_running_loop().run_in_executor(None, partial(work, *arguments, **options))
    await finish_uncancelled(working)
    return working.result()
