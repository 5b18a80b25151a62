"""What `stream()` returns: records in the order of the sort, with pages fetched ahead."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar

from msgspec.structs import replace

from amili_async._paging.offset import OffsetPager, PagingOptions
from amili_async._paging.prefetch import PrefetchWindow
from amili_async._wire.calls import template_of
from amili_async._wire.checks import check_count
from amili_async._wire.frames import hide_variables
from amili_async._wire.iteration import Iteration, alone
from amili_async._wire.listing import Listing
from amili_async._wire.protocol import Response
from amili_async._wire.tasks import Cancellable, cancel_all, not_picklable
from amili_async.deliveries import UNFINISHED, Delivery, DeliveryTracker
from amili_async.errors import ClientClosed, ConfigurationError
from amili_async.events import PageReceived, StreamDrifted
from amili_async.handlers import check_handler, handle_each, id_of
from amili_async.pages import Page
from amili_async.policies import Priority
from amili_async.query import Query
from amili_async.stream_checkpoint import NOT_RESUMABLE, StreamCheckpoint
from amili_async.tables import Tabular

T = TypeVar("T")


class _StreamDeliveries(DeliveryTracker[StreamCheckpoint | None]):
    """The deliveries of one iteration of a stream."""

    taken: StreamCheckpoint | None = None
    """The position after the last one handed out; `None` if the order or the records allow none."""


@not_picklable
class Stream(AbstractAsyncContextManager["Stream[T]"], Tabular[T]):
    """The records that match a query, in the order of its sort. Nothing is sent until it is iterated.

    Each iteration begins at the first page. Pages are fetched ahead: two at first, twice as many with each page
    consumed, with at most `concurrency` requests in flight and at most five times as many pages ahead; a slow consumer
    stops the fetching. Leaving early, by `break`, an exception or a cancellation, cancels what is in flight.

    Rows that are inserted or deleted concurrently shift the pages, so that a row can be missed or delivered twice.
    `drifted` reports it where pages contradict each other; as many rows deleted as inserted can leave no trace, so a
    stream is never proof that a list is complete. `extract()` delivers every record exactly once.

    `for_each()` and `deliveries()` work in every order. Only in that of `_id` or `-_id` (the time of creation, newest
    first) is there a `checkpoint` after which `stream(checkpoint=…)` continues: in another one, a row that changes can
    be sorted before the position, and would be left out.

    Raises the errors of the API when the failed page is reached, `UnreadableResponse` for a page that cannot be
    decoded or has another size than the first, and `ClientClosed` if the stream or its client is closed during an
    iteration.
    """

    def __init__(
        self, listing: Listing[T], query: Query, options: PagingOptions, *, start: StreamCheckpoint | None = None
    ) -> None:
        self._listing = listing
        self._query = query
        self._options = options
        self._start = start
        self._deliveries: _StreamDeliveries | None = None
        self._own_iterations: set[Cancellable] = set()
        self.total: int | None = None
        """How many records match, by the latest page; `None` before the first, or if the server does not report it."""
        self.drifted = False
        """Whether pages contradicted each other, so that records are missing or repeated; `False` proves nothing."""

    @property
    def record(self) -> type[T]:
        """The type of its records."""
        return self._listing.record_type.record

    @property
    def checkpoint(self) -> StreamCheckpoint:
        """The position before the first record of the latest `deliveries()` or `for_each()` that is not done.

        Raises `ConfigurationError` if the stream is not sorted by `_id` or `-_id`, or its records have no `_id`.
        """
        latest = self._deliveries
        position = self._start if latest is None else latest.covered(latest.taken)
        if position is None:
            raise ConfigurationError(NOT_RESUMABLE)
        return position

    def __repr__(self) -> str:
        return f"Stream({self._listing.path}, total={self.total}, drifted={self.drifted})"

    def __aiter__(self) -> AsyncGenerator[T, None]:
        return Iteration(self._iterate(self._options), attrgetter("items"))

    def pages(self) -> AsyncGenerator[Page[T], None]:
        """The same records, a page at a time.

        Close the generator if you leave it early (`contextlib.aclosing`): Python closes it only when it is collected.
        """
        return Iteration(self._iterate(self._options), alone)

    def deliveries(self, *, unfinished: int = UNFINISHED) -> AsyncGenerator[Delivery[T], None]:
        """The same pages, each to be finished by `done()` or `failed()`, in any order and at any time.

        It waits while *unfinished* of them are handed out from the first one that is not done, and at the end until
        all are done. Once one has failed, it raises `DeliveryFailed` from that error. After any interruption continue
        with `stream(checkpoint=…)` where the order allows it: each record is delivered at least once.
        """
        tracker = _StreamDeliveries(check_count(unfinished, "unfinished"))
        tracker.taken = self._start
        return Iteration(self._iterate(self._options, tracker), partial(self._hand_out, tracker))

    @hide_variables
    async def for_each(self, handler: Callable[[T], Awaitable[object]], *, concurrency: int = 8) -> int:
        """Call an async function for each record, *concurrency* at once; returns how many records were handled.

        Handlers begin in the order of the stream. Each record is handled at least once: after an interruption of any
        kind, those that `checkpoint` does not cover are handled again. A handler that raises stops the run: the others
        are cancelled and awaited, and `DeliveryFailed` is raised from its error, with the `record_id` of its record.
        """
        count = check_handler(handler, concurrency)
        deliveries, running = self.deliveries(unfinished=max(UNFINISHED, count)), self._listing.context.running
        return await handle_each(deliveries, handler, concurrency=count, running=running)

    async def collect(self) -> list[T]:
        """All records in a list, fetched as fast as concurrency and rate limit allow."""
        records: list[T] = []
        async with aclosing(self._chunks(opens_fully=True)) as pages:
            async for page in pages:
                records.extend(page.items)
        return records

    async def first(self) -> T | None:
        """The first record, requested alone and before the pages of streams; `None` if there is none."""
        page = await self._listing.fetch(self._query, page_size=1, priority=Priority.SINGLE)
        self.total = page.total
        return page.items[0] if page.items else None

    async def aclose(self) -> None:
        """Cancel all iterations that are running; they raise `ClientClosed`."""
        await cancel_all(self._own_iterations)

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _chunks(self, *, opens_fully: bool = False) -> AsyncGenerator[Page[T], None]:
        return self._iterate(replace(self._options, opens_fully=opens_fully))

    async def _iterate(
        self, options: PagingOptions, tracker: _StreamDeliveries | None = None
    ) -> AsyncGenerator[Page[T], None]:
        announce, running = self._listing.context.announce, self._listing.context.running
        window = PrefetchWindow(self._send, concurrency=options.concurrency)
        pager = OffsetPager(window, self._decode, options=options, on_drift=self._note_drift)
        # The window, not this generator, is registered: cancelling its tasks needs no cooperation of the consumer.
        owner: Cancellable = window
        if tracker is not None:
            self._deliveries = owner = tracker
            tracker.begin(window)
        running.add(owner)
        self._own_iterations.add(owner)
        try:
            async with aclosing(pager.pages()) as pages:
                async for page in pages:
                    self.total = pager.total
                    if announce:
                        number, path = page.number, template_of(self._listing.path)
                        announce(PageReceived(path=path, number=number, items=len(page.items), total=page.total))
                    yield page
                    if tracker is not None:
                        await tracker.wait_for_room()
            if tracker is not None:
                await tracker.wait_until_done()
        except ClientClosed:
            # A delivery that failed has cancelled the window, whose own error shows only that.
            if tracker is not None and tracker.failure is not None:
                raise tracker.failure from tracker.failure.__cause__
            raise
        finally:
            running.discard(owner)
            self._own_iterations.discard(owner)
            if tracker is not None:
                tracker.close()

    def _hand_out(self, tracker: _StreamDeliveries, page: Page[T]) -> tuple[Delivery[T], ...]:
        """The page as a delivery, unless it is empty."""
        if not page.items:
            return ()
        before = tracker.taken
        if before is not None:
            tracker.taken = before.after(id_of(page.items[-1]), len(page.items))
        return (tracker.hand_out(page.items, before),)

    def _send(self, number: int) -> Coroutine[Any, Any, Response]:
        return self._listing.send(self._query, page=number, page_size=self._options.page_size)

    def _decode(self, response: Response, number: int) -> Coroutine[Any, Any, Page[T]]:
        listing, size = self._listing, self._options.page_size
        return listing.read(listing.decode, response, self._query, page=number, page_size=size)

    def _note_drift(self, page: int, reason: str) -> None:
        self.drifted = True
        path = template_of(self._listing.path)
        self._listing.context.announce(StreamDrifted(path=path, page=page, reason=reason))
