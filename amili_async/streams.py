"""What `stream()` returns: records in the order of the sort, with pages fetched ahead."""

from collections.abc import AsyncGenerator, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing
from operator import attrgetter
from typing import Any, Generic, TypeVar

from msgspec.structs import replace

from amili_async._paging.offset import OffsetPager, PagingOptions
from amili_async._paging.prefetch import PrefetchWindow
from amili_async._wire.iteration import Iteration, alone
from amili_async._wire.listing import Listing
from amili_async._wire.protocol import Response
from amili_async._wire.tasks import cancel_all
from amili_async.events import PageReceived, StreamDrifted
from amili_async.pages import Page
from amili_async.policies import Priority
from amili_async.query import Query

T = TypeVar("T")


class Stream(AbstractAsyncContextManager["Stream[T]"], Generic[T]):
    """The records that match a query, in the order of its sort. Nothing is sent until it is iterated.

    Each iteration begins at the first page. Pages are fetched ahead: two at first, twice as many with each page
    consumed, with at most `concurrency` requests in flight and at most five times as many pages ahead; a slow consumer
    stops the fetching. Leaving early, by `break`, an exception or a cancellation, cancels what is in flight.

    Rows that are inserted or deleted concurrently shift the pages, so that a row can be missed or delivered twice.
    `drifted` reports it where pages contradict each other; as many rows deleted as inserted can leave no trace, so a
    stream is never proof that a list is complete. `extract()` delivers every record exactly once.

    Raises the errors of the API when the failed page is reached, `UnreadableResponse` for a page that cannot be
    decoded or has another size than the first, and `ClientClosed` if the stream or its client is closed during an
    iteration.
    """

    def __init__(self, listing: Listing[T], query: Query, options: PagingOptions) -> None:
        self._listing = listing
        self._query = query
        self._options = options
        self._own_windows: set[PrefetchWindow[Any]] = set()
        self.total: int | None = None
        """How many records match, by the latest page; `None` before the first, or if the server does not report it."""
        self.drifted = False
        """Whether pages contradicted each other, so that records are missing or repeated; `False` proves nothing."""

    @property
    def record(self) -> type[T]:
        """The type of its records."""
        return self._listing.record_type.record

    def __repr__(self) -> str:
        return f"Stream({self._listing.path}, total={self.total}, drifted={self.drifted})"

    def __aiter__(self) -> AsyncGenerator[T, None]:
        return Iteration(self._iterate(self._options), attrgetter("items"))

    def pages(self) -> AsyncGenerator[Page[T], None]:
        """The same records, a page at a time.

        Close the generator if you leave it early (`contextlib.aclosing`): Python closes it only when it is collected.
        """
        return Iteration(self._iterate(self._options), alone)

    async def collect(self) -> list[T]:
        """All records in a list, fetched as fast as concurrency and rate limit allow."""
        records: list[T] = []
        async with aclosing(self._iterate(replace(self._options, opens_fully=True))) as pages:
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
        await cancel_all(self._own_windows)

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _iterate(self, options: PagingOptions) -> AsyncGenerator[Page[T], None]:
        announce, running = self._listing.context.announce, self._listing.context.running
        window = PrefetchWindow(self._send, concurrency=options.concurrency)
        pager = OffsetPager(window, self._decode, options=options, on_drift=self._note_drift)
        # The window, not this generator, is registered: cancelling its tasks needs no cooperation of the consumer.
        running.add(window)
        self._own_windows.add(window)
        try:
            async with aclosing(pager.pages()) as pages:
                async for page in pages:
                    self.total = pager.total
                    if announce:
                        number, path = page.number, self._listing.path
                        announce(PageReceived(path=path, number=number, items=len(page.items), total=page.total))
                    yield page
        finally:
            running.discard(window)
            self._own_windows.discard(window)

    def _send(self, number: int) -> Coroutine[Any, Any, Response]:
        return self._listing.send(self._query, page=number, page_size=self._options.page_size)

    def _decode(self, response: Response, number: int) -> Coroutine[Any, Any, Page[T]]:
        listing, size = self._listing, self._options.page_size
        return listing.read(listing.decode, response, self._query, page=number, page_size=size)

    def _note_drift(self, page: int, reason: str) -> None:
        self.drifted = True
        self._listing.context.announce(StreamDrifted(path=self._listing.path, page=page, reason=reason))
