"""Walk a list page by page number: the first page tells the total, the rest are fetched ahead through a window.

The law: trust the size that the server reports, and stop by what was received. `_links` are never followed (Eve's
drop the projection). Rows that come or go meanwhile shift the pages; that is noticed and said, not mended.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from functools import lru_cache
from math import ceil
from operator import attrgetter, itemgetter
from typing import Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from amili_async._paging.prefetch import PrefetchWindow
from amili_async._wire.decoding import Page
from amili_async.errors import UnreadableResponse

R = TypeVar("R")
T = TypeVar("T")

LOOKAHEAD = 5
"""Pages ahead per fetch in flight: while one page is late the other connections go on, for as long as these last."""


class PagingOptions(Struct, frozen=True, kw_only=True):
    """How far and how fast to walk."""

    page_size: int
    """Records asked for per page."""
    width: int
    """Fetches in flight at most."""
    max_items: int | None = None
    """Records to deliver at most."""
    ascends_by_id: bool = False
    """Whether that is the order: then it is plain to see that no row stands on two pages."""
    opens_fully: bool = False
    """Whether the window is full from the second page on: for those who want everything."""


class OffsetPager(Generic[R, T]):
    """One walk over one list, from its first page."""

    def __init__(
        self,
        window: PrefetchWindow[R],
        read: Callable[[R, int], Page[T]],
        *,
        pace: PagingOptions,
        on_drift: Callable[[int, str], None],
    ) -> None:
        self._window = window
        self._read = read
        self._pace = pace
        self._tell_drift = on_drift
        self._full = pace.width * LOOKAHEAD
        self._number = 0
        self._received = 0
        self._size = pace.page_size
        self._is_over = False
        self._previous: tuple[T, ...] = ()
        self.total: int | None = None
        """What the latest page said."""

    async def pages(self) -> AsyncGenerator[Page[T], None]:
        """The pages in order; the window is closed when the walk ends, however it ends."""
        try:
            while (answer := await self._window.take()) is not None:
                self._number += 1
                page = self._read(answer, self._number)
                self._detect_drift(page)
                self._received += len(page.items)
                self._plan(page)
                self._window.top_up()  # before the yield: the next pages travel while the consumer works
                if page.items or self._number == 1:
                    yield self._cut(page)
                if self._is_over:
                    break
                self._window.ahead = min(self._window.ahead * 2, self._full)  # a page was consumed
        finally:
            await self._window.aclose()

    def _plan(self, page: Page[T]) -> None:
        """Decide, from what this page said, how far to go, and from the first how far ahead to fetch."""
        if self._number == 1:
            self._size = self._find_size(page)
            self._window.ahead = self._full if self._pace.opens_fully else 2
        last = self._find_last(page)
        limit = self._pace.max_items
        if limit is not None:
            self._is_over |= self._received >= limit
            enough = max(ceil(limit / self._size), self._number + 1)
            last = enough if last is None else min(enough, last)
        self._is_over |= not page.items or (page.total is None and last == self._number)
        self._window.last = self._number if self._is_over else last
        if self._is_over or last == self._number:
            self._check_sum()

    def _find_size(self, page: Page[T]) -> int:
        """Records per page, by the first: a server may put fewer on it than it was asked for, and not say so."""
        size = page.max_results or self._pace.page_size
        has_more = page.total is not None and page.total > len(page.items)
        return len(page.items) if page.items and has_more else size

    def _find_last(self, page: Page[T]) -> int | None:
        """The number of the last page, as far as this one shows; `None` where it does not."""
        if not page.items or page.total == self._received:
            return self._number
        if page.total is not None and page.total > self._received:
            return max(ceil(page.total / self._size), self._number + 1)
        # No total, or one that cannot be true. A short page ends the list, but only against a size that the server
        # itself named: else it may have clamped the size without saying so.
        if page.max_results is not None and len(page.items) < page.max_results:
            return self._number
        return None

    def _detect_drift(self, page: Page[T]) -> None:
        has_moved = self.total is not None and page.total is not None and page.total != self.total
        if has_moved:
            self._tell_drift(self._number, "total")
        if page.total is not None:
            self.total = page.total
        if self._previous and page.items:
            self._look_for_repetition(page, has_moved=has_moved)
        self._previous = page.items

    def _look_for_repetition(self, page: Page[T], *, has_moved: bool) -> None:
        record: Any = type(page.items[0])
        identify = _identifier_of(record)
        if identify is None:
            return  # a caller's type without an id cannot tell
        if page.items == self._previous and not has_moved:
            raise UnreadableResponse(
                f"page {self._number} is the same as the one before: the server seems to ignore the page number"
            )
        with suppress(KeyError):  # nor can a record that came without its id
            last, first = identify(self._previous[-1]), identify(page.items[0])
            are_texts = isinstance(last, str) and isinstance(first, str)  # a caller's type may read them otherwise
            is_beyond = self._pace.ascends_by_id and are_texts and first > last
            if not is_beyond and first in map(identify, self._previous):
                self._tell_drift(self._number, "repeated")

    def _check_sum(self) -> None:
        wants_all = self._pace.max_items is None or (self.total is not None and self._pace.max_items >= self.total)
        if wants_all and self.total is not None and self._received != self.total:
            self._tell_drift(self._number, "total")

    def _cut(self, page: Page[T]) -> Page[T]:
        """The page without what goes beyond `max_items`."""
        limit = self._pace.max_items
        if limit is None or self._received <= limit:
            return page
        return replace(page, items=page.items[: max(0, len(page.items) - (self._received - limit))])


@lru_cache(maxsize=256)
def _identifier_of(record: Any) -> Callable[[Any], Any] | None:
    """What reads the `_id` of records of a type; `None` where a caller's type leaves it out."""
    if issubclass(record, dict):
        return itemgetter("_id")
    names = zip(record.__struct_fields__, record.__struct_encode_fields__, strict=True)
    return next((attrgetter(name) for name, wire in names if wire in {"_id", "id"}), None)
