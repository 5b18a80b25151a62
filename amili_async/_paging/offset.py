"""Offset pagination: request pages by number; the first page reports the total, the rest is prefetched.

Invariant: the page size that the server reports counts, not the requested one, and the list ends by what was received.
Rows that are inserted or deleted while paging shift the pages; that is detected and reported, not repaired.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from functools import lru_cache
from math import ceil
from operator import attrgetter, itemgetter
from typing import Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from amili_async._paging.prefetch import PrefetchWindow
from amili_async.errors import UnreadableResponse
from amili_async.pages import Page

R = TypeVar("R")
T = TypeVar("T")

PAGES_AHEAD_PER_REQUEST = 5
"""Pages ahead for each request in flight: while one page is late, the other connections continue until the buffer of
pages behind it is full."""


class PagingOptions(Struct, frozen=True, kw_only=True):
    """How far to read, and how many pages to fetch at once."""

    page_size: int
    """Records requested per page."""
    concurrency: int
    """Requests in flight at most."""
    max_items: int | None = None
    """Records to deliver at most; `None` for all."""
    ascends_by_id: bool = False
    """Whether `_id` alone is the sort: then comparing two ids shows that no row is on both pages."""
    opens_fully: bool = False
    """Whether the window is opened fully after the first page, for a consumer that wants all records."""


class OffsetPager(Generic[R, T]):
    """One iteration over one list, from its first page."""

    def __init__(
        self,
        window: PrefetchWindow[R],
        decode: Callable[[R, int], Awaitable[Page[T]]],
        *,
        options: PagingOptions,
        on_drift: Callable[[int, str], None],
    ) -> None:
        self._window = window
        self._decode = decode
        self._options = options
        self._on_drift = on_drift
        self._max_pages_ahead = options.concurrency * PAGES_AHEAD_PER_REQUEST
        self._number = 0
        self._received = 0
        self._size = options.page_size
        self._is_finished = False
        self._previous: tuple[T, ...] = ()
        self.total: int | None = None
        """How many records match, by the latest page that reported it."""

    async def pages(self) -> AsyncGenerator[Page[T], None]:
        """Yield the pages in order; the window is closed when the iteration ends, even by an error."""
        try:
            while (response := await self._window.take()) is not None:
                self._number += 1
                page = await self._decode(response, self._number)
                self._detect_drift(page)
                self._received += len(page.items)
                self._update_window(page)
                self._window.top_up()  # before the yield, so that pages are fetched while the consumer works
                if page.items or self._number == 1:
                    yield self._truncate(page)
                if self._is_finished:
                    break
                # The consumer came back for more: only now is it worth fetching further ahead.
                self._window.pages_ahead = min(self._window.pages_ahead * 2, self._max_pages_ahead)
        finally:
            await self._window.aclose()

    def _update_window(self, page: Page[T]) -> None:
        """Set the last page to fetch by what this page reports, and after the first how far ahead to fetch."""
        if self._number == 1:
            self._size = self._size_by(page)
            self._window.pages_ahead = self._max_pages_ahead if self._options.opens_fully else 2
        last = self._last_page_by(page)
        limit = self._options.max_items
        if limit is not None:
            self._is_finished |= self._received >= limit
            # At least one more page, even if by its size this one was to be enough: pages can be shorter than reported.
            enough = max(ceil(limit / self._size), self._number + 1)
            last = enough if last is None else min(enough, last)
        self._is_finished |= not page.items or (page.total is None and last == self._number)
        self._window.last_page = self._number if self._is_finished else last
        if self._is_finished or last == self._number:
            self._check_total()

    def _size_by(self, page: Page[T]) -> int:
        """Records per page, by the first page.

        Eve clamps `max_results` without an error; the clamped size is in `_meta.max_results`. Where that is missing,
        the number of records on a first page that is not the last is the size.
        """
        size = page.max_results or self._options.page_size
        has_more = page.total is not None and page.total > len(page.items)
        return len(page.items) if page.items and has_more else size

    def _last_page_by(self, page: Page[T]) -> int | None:
        """The number of the last page, by what this page reports; `None` if it is not known.

        `_links.next` and `_links.last` are not used: Eve drops the projection from them, so pages would arrive with all
        fields.
        """
        if not page.items or page.total == self._received:
            return self._number
        if page.total is not None and page.total > self._received:
            return max(ceil(page.total / self._size), self._number + 1)
        # There is no total, or one below what was received, which cannot be true. A short page ends the list only by a
        # size that the server reported: a server that clamps silently would make every page look short.
        if page.max_results is not None and len(page.items) < page.max_results:
            return self._number
        return None

    def _detect_drift(self, page: Page[T]) -> None:
        total_changed = self.total is not None and page.total is not None and page.total != self.total
        if total_changed:
            self._on_drift(self._number, "total")
        if page.total is not None:
            self.total = page.total
        if self._previous and page.items:
            self._detect_repetition(page, total_changed=total_changed)
        self._previous = page.items

    def _detect_repetition(self, page: Page[T], *, total_changed: bool) -> None:
        """Report a row that is on this page and on the one before.

        An insert and a delete between two requests leave the total unchanged and still shift a row.
        """
        record: Any = type(page.items[0])
        identify = _identifier_of(record)
        if identify is None:
            return
        # With a changed total, equal pages can be rows that were shifted by exactly one page.
        if page.items == self._previous and not total_changed:
            raise UnreadableResponse(
                f"page {self._number} is identical to the one before: the server seems to ignore the page number"
            )
        with suppress(KeyError):  # into=dict: a record may lack its id
            last, first = identify(self._previous[-1]), identify(page.items[0])
            # A caller's struct may read ids as a type that cannot be ordered.
            are_texts = isinstance(last, str) and isinstance(first, str)
            is_beyond = self._options.ascends_by_id and are_texts and first > last
            if not is_beyond and first in map(identify, self._previous):
                self._on_drift(self._number, "repeated")

    def _check_total(self) -> None:
        """Report drift where the list ended with another number of records than its total."""
        limit, total = self._options.max_items, self.total
        wants_all = limit is None or (total is not None and limit >= total)
        if wants_all and total is not None and self._received != total:
            self._on_drift(self._number, "total")

    def _truncate(self, page: Page[T]) -> Page[T]:
        """The page without the records beyond `max_items`."""
        limit = self._options.max_items
        if limit is None or self._received <= limit:
            return page
        return replace(page, items=page.items[: max(0, len(page.items) - (self._received - limit))])


@lru_cache(maxsize=256)
def _identifier_of(record: Any) -> Callable[[Any], Any] | None:
    """A function that returns the `_id` of a record of this type; `None` for a caller's type without an id."""
    if issubclass(record, dict):
        return itemgetter("_id")
    names = zip(record.__struct_fields__, record.__struct_encode_fields__, strict=True)
    return next((attrgetter(name) for name, wire in names if wire in {"_id", "id"}), None)
