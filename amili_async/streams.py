"""What `stream()` returns: records in order, fetched ahead, page by page."""

from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from types import TracebackType
from typing import Any, Generic, TypeVar

from msgspec.structs import replace

from amili_async._paging.offset import OffsetPager, PagingOptions
from amili_async._paging.prefetch import PrefetchWindow
from amili_async._wire.listing import Listing
from amili_async._wire.protocol import Response
from amili_async._wire.tasks import cancel_all
from amili_async.events import PageReceived, StreamDrifted
from amili_async.pages import Page
from amili_async.policies import Priority
from amili_async.query import Query

T = TypeVar("T")


class Stream(Generic[T]):
    """The records that match a query, in the order of its sort. Nothing is sent until it is iterated.

    Each iteration is a walk of its own, from the first page. Pages are fetched ahead: two at first, twice as many with
    each page consumed, until `concurrency` requests are in flight; a slow consumer stops the fetching. Leaving early,
    by `break`, an exception or a cancellation, ends what is under way.

    Rows that come or go meanwhile shift the pages, so that a row can be missed or come twice: see `drifted`.
    """

    def __init__(self, listing: Listing[T], query: Query, options: PagingOptions) -> None:
        self._listing = listing
        self._query = query
        self._options = options
        self._own_windows: set[PrefetchWindow[Any]] = set()
        self.total: int | None = None
        """How many records match, by the latest page; `None` before the first, or where the server does not say."""
        self.drifted = False
        """Whether rows came or went during any iteration, so that some may have been missed or repeated."""

    def __repr__(self) -> str:
        return f"Stream({self._listing.path}, total={self.total}, drifted={self.drifted})"

    async def __aiter__(self) -> AsyncGenerator[T, None]:
        async with aclosing(self.pages()) as pages:
            async for page in pages:
                for record in page.items:
                    yield record

    def pages(self) -> AsyncGenerator[Page[T], None]:
        """The same records, a page at a time."""
        return self._walk(self._options)

    async def collect(self) -> list[T]:
        """All records in a list, fetched as fast as concurrency and budget allow."""
        records: list[T] = []
        async with aclosing(self._walk(replace(self._options, opens_fully=True))) as pages:
            async for page in pages:
                records.extend(page.items)
        return records

    async def first(self) -> T | None:
        """The first record, asked for alone and ahead of bulk pages; `None` where there is none."""
        page = await self._listing.fetch(self._query, page_size=1, priority=Priority.SINGLE)
        self.total = page.total
        return page.items[0] if page.items else None

    async def aclose(self) -> None:
        """End all iterations that are under way."""
        await cancel_all(self._own_windows)

    async def __aenter__(self) -> "Stream[T]":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _walk(self, options: PagingOptions) -> AsyncGenerator[Page[T], None]:
        announce, running = self._listing.context.announce, self._listing.context.running
        window = PrefetchWindow(self._send, width=options.width)
        walk = OffsetPager(window, self._decode, options=options, on_drift=self._note_drift)
        running.add(window)
        self._own_windows.add(window)
        try:
            async with aclosing(walk.pages()) as pages:
                async for page in pages:
                    self.total = walk.total
                    if announce:
                        number, path = page.number, self._listing.path
                        announce(PageReceived(path=path, number=number, items=len(page.items), total=page.total))
                    yield page
        finally:
            running.discard(window)
            self._own_windows.discard(window)

    def _send(self, number: int) -> Coroutine[Any, Any, Response]:
        return self._listing.send(self._query, page=number, page_size=self._options.page_size)

    def _decode(self, response: Response, number: int) -> Page[T]:
        return self._listing.decode(response, page=number, page_size=self._options.page_size)

    def _note_drift(self, page: int, reason: str) -> None:
        self.drifted = True
        self._listing.context.announce(StreamDrifted(path=self._listing.path, page=page, reason=reason))
