"""Which ids are still to be fetched: a partition of all ids into ranges, each read by keyset, and how it is split.

Invariant: the ranges partition all ids up to the frozen bound, after each split and however the rows change. Rows
of a page that lie outside its range are dropped, since they belong to another range; so no row that is present
throughout is missed or delivered twice. A range is finished when a page that is not full shows that nothing follows. If
a full page was the last by its total, the rest of the range is rechecked: Eve counts and finds in two queries, and rows
can be inserted between the two.
"""

from bisect import bisect_left
from collections.abc import Sequence
from math import ceil
from typing import TypeAlias

from msgspec import Struct

Span: TypeAlias = tuple[str, str]
"""All ids above the first, up to and including the second."""
LOWEST_ID = "0" * 24
"""Lower than any id in use."""
HIGHEST_ID = "f" * 24
"""Higher than any id in use."""

_IDS_PER_SECOND = 1 << 64
"""An ObjectId begins with four bytes of seconds; the other eight distinguish ids of the same second."""


def id_below(row_id: str) -> str:
    """The id just below another one."""
    return f"{int(row_id, 16) - 1:024x}"


class SplitPlan(Struct, eq=False):
    """A page requested from the middle of a range, at whose first row the range will be split."""

    rows_before: int
    """How many rows of the range lie between those already fetched and that page."""


class IdRange(Struct, eq=False):
    """The rows with `fetched < _id <= end`, and those before them that the consumer has not taken."""

    fetched: str
    """All rows up to this id were fetched."""
    end: str
    """The last id that belongs to the range."""
    consumed: str
    """The consumer has taken all rows up to this id."""
    remaining: int | None = None
    """How many rows are left to fetch, by the latest page; `None` if it is not known."""
    is_measured: bool = False
    """Whether `remaining` is the server's count for this range: then another count means that rows changed."""
    is_in_flight: bool = False
    """Whether its next page is being fetched."""
    batches_waiting: int = 0
    """How many of its pages were fetched but not taken by the consumer."""
    needs_recheck: bool = False
    """Whether only the total of a full page shows that nothing is left."""
    splits: list[SplitPlan] = []
    """The splits in flight, whose first ids are not known yet."""

    @property
    def is_fetched(self) -> bool:
        """Whether nothing is left to fetch."""
        return self.fetched >= self.end

    @property
    def expected(self) -> int | None:
        """How many rows the next response must count unless rows change; `None` if it is not known."""
        return self.remaining if self.is_measured else None

    def pages_to_share(self, size: int) -> int:
        """Pages of *size* rows before the first split that are not requested yet; 0 if they are too few to share."""
        rows = 0 if self.needs_recheck else min([self.remaining or 0, *(split.rows_before for split in self.splits)])
        pages = ceil(rows / size) - self.is_in_flight
        return pages if pages >= self.min_share + 1 else 0

    @property
    def min_share(self) -> int:
        """How many pages a part that is split off has at least.

        Between two splits these are two: only a last page that is requested with the end of its part shows that no row
        was missed between them.
        """
        return 2 if self.splits else 1

    def note_page(self, rows: int, *, end: str, total: int | None) -> None:
        """Count its next page off; *total* is the server's count of rows up to *end*, those on the page included."""
        self.is_in_flight = False
        # A split while the page was in flight moved the end: then the total is that of both parts.
        if self.end == end:
            self.remaining, self.is_measured = total, total is not None
        if self.remaining is not None:
            self.remaining = max(0, self.remaining - rows)
        for split in self.splits:
            split.rows_before -= rows

    def can_fetch_next(self, size: int) -> bool:
        """Whether its next page can be requested.

        The last page before a split waits until the first id after the split is known. Without that id as its end, it
        is a full page and cannot show that the range is finished.
        """
        is_blocked = bool(self.splits) and min(split.rows_before for split in self.splits) <= size
        return not (self.is_fetched or self.is_in_flight or self.needs_recheck or is_blocked)


