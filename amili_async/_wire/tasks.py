"""Task helpers: end calls and tasks, finish work that must not be interrupted, keep contents out of a task's repr.

Invariant: a cancellation is never swallowed. It is raised at once, or, where work must be finished first, right after.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Generic, Never, ParamSpec, Protocol, Self, SupportsIndex, TypeVar

from msgspec import Struct

from amili_async.errors import ClientClosed, ConfigurationError

P = ParamSpec("P")
S = TypeVar("S", bound=Struct)
T = TypeVar("T")


class Cancellable(Protocol):
    """Something running that the client cancels when it closes."""

    def cancel(self) -> Sequence[asyncio.Task[Any]]:
        """Cancel it and return its tasks that have not finished."""


def count_cancellations() -> int:
    """How often the running task has been cancelled so far.

    A cancellation of the task and one of a task or future that it awaits arrive as the same `CancelledError`; only the
    first raises this count. It is compared with the count before the wait: a task that once caught a cancellation, as
    the end of a worker's job may do, keeps its count for good.
    """
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


class RunningCall:
    """A call in its caller's task, registered so that closing the client ends it, whatever it awaits.

    A context manager that works like `asyncio.timeout`: the task is cancelled, and that cancellation ends here. The
    code after the block runs only then, and raises `closed()`.
    """

    __slots__ = (
        *("_running", "_label", "_task", "_cancellations", "_is_cancelled"),
        *("is_closed", "was_sent", "was_counted", "response_headers"),
    )

    def __init__(self, running: set[Cancellable], label: str = "") -> None:
        self._running = running
        self._label = label
        self._task = asyncio.current_task()
        self._cancellations = 0 if self._task is None else self._task.cancelling()
        self._is_cancelled = False
        self.is_closed = False
        """Whether the client was closed since the call began."""
        self.was_sent = False
        """Whether any of the request can have reached a server that did not answer it."""
        self.was_counted = False
        """Whether the head of a response arrived: the server counted the request, however the attempt ends."""
        self.response_headers: Mapping[str, str] = {}
        """Those of the response whose head arrived, however the attempt ends."""

    @property
    def is_task_cancelled(self) -> bool:
        """Whether the caller's task was cancelled since the call began: see `count_cancellations`."""
        return self._task is not None and self._task.cancelling() > self._cancellations

    def cancel(self) -> tuple[()]:
        """End the call; its task, which is the caller's, continues."""
        self.is_closed = True
        # A middleware of a borrowed session can close the client within the call: a task that runs cannot be woken.
        if self._task is not None and self._task is not asyncio.current_task() and not self._is_cancelled:
            self._is_cancelled = self._task.cancel()
        return ()

    def closed(self) -> ClientClosed:
        """The error of a call that was ended."""
        if not self._label:
            return ClientClosed("the client was closed while this call waited")
        what = "while the request was in flight" if self.was_sent else "before the request was sent"
        text = f"{self._label}: the client was closed {what}"
        return ClientClosed(text, request=self._label, was_sent=self.was_sent)

    def __enter__(self) -> Self:
        self._running.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._running.discard(self)
        # A traceback holds the frames of the call, and its task the error: a cycle, which would keep all that they use.
        task, self._task = self._task, None
        if not self._is_cancelled or task is None:
            return False
        return task.uncancel() <= self._cancellations and kind is asyncio.CancelledError


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


def not_picklable(kind: type[T]) -> type[T]:
    """Class decorator for what holds a credential or belongs to an event loop: `pickle` and `copy` raise for it.

    A pickle of it would carry the credential into brokers, caches and logs, or what no other process can use.
    """
    kind.__reduce_ex__ = _raise_not_picklable  # type: ignore[method-assign]
    return kind


def _raise_not_picklable(instance: object, _: SupportsIndex) -> Never:
    raise ConfigurationError(
        f"{type(instance).__name__} cannot be pickled or copied: it holds a credential or belongs to an event loop. "
        "Make one where it is used: AmiliClient.from_env()"
    )


def hide_contents(kind: type[S]) -> type[S]:
    """Class decorator for a struct with secret or personal contents: neither `repr` nor rich shows them.

    A `__repr__` that the class itself defines stays; without one only the name of the class is shown.
    """
    if "__repr__" not in vars(kind):
        kind.__repr__ = lambda self: f"{type(self).__name__}(<hidden>)"  # type: ignore[method-assign]
    # rich prefers `__rich_repr__`, which msgspec defines for each struct, to `__repr__`, and would print all fields.
    kind.__rich_repr__ = None  # type: ignore[assignment, method-assign]
    return kind


@not_picklable
@hide_contents
class Redacted(Struct, Generic[T], frozen=True):
    """What no report may show: a task's repr has that of its result, and reports of errors those of all variables."""

    content: T
    """The value itself."""
