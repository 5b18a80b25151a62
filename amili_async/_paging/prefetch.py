"""Fetch numbered pages concurrently and hand them out in order.

The law: at most `width` fetches are in flight, and at most `ahead` pages are fetched or waiting beyond the one that
was handed out last. A slow consumer stops the fetching; pages that wait do so as they came. Whoever makes a window
closes it, which leaves no task behind.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from amili_async._wire.tasks import cancel_all, is_being_cancelled
from amili_async.errors import ConfigurationError

R = TypeVar("R")

MAX_PAGES_BETWEEN_YIELDS = 4
"""Pages handed out without a look at what has arrived, where at least as many wait as may be in flight: a look costs a
tenth of what a page does, and the consumer has enough to do."""
_CLOSED = "the stream, or its client, was closed while it was being read"


class PrefetchWindow(Generic[R]):
    """The pages between the one handed out last and the one fetched farthest ahead."""

    def __init__(self, fetch: Callable[[int], Coroutine[Any, Any, R]], *, width: int) -> None:
        self._fetch = fetch
        self._width = width
        self._tasks: deque[asyncio.Task[R]] = deque()
        self._in_flight = 0
        self._pages_since_yield = 0
        self._next = 1
        self._is_closed = False
        self.ahead = 1
        """How many pages may be fetched or wait; may be raised at any time."""
        self.last: int | None = 1
        """The last page to fetch; `None` where that is not known."""

    async def take(self) -> R | None:
        """The next page in order; `None` after the last. Raises what its fetch raised."""
        self.top_up()
        if not self._tasks:
            return None
        task = self._tasks[0]
        try:
            page = await task
        except asyncio.CancelledError:
            if task.cancelled() and not is_being_cancelled():
                raise ConfigurationError(_CLOSED) from None
            raise
        if self._is_closed:
            raise ConfigurationError(_CLOSED)
        self._tasks.popleft()
        has_plenty = len(self._tasks) - self._in_flight >= self._width
        self._pages_since_yield = self._pages_since_yield + 1 if has_plenty else 0
        if self._pages_since_yield % MAX_PAGES_BETWEEN_YIELDS == 0:
            # Answers that have arrived meanwhile are read, and followed up, before this one is decoded.
            await asyncio.sleep(0)
        return page

    def top_up(self) -> None:
        """Start as many fetches as the law allows."""
        if self._is_closed:
            raise ConfigurationError(_CLOSED)
        while (
            self._in_flight < self._width
            and len(self._tasks) < self.ahead
            and (self.last is None or self._next <= self.last)
        ):
            task = asyncio.get_running_loop().create_task(self._fetch(self._next))
            task.add_done_callback(self._settle)
            self._tasks.append(task)
            self._in_flight += 1
            self._next += 1

    def _settle(self, task: asyncio.Task[R]) -> None:
        self._in_flight -= 1
        if not self._is_closed and not task.cancelled() and task.exception() is None:
            self.top_up()

    def end(self) -> Sequence[asyncio.Task[R]]:
        """Cancel what is under way; returns the tasks that have yet to end."""
        self._is_closed = True
        tasks = tuple(self._tasks)
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        return tasks

    async def aclose(self) -> None:
        """Cancel what is under way and wait until it has ended."""
        await cancel_all((self,))