class Partition:
    """The ranges of one scan, in the order of their ids."""

    def __init__(self, ranges: Sequence[Span], gaps: Sequence[Span] = ()) -> None:
        self._ranges = [
            IdRange(fetched=after, consumed=after, end=end, needs_recheck=(after, end) in gaps)
            for after, end in sorted((*ranges, *gaps))
        ]

    @property
    def first(self) -> IdRange:
        """The range of the lowest ids."""
        return self._ranges[0]

    @property
    def remaining(self) -> int | None:
        """How many rows are left to fetch; `None` if it is not known of every range."""
        rows = [0 if each.is_fetched or each.needs_recheck else each.remaining for each in self._ranges]
        return None if None in rows else sum(filter(None, rows))

    @property
    def gaps(self) -> list[IdRange]:
        """The ranges that should be empty and still have to be rechecked."""
        return [each for each in self._ranges if each.needs_recheck and not each.is_fetched]

    def outstanding_gaps(self) -> tuple[Span, ...]:
        """The gaps before which the consumer has taken everything."""
        return tuple((each.consumed, each.end) for each in self.gaps if not each.batches_waiting)

    def outstanding(self) -> tuple[Span, ...]:
        """What the consumer has not taken, except for those gaps; adjacent ranges are joined."""
        pairs: list[Span] = []
        for each in self._ranges:
            if not each.batches_waiting and (each.is_fetched or each.needs_recheck):
                continue
            if pairs and pairs[-1][1] == each.consumed:
                pairs[-1] = (pairs[-1][0], each.end)
            else:
                pairs.append((each.consumed, each.end))
        return tuple(pairs)

    def next_to_fetch(self, size: int) -> IdRange | None:
        """The first range whose next page can be requested."""
        return next((each for each in self._ranges if each.can_fetch_next(size)), None)

    def largest_to_split(self, size: int) -> IdRange | None:
        """The range with the most pages that are not requested yet; `None` if none has enough."""
        largest = max(self._ranges, key=lambda each: each.pages_to_share(size), default=None)
        return largest if largest is not None and largest.pages_to_share(size) else None

    def plan_split(self, owner: IdRange, *, idle: int, size: int) -> tuple[SplitPlan, int]:
        """A split that leaves the range and each of *idle* workers an equal share; and the page number to request."""
        pages = owner.pages_to_share(size)
        before = pages - max(owner.min_share, pages // (idle + 1)) + owner.is_in_flight
        split = SplitPlan(rows_before=before * size)
        owner.splits.append(split)
        return split, before + 1

    def split_at(self, split: SplitPlan, ids: Sequence[str], *, end: str, remaining: int | None) -> IdRange | None:
        """Split where a page begins; returns the new range from there on, or `None` if all of it was fetched already.

        *remaining* is how many rows follow the page up to *end*, with which the page was requested.
        """
        owner = next(each for each in self._ranges if any(other is split for other in each.splits))
        owner.splits.remove(split)
        # Rows inserted or deleted since the split was planned can shift the page into another range: look up the
        # range by the ids that arrived, and skip those that it has fetched.
        place = bisect_left(self._ranges, ids[0], key=lambda each: each.end) if ids else len(self._ranges)
        found = self._ranges[place] if place < len(self._ranges) else owner
        first = next((each for each in ids if found.fetched < each <= found.end), None)
        if first is None:
            owner.remaining, owner.is_measured = None, False  # there were fewer rows: the next page reports how many
            return None
        # Keyset ranges exclude their lower id, so the upper range begins above the id just below its first row.
        middle = id_below(first)
        upper = self._insert_upper(found, middle)
        if found is owner:
            self._divide_counts(owner, upper, split, len(ids), remaining=remaining if owner.end == end else None)
        else:
            found.remaining, found.is_measured = None, False  # rows changed: the next page reports how many are left
        return upper

    def _insert_upper(self, lower: IdRange, middle: str) -> IdRange:
        """End a range at *middle*; the new range from there on."""
        upper = IdRange(fetched=middle, consumed=middle, end=lower.end)
        lower.end = middle
        self._ranges.insert(self._ranges.index(lower) + 1, upper)
        return upper

    def _divide_counts(
        self, owner: IdRange, upper: IdRange, split: SplitPlan, rows: int, *, remaining: int | None
    ) -> None:
        """Divide the row counts and the other splits of a range between its two parts."""
        upper.is_measured = remaining is not None or owner.is_measured
        if remaining is None and owner.remaining is not None:
            remaining = max(0, owner.remaining - split.rows_before - rows)
        upper.remaining, owner.remaining, owner.is_measured = remaining, split.rows_before, upper.is_measured
        upper.splits = [other for other in owner.splits if other.rows_before > split.rows_before]
        for other in upper.splits:
            owner.splits.remove(other)
            other.rows_before -= split.rows_before + rows

    def split_by_time(self, *, idle: int) -> bool:
        """Split the range that spans the most time, without knowing its rows; returns whether there was one to split.

        An ObjectId begins with the second in which it was made, so rows that were made at a steady rate are divided
        evenly. It serves where the server reports no totals, so that pages in the middle cannot be numbered.
        """
        spans = [
            (int(each.end, 16) - int(each.fetched, 16), each)
            for each in self._ranges
            if not (each.is_fetched or each.needs_recheck)
        ]
        span, widest = max(spans, key=lambda pair: pair[0], default=(0, None))
        # Within one second the order of ids is that of random bytes and counters, which show nothing about rows.
        if widest is None or span < _IDS_PER_SECOND:
            return False
        self._insert_upper(widest, f"{int(widest.end, 16) - span // (idle + 1):024x}")
        return True
