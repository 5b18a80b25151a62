"""What the answers of a walk tell of the list and of the server: how many rows, how large a page, whether in range.

The law: nothing may be handed out before the server *filters_ids* to keep to ranges of ids; and a count is the server's
own, never one of what came.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from msgspec import Struct

from amili_async._paging.partition import LOWEST, Span
from amili_async._paging.scan_page import FetchSpans, RangeFilterIgnored, ScanPage, ScanStats

T = TypeVar("T")

HIGHEST = "f" * 24
"""The id that stands behind all others."""
DOUBTS = 3
"""How often rows must be shown without a range, and not be found with one: once, they may just have gone and come."""

FetchWhole: TypeAlias = Callable[[], Awaitable[ScanPage[Any]]]
"""Fetches the first page of the list, without a range."""


class _Opening(Struct, frozen=True):
    """What the page showed that was fetched before the bound was known."""

    ids: tuple[str, ...]
    total: int | None
    newer: int
    rest: Span
    look_again: FetchWhole


class ScanChecks(Generic[T]):
    """What is known by now."""

    def __init__(self, fetch: FetchSpans[T], *, end: str, page_size: int, findings: ScanStats) -> None:
        self._fetch = fetch
        self._whole = (LOWEST, end)
        self._opening: _Opening | None = None
        self._is_noted = False
        self.findings = findings
        """What was learned besides the records."""
        self.size = page_size
        """How many rows the server puts on a page."""
        self.is_size_sure = False
        """Whether it has shown as many."""
        self.says_total: bool | None = None
        """Whether it tells how many rows there are; `None` before it has answered."""
        self.filters_ids = True
        """Whether it has shown that it keeps to ranges of ids; an earlier walk over the list has seen it."""
        self.must_count_before = False
        """Whether only a count can tell how many rows there were at the start."""

    def open(self, page: ScanPage[T], rest: Span, look_again: FetchWhole, *, filters_ids: bool) -> None:
        """Take in the page with which the list begins, fetched without a range; *rest* is what is left to be asked."""
        ids = tuple(key.id for key in page.between(*self._whole).keys)
        self._opening = _Opening(ids, page.total, len(page.keys) - len(ids), rest, look_again)
        self.filters_ids = filters_ids
        if rest[0] >= rest[1]:
            self._note_before(self._opening, rest=0)

    async def ask(self, spans: Sequence[Span], *, page: int = 1, expected: int | None = None) -> ScanPage[T]:
        """A page of those spans, checked; another total than was *expected* means that rows moved."""
        answer = self.receive(await self._fetch(spans, page=page), (spans[0][0], spans[-1][1]))
        if sum(len(answer.between(*span).keys) for span in spans) < len(answer.keys):
            raise RangeFilterIgnored
        self.filters_ids |= bool(answer.keys)
        if answer.total is not None:
            self.findings.has_moved |= expected not in (None, answer.total)
            if self._opening is not None and tuple(spans) == (self._opening.rest,):
                self._note_before(self._opening, rest=answer.total)
        return answer

    async def count(self, *, is_after: bool) -> None:
        """Ask how many rows there are up to the bound: at the start, where that is open, or at the end."""
        for _ in range(DOUBTS):
            page = self.receive(await self._fetch((self._whole,), is_count=True), self._whole)
            if self.filters_ids or page.keys or self._opening is None:
                break
            still = self.receive(await self._opening.look_again(), (LOWEST, HIGHEST))
            if not any(key.id in self._opening.ids for key in still.keys):
                break
        else:
            raise RangeFilterIgnored  # it never finds what it shows before and after
        self.filters_ids |= is_after or bool(page.keys)
        if is_after:
            self.findings.after = page.total
        elif page.total is not None and self._opening is not None:
            self.findings.before = page.total
            self.findings.newer = max(0, (self._opening.total or 0) - page.total)

    def _note_before(self, opening: _Opening, *, rest: int) -> None:
        """Note how many rows up to the bound there were.

        Where the list has more than were seen, they lie past the bound, or were left out: only a count can tell.
        """
        rows = len(opening.ids) + rest
        if opening.total is None or self._is_noted:
            return
        self._is_noted = True
        self.must_count_before = opening.total > rows + opening.newer
        if not self.must_count_before:
            self.findings.before, self.findings.newer = rows, opening.total - rows

    def receive(self, answer: ScanPage[T], span: Span) -> ScanPage[T]:
        """Check an answer, and learn what it shows besides its rows."""
        page = answer.check(*span)
        self.findings.requests += 1
        self.findings.doubled += page.received - len(page.keys)
        if self.says_total is None:  # the first page tells how large a page is, and whether totals come
            self.says_total = page.total is not None
            has_more = page.total is not None and page.total > page.received > 0
            self.size = page.received if has_more else page.max_results or self.size
        self.is_size_sure |= page.received == page.max_results == self.size
        return page
