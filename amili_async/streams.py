"""What `stream()` returns: records in order, fetched ahead, page by page."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from types import TracebackType
from typing import Any, Generic, TypeVar

from msgspec.structs import replace

from amili_async._paging.offset import OffsetPager, PagingOptions
from amili_async._paging.prefetch import PrefetchWindow
from amili_async._wire.decoding import Page
from amili_async._wire.protocol import Response
from amili_async._wire.tasks import Cancellable, cancel_all
from amili_async.events import Announcer, PageReceived, StreamDrifted
from amili_async.policies import Priority

T = TypeVar("T")
R = TypeVar("R")

FetchPage = Callable[[int, int, Priority], Coroutine[Any, Any, Response]]
"""Page number, page size, priority: the answer."""
ReadPage = Callable[[Response, int], Page[T]]


class Stream(Generic[T]):
    """The records that match a query, in the order of its sort. Nothing is sent until it is iterated.

    Each iteration is a walk of its own, from the first page. Pages are fetched ahead: two at first, twice as many with
    each page consumed, until `concurrency` requests are in flight; a slow consumer stops the fetching. Leaving early,
    by `break`, an exception or a cancellation, ends what is under way.

    Rows that come or go meanwhile shift the pages, so that a row can be missed or come twice: see `drifted`.
    """

    def __init__(
        self,
        path: str,
        fetch: FetchPage,
        read: ReadPage[T],
        *,
        pace: PagingOptions,
        announce: Announcer,
        running: set[Cancellable],
    ) -> None:
        self._path = path
        self._fetch = fetch
        self._read = read
        self._pace = pace
        self._announce = announce
        self._running = running
        self._own_windows: set[PrefetchWindow[Any]] = set()
        self.total: int | None = None
        """How many records match, by the latest page; `None` before the first, or where the server does not say."""
        self.drifted = False
        """Whether rows came or went during any iteration, so that some may have been missed or repeated."""

    def __repr__(self) -> str:
        return f"Stream({self._path}, total={self.total}, drifted={self.drifted})"

    async def __aiter__(self) -> AsyncGenerator[T, None]:
        async with aclosing(self.pages()) as pages:
            async for page in pages:
                for record in page.items:
                    yield record

    def pages(self) -> AsyncGenerator[Page[T], None]:
        """The same records, a page at a time."""
        return self._walk(self._pace)

    async def collect(self) -> list[T]:
        """All records in a list, fetched as fast as concurrency and budget allow."""
        records: list[T] = []
        async with aclosing(self._walk(replace(self._pace, opens_fully=True))) as pages:
            async for page in pages:
                records.extend(page.items)
        return records

    async def first(self) -> T | None:
        """The first record, asked for alone and ahead of bulk pages; `None` where there is none."""
        page = self._read(await self._fetch(1, 1, Priority.SINGLE), 1)
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

    async def _walk(self, pace: PagingOptions) -> AsyncGenerator[Page[T], None]:
        window = PrefetchWindow(lambda number: self._fetch(number, pace.page_size, Priority.BULK), width=pace.width)
        walk = OffsetPager(window, self._read, pace=pace, on_drift=self._note_drift)
        self._running.add(window)
        self._own_windows.add(window)
        try:
            async with aclosing(walk.pages()) as pages:
                async for page in pages:
                    self.total = walk.total
                    if self._announce:
                        self._announce(
                            PageReceived(path=self._path, number=page.number, items=len(page.items), total=page.total)
                        )
                    yield page
        finally:
            self._running.discard(window)
            self._own_windows.discard(window)

    def _note_drift(self, page: int, reason: str) -> None:
        self.drifted = True
        self._announce(StreamDrifted(path=self._path, page=page, reason=reason))
