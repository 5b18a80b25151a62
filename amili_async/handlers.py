"""Call a handler for each record of the deliveries of an iteration, several at once.

Invariant: at most `concurrency` handlers run, and fewer only while no record has arrived: a page is begun as soon as
one task finds nothing left of the page before. When this ends, in whatever way, all handlers have ended.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from msgspec import Struct

from amili_async._paging.offset import reader_of
from amili_async._wire.checks import check_count
from amili_async._wire.tasks import Cancellable, cancel_all, hide_contents
from amili_async.deliveries import Delivery
from amili_async.errors import ConfigurationError

T = TypeVar("T")


@hide_contents
class _OpenDelivery(Struct, Generic[T]):
    """A delivery whose records are being handled."""

    delivery: Delivery[T]
    rest: Iterator[T]
    """Its records for which no handler was called yet; each task takes the next one."""
    unhandled: int
    """How many of its records are not handled."""


class HandlerTasks(Generic[T]):
    """The tasks that call the handler; they share the records of one delivery after another."""

    def __init__(self, handler: Callable[[T], Awaitable[object]], concurrency: int) -> None:
        self._handler = handler
        self._open: _OpenDelivery[T]
        self._has_records = asyncio.Event()
        self._has_none_left = asyncio.Event()
        self._tasks = [asyncio.get_running_loop().create_task(self._work()) for _ in range(concurrency)]

    async def handle(self, delivery: Delivery[T]) -> None:
        """Return once a handler was called for each record of the delivery, or one has failed."""
        self._open = _OpenDelivery(delivery, iter(delivery.records), len(delivery.records))
        self._has_none_left.clear()
        self._has_records.set()
        await self._has_none_left.wait()

    async def _work(self) -> None:
        while await self._has_records.wait():
            current = self._open
            for record in current.rest:
                try:
                    await self._handler(record)
                except BaseException as error:
                    # A CancelledError too: nothing else reports one that the handler itself raised.
                    current.delivery.failed(error, record_id=id_of(record))
                    self._has_none_left.set()
                    raise
                current.unhandled -= 1
                if not current.unhandled:
                    current.delivery.done()
            if current is self._open:
                self._has_records.clear()
                self._has_none_left.set()

    def cancel(self) -> Sequence[asyncio.Task[None]]:
        """Cancel the handlers that are running; all tasks, also those that have finished, whose errors are known."""
        for task in self._tasks:
            task.cancel()
        self._has_none_left.set()
        return self._tasks


async def handle_each(
    deliveries: AsyncGenerator[Delivery[T], None],
    handler: Callable[[T], Awaitable[object]],
    *,
    concurrency: int,
    running: set[Cancellable],
) -> int:
    """Call the handler for each record; raises what the iteration raises once a handler failed or it was closed.

    Returns how many records there were.
    """
    count = 0
    async with aclosing(deliveries):
        tasks = HandlerTasks(handler, concurrency)
        running.add(tasks)
        try:
            async for delivery in deliveries:
                count += len(delivery.records)
                await tasks.handle(delivery)
        finally:
            running.discard(tasks)
            await cancel_all((tasks,))
    return count


def check_handler(handler: object, concurrency: object) -> int:
    """Return the concurrency; raises `ConfigurationError` for what cannot be called and awaited."""
    if not callable(handler) or isinstance(handler, type) or inspect.isasyncgenfunction(handler):
        raise ConfigurationError("handler must be an async function that is called with one record")
    return check_count(concurrency, "concurrency")


def id_of(record: Any) -> str | None:
    """The `_id` of a record; `None` if its type has none, or another one than text."""
    kind: Any = type(record)
    read = reader_of(kind, "_id")
    found = None if read is None else read(record)
    return found if isinstance(found, str) else None
