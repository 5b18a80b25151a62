"""Walk a list page by page number: the first page tells the total, the rest are fetched ahead through a window.

The law: trust the size that the server reports, and stop by what was received. `_links` are never followed (Eve's
drop the projection). Rows that come or go meanwhile shift the pages; that is noticed and said, not mended.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from math import ceil
from operator import attrgetter, itemgetter
from typing import Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from amili_async._paging.ordered import Window
from amili_async._wire.reading import Page

R = TypeVar("R")
T = TypeVar("T")

LOOKAHEAD = 4
"""Pages held per fetch in flight: a window no deeper than that idles its connections when latencies vary."""


class Pace(Struct, frozen=True, kw_only=True):
    """How far and how fast to walk."""

    page_size: int
    """Records asked for per page."""
    width: int
    """Fetches in flight at most."""
    max_items: int | None = None
    """Records to deliver at most."""
    opens_fully: bool = False
    """Whether the window is full from the second page on: for those who want everything."""


class OffsetWalk(Generic[R, T]):
    """One walk over one list, from its first page."""

    def __init__(
        self,
        window: Window[R],
        read: Callable[[R, int], Page[T]],
        *,
        pace: Pace,
        tell_drift: Callable[[int, str], None],
    ) -> None:
        self._window = window
        self._read = read
        self._pace = pace
        self._tell_drift = tell_drift
        self._full = pace.width * LOOKAHEAD
        self._number = 0
        self._received = 0
        self._previous: tuple[T, ...] = ()
        self.total: int | None = None
        """What the latest page said."""

    async def pages(self) -> AsyncGenerator[Page[T], None]:
        """The pages in order; the window is closed when the walk ends, however it ends."""
        try:
            while (answer := await self._window.take()) is not None:
                self._number += 1
                page = self._read(answer, self._number)
                self._look_for_drift(page)
                self._received += len(page.items)
                self._plan(page)
                self._window.top_up()  # before the yield: the next pages travel while the consumer works
                yield self._cut(page)
                self._window.ahead = min(self._window.ahead * 2, self._full)  # a page was consumed
        finally:
            await self._window.aclose()

    def _plan(self, page: Page[T]) -> None:
        """Decide, from what this page said, how far to go, and from the first how far ahead to fetch."""
        size = page.max_results or self._pace.page_size
        last = self._find_last(page, size)
        if self._pace.max_items is not None:
            enough = ceil(self._pace.max_items / size)
            last = enough if last is None else min(enough, last)
        self._window.last = last
        if self._number == 1:
            self._window.ahead = self._full if self._pace.opens_fully else 2
        if last is not None and self._number >= last:
            self._check_sum()

    def _find_last(self, page: Page[T], size: int) -> int | None:
        """The number of the last page, as far as this one shows; `None` where it does not."""
        if not page.items:
            return self._number
        if page.total is not None and page.total >= self._received:
            return ceil(page.total / size)
        # No total, or one that cannot be true. A short page ends the list, but only against a size that the server
        # itself named: else it may have clamped the size without saying so.
        if page.max_results is not None and len(page.items) < size:
            return self._number
        return None

    def _look_for_drift(self, page: Page[T]) -> None:
        if self.total is not None and page.total is not None and page.total != self.total:
            self._tell_drift(self._number, "total")
        if page.total is not None:
            self.total = page.total
        if self._previous and page.items:
            first = page.items[0]
            of: Callable[[Any], Any] = itemgetter("_id") if isinstance(first, dict) else attrgetter("id")
            with suppress(AttributeError, KeyError):  # a caller's type without an id cannot tell
                if of(first) in map(of, self._previous):
                    self._tell_drift(self._number, "repeated")
        self._previous = page.items

    def _check_sum(self) -> None:
        wants_all = self._pace.max_items is None or (self.total is not None and self._pace.max_items >= self.total)
        if wants_all and self.total is not None and self._received != self.total:
            self._tell_drift(self._number, "total")

    def _cut(self, page: Page[T]) -> Page[T]:
        """The page without what goes beyond `max_items`."""
        limit = self._pace.max_items
        if limit is None or self._received <= limit:
            return page
        return replace(page, items=page.items[: len(page.items) - (self._received - limit)])
