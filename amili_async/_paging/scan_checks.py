"""What the responses of a scan show about the list and the server: row counts, page size, whether `_id` is filtered.

Invariant: nothing is delivered before the server has shown that it filters by ranges of `_id`; and a count is the
server's own, never a count of what arrived.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar

from msgspec import Struct

from amili_async._paging.partition import HIGHEST_ID, LOWEST_ID, Span
from amili_async._paging.scan_page import FetchSpans, RangeFilterIgnored, ScanPage, ScanStats

T = TypeVar("T")

MAX_MISMATCHES = 3
"""Mismatches before concluding that the server ignores `_id` filters; a single one can be a concurrent update."""

FetchWhole: TypeAlias = Callable[[], Awaitable[tuple[ScanPage[Any], Any]]]
"""Fetches the first page of the list, without a range, and its bound."""


class _FirstPage(Struct, frozen=True):
    """What the page showed that was fetched before the bound was known."""

    ids: tuple[str, ...]
    """The ids up to the bound."""
    total: int | None
    """The server's count of the whole list."""
    past_bound: int
    """How many of its rows lie past the bound."""
    rest: Span
    """What is left to fetch after it."""
    fetch_again: FetchWhole


class ScanChecks(Generic[T]):
    """Checks each response of a scan, and keeps what the responses have shown so far."""

    def __init__(
        self,
        fetch: FetchSpans[T],
        *,
        whole: Span,
        started: datetime,
        page_size: int,
        stats: ScanStats,
        is_part: bool = False,
    ) -> None:
        self._fetch = fetch
        self._started = started
        self._whole = whole
        self._is_part = is_part
        self._first_page: _FirstPage | None = None
        self._is_noted = False
        self.stats = stats
        """What was learned besides the records."""
        self.size = page_size
        """How many rows the server puts on a page."""
        self.size_is_confirmed = False
        """Whether a page had exactly as many rows as the server reports."""
        self.reports_total: bool | None = None
        """Whether the server reports how many rows match; `None` before the first response."""
        self.filters_ids = True
        """Whether the server has shown that it filters by ranges of ids, in this scan or in an earlier one."""
        self.must_count_before = False
        """Whether only a count can show how many rows there were at the start."""

    def open(self, page: ScanPage[T], rest: Span, fetch_again: FetchWhole, *, filters_ids: bool) -> None:
        """Note the first page of the list, which was fetched without a range; *rest* is what is left to fetch."""
        ids = tuple(key.id for key in page.between(*self._whole).keys)
        self._first_page = _FirstPage(ids, page.total, len(page.keys) - len(ids), rest, fetch_again)
        self.filters_ids = filters_ids
        if rest[0] >= rest[1]:
            self._note_count_before(self._first_page, rest=0)

    async def fetch_next(self, span: Span, *, expected: int | None, remaining: int | None) -> ScanPage[T]:
        """Fetch the next page of a range; once more if it is the last and lacks some of the *remaining* rows.

        Rows are given up after such a page, and a replica that lags answers so, or a gateway.
        """
        page = await self.fetch((span,), expected=expected)
        if page.is_last(rank=0) and len(page.keys) < (1 if remaining is None else remaining):
            page = await self.fetch((span,), expected=expected)
        return page

    async def fetch(self, spans: Sequence[Span], *, page: int = 1, expected: int | None = None) -> ScanPage[T]:
        """Fetch a page of the spans and check it; a total other than *expected* means that rows changed."""
        found = self.receive(await self._fetch(spans, page=page), (spans[0][0], spans[-1][1]))
        # Several spans are one `$or`: receive() checks only the outer ends, so look at the ids between them too.
        if sum(len(found.between(*span).keys) for span in spans) < len(found.keys):
            raise RangeFilterIgnored
        # An empty page proves nothing: a server that matches `_id` with the wrong type finds no row at all.
        self.filters_ids |= bool(found.keys)
        if found.total is not None:
            self.stats.changed_during_scan |= expected not in (None, found.total)
            if self._first_page is not None and tuple(spans) == (self._first_page.rest,):
                self._note_count_before(self._first_page, rest=found.total)
            if self._is_part and tuple(spans) == (self._whole,):
                self.stats.count_before = found.total
        return found

    def must_count_after(self, rows: int) -> bool:
        """Whether the rows have to be counted once *rows* of them have arrived.

        Those of a part only if some are missing, which a second count shows to be deleted or lost: each part would cost
        a request more, and the whole is counted when all parts are finished.
        """
        return not self._is_part or rows < (self.stats.count_before or 0)

    async def count_after(self, rows: int) -> None:
        """Count at the end; if fewer *rows* arrived, once more, and then those that were inserted too late to arrive.

        The lower count is kept: one can include rows that are deleted right after it.
        """
        await self.count(at_end=True)
        counted = self.stats.count_after
        if counted is None or rows >= min(counted, self.stats.count_before or counted):
            return
        await self.count(at_end=True)
        self.stats.count_after = counted = min(counted, self.stats.count_after or counted)
        if rows < min(counted, self.stats.count_before or counted):
            page = await self._fetch((self._whole,), is_count=True, created_since=self._started)
            page = self.receive(page, self._whole)
            # A server that ignores the date counts all rows, of which the first one is older.
            if page.total is not None and all(key.created and key.created >= self._started for key in page.keys):
                self.stats.inserted_during_scan = page.total if page.keys else 0

    async def count(self, *, at_end: bool) -> None:
        """Request the number of rows up to the bound: at the start, if the first pages did not show it, or at the end.

        If no range has found a row yet, the count has to: it is compared with the list's first page without a range.
        """
        for _ in range(MAX_MISMATCHES):
            page = self.receive(await self._fetch((self._whole,), is_count=True), self._whole)
            if self.filters_ids or page.keys or self._first_page is None:
                break
            again, _ = await self._first_page.fetch_again()
            again = self.receive(again, (LOWEST_ID, HIGHEST_ID))
            if not any(key.id in self._first_page.ids for key in again.keys):
                break  # the rows of the first page were deleted, so the range is rightly empty
        else:
            raise RangeFilterIgnored
        self.filters_ids |= at_end or bool(page.keys)
        if at_end:
            self.stats.count_after = page.total
        elif page.total is not None and self._first_page is not None:
            self.stats.count_before = page.total
            self.stats.count_past_bound = max(0, (self._first_page.total or 0) - page.total)

    def _note_count_before(self, first_page: _FirstPage, *, rest: int) -> None:
        """Note how many rows up to the bound there were at the start; *rest* were counted after the first page.

        If the total of the list is larger than what was seen, the other rows lie past the bound, or the server left
        them out: only a count up to the bound shows which.
        """
        rows = len(first_page.ids) + rest
        if first_page.total is None or self._is_noted:
            return
        self._is_noted = True
        self.must_count_before = first_page.total > rows + first_page.past_bound
        if not self.must_count_before:
            self.stats.count_before, self.stats.count_past_bound = rows, first_page.total - rows

    def receive(self, page: ScanPage[T], span: Span) -> ScanPage[T]:
        """Check a response against its span, and note what it shows besides its rows."""
        checked = page.check(*span)
        self.stats.requests += 1
        self.stats.duplicates += checked.received - len(checked.keys)
        if self.reports_total is None:
            self.reports_total = checked.total is not None
            # Eve clamps `max_results` without an error: the rows on a first page that is not the last are the size.
            has_more = checked.total is not None and checked.total > checked.received > 0
            self.size = checked.received if has_more else checked.max_results or self.size
        # A page number only shows how many rows lie before the page if pages have exactly the size that is reported.
        self.size_is_confirmed |= checked.received == checked.max_results == self.size
        return checked
