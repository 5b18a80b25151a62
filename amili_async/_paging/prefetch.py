"""Prefetch window: fetch numbered pages concurrently and deliver them in order.

Invariant: at most `concurrency` fetches are in flight, and at most `pages_ahead` pages are in flight or buffered beyond
the last one delivered, so a slow consumer stops the fetching. Pages are buffered undecoded. The owner of a window
closes it, which leaves no task behind. Each fetch runs in the context in which the window was made: it is traced to
what began the iteration, wherever the consumer is when there is room for another page.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from typing import Any, Generic, TypeVar

from amili_async._wire.tasks import cancel_all, count_cancellations
from amili_async.errors import ClientClosed

R = TypeVar("R")
S = TypeVar("S")

MAX_PAGES_BETWEEN_YIELDS = 4
"""With a full buffer, yield to the event loop only every so many pages: yielding after each costs 7 to 9 % of the CPU
of a stream."""
_CLOSED = "the stream or its client was closed during an iteration"


class PrefetchWindow(Generic[R]):
    """The pages between the last one delivered and the last one requested."""

    def __init__(self, fetch: Callable[[int], Coroutine[Any, Any, R]], *, concurrency: int) -> None:
        self._fetch = fetch
        self._concurrency = concurrency
        self._context = copy_context()
        self._tasks: deque[asyncio.Task[R]] = deque()
        self._in_flight = 0
        self._pages_since_yield = 0
        self._next = 1
        self._is_closed = False
        self.pages_ahead = 1
        """How many pages may be in flight or buffered; may be raised at any time."""
        self.last_page: int | None = 1
        """The number of the last page to fetch; `None` if it is not known."""

    @property
    def is_ready(self) -> bool:
        """Whether the next page has arrived, or has failed."""
        return bool(self._tasks) and self._tasks[0].done()

    async def take(self) -> R | None:
        """Return the next page in order, or `None` after the last one.

        Raises what the fetch of that page raised, and `ClientClosed` if the window is closed.
        """
        self.top_up()
        if not self._tasks:
            return None
        task = self._tasks[0]
        cancellations = 0 if task.done() else count_cancellations()  # a page that has arrived is taken without a wait
        try:
            page = await task
        except asyncio.CancelledError:
            # cancel() cancelled the fetch, not the consumer: passed on, this CancelledError would silently end the
            # consumer's task, which was not cancelled itself.
            # The count alone is not enough: it may include a pending cancellation of the consumer, as after Ctrl-C.
            if self._is_closed and task.cancelled() and count_cancellations() == cancellations:
                raise ClientClosed(_CLOSED) from None
            raise
        is_buffer_full = len(self._tasks) - 1 - self._in_flight >= self._concurrency
        self._pages_since_yield = self._pages_since_yield + 1 if is_buffer_full else 0
        if self._pages_since_yield % MAX_PAGES_BETWEEN_YIELDS == 0:
            # Awaiting a finished task does not yield. Without this, responses that have arrived would be read, and
            # their connections reused, only after this page was decoded and consumed. The page is still in the queue:
            # `is_ready` keeps payments from being sent whose consumer has not got the outcome before them.
            await asyncio.sleep(0)
        if self._is_closed:
            # cancel() emptied the queue in the same loop iteration in which the fetch finished.
            raise ClientClosed(_CLOSED)
        self._tasks.popleft()
        return page

    def top_up(self) -> None:
        """Start as many fetches as the invariant allows."""
        if self._is_closed:
            raise ClientClosed(_CLOSED)
        while (
            self._in_flight < self._concurrency
            and len(self._tasks) < self.pages_ahead
            and (self.last_page is None or self._next <= self.last_page)
        ):
            self.repeat(self._next)
            self._tasks.rotate(-1)
            self._next += 1

    def start(self, work: Coroutine[Any, Any, S]) -> asyncio.Task[S]:
        """A task that runs *work* in the context of the window; its owner is the caller."""
        # A copy each: with eager tasks one may start another at once, and a context cannot be entered twice. Not the
        # parameter `context`, which task factories of the caller's need not know.
        return self._context.copy().run(asyncio.get_running_loop().create_task, work)

    def repeat(self, number: int) -> None:
        """Fetch a page that was taken once more: it is the next one in order."""
        task = self.start(self._fetch(number))
        task.add_done_callback(self._on_done)
        self._tasks.appendleft(task)
        self._in_flight += 1

    def _on_done(self, task: asyncio.Task[R]) -> None:
        self._in_flight -= 1
        # After a failure nothing more is started: the consumer will reach the failed page and raise.
        if not self._is_closed and not task.cancelled() and task.exception() is None:
            self.top_up()

    def cancel(self) -> Sequence[asyncio.Task[R]]:
        """Cancel what is in flight and return the tasks that have not finished."""
        self._is_closed = True
        tasks = tuple(self._tasks)
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        return tasks

    async def aclose(self) -> None:
        """Cancel what is in flight and wait until it has finished."""
        await cancel_all((self,))
