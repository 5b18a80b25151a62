"""Which ids are still to be fetched: a partition into ranges, each walked from its last id, and how it is cut.

The law: the ranges partition all ids up to the frozen bound, from each cut on and whatever the server's rows do
meanwhile. What a page brings beyond its range is dropped, since it belongs to another; so no row that is there
throughout is missed or comes twice. A range is at its end when a page that is not full says so. A full one leaves a
gap, which is looked into again: a server counts and finds one after the other, and rows move between the two.
"""

from bisect import bisect_left
from collections.abc import Sequence
from math import ceil
from typing import TypeAlias

from msgspec import Struct

Span: TypeAlias = tuple[str, str]
"""The ids behind the first of two, up to the second."""
LOWEST = "0" * 24
"""The id that stands before all others."""


class Split(Struct, eq=False):
    """A page asked for from the middle of a range, which will be cut where that page begins."""

    rows_before: int
    """How many rows of the range lie between what was fetched of it and that page."""


class IdRange(Struct, eq=False):
    """The rows with `fetched < _id <= end`, and those before them that the consumer has yet to take."""

    fetched: str
    """Up to this id all rows were fetched."""
    end: str
    """The last id that belongs to the range."""
    taken: str
    """Up to this id the consumer took all rows."""
    remaining: int | None = None
    """How many rows are left to fetch, by the latest page; `None` where that is not known."""
    is_measured: bool = False
    """Whether that number comes from a page of a range: then another one means that rows moved."""
    is_in_flight: bool = False
    """Whether its next page is being fetched."""
    waiting: int = 0
    """How many of its pages were fetched but not taken."""
    needs_recheck: bool = False
    """Whether only a full page's total says that nothing is left."""
    cuts: list[Split] = []
    """The cuts under way, whose places are not known yet."""

    @property
    def is_fetched(self) -> bool:
        """Whether nothing is left to fetch."""
        return self.fetched >= self.end

    @property
    def is_taken(self) -> bool:
        """Whether nothing is left for the consumer either."""
        return self.is_fetched and not self.waiting

    @property
    def expected(self) -> int | None:
        """How many rows its next answer must count, unless rows move; `None` where that is not known."""
        return self.remaining if self.is_measured else None

    def pages_to_share(self, size: int) -> int:
        """Pages of *size* up to the first cut that nobody asked for; 0 where they are too few to be shared.

        The part between two cuts is at least two pages long: only its last page, asked for with its end, shows that
        no row was missed between them.
        """
        rows = 0 if self.needs_recheck else min([self.remaining or 0, *(cut.rows_before for cut in self.cuts)])
        pages = ceil(rows / size) - self.is_in_flight
        return pages if pages >= self.least_share + 1 else 0

    @property
    def least_share(self) -> int:
        """How many pages a part that is cut off has at least."""
        return 2 if self.cuts else 1

    def note_page(self, rows: int, *, end: str, total: int | None) -> None:
        """Take its next page in; *total* is how many rows there were up to *end*, those of the page included."""
        self.is_in_flight = False
        if self.end == end:
            self.remaining, self.is_measured = total, total is not None
        if self.remaining is not None:
            self.remaining = max(0, self.remaining - rows)
        for cut in self.cuts:
            cut.rows_before -= rows

    def can_go_on(self, size: int) -> bool:
        """Whether its next page can be asked for.

        The last one before a cut waits until the cut's place is known: asked for without its end, it would not show
        that the range is over.
        """
        is_blocked = bool(self.cuts) and min(cut.rows_before for cut in self.cuts) <= size
        return not (self.is_fetched or self.is_in_flight or self.needs_recheck or is_blocked)


class Partition:
    """The ranges of one walk, in the order of their ids."""

    def __init__(self, ranges: Sequence[Span], gaps: Sequence[Span] = ()) -> None:
        self._ranges = [
            IdRange(fetched=after, taken=after, end=end, needs_recheck=(after, end) in gaps)
            for after, end in sorted((*ranges, *gaps))
        ]

    @property
    def first(self) -> IdRange:
        """The range of the lowest ids."""
        return self._ranges[0]

    @property
    def remaining(self) -> int | None:
        """How many rows are left to fetch; `None` where that is not known of every range."""
        rows = [0 if each.is_fetched or each.needs_recheck else each.remaining for each in self._ranges]
        return None if None in rows else sum(filter(None, rows))

    @property
    def gaps(self) -> list[IdRange]:
        """The gaps that are left."""
        return [each for each in self._ranges if each.needs_recheck and not each.is_fetched]

    def outstanding_gaps(self) -> tuple[Span, ...]:
        """The gaps before which the consumer has taken everything."""
        return tuple((each.taken, each.end) for each in self.gaps if not each.waiting)

    def outstanding(self) -> tuple[Span, ...]:
        """What the consumer has not taken, but for those gaps; neighbours are joined."""
        pairs: list[Span] = []
        for each in self._ranges:
            if each.is_taken or (each.needs_recheck and not each.waiting):
                continue
            if pairs and pairs[-1][1] == each.taken:
                pairs[-1] = (pairs[-1][0], each.end)
            else:
                pairs.append((each.taken, each.end))
        return tuple(pairs)

    def next_to_walk(self, size: int) -> IdRange | None:
        """The first range whose next page can be asked for."""
        return next((each for each in self._ranges if each.can_go_on(size)), None)

    def largest_to_cut(self, size: int) -> IdRange | None:
        """The range with the most pages that nobody asked for; `None` where none has enough."""
        largest = max(self._ranges, key=lambda each: each.pages_to_share(size), default=None)
        return largest if largest is not None and largest.pages_to_share(size) else None

    def plan_cut(self, owner: IdRange, *, idle: int, size: int) -> tuple[Split, int]:
        """A cut that leaves the owner and each of *idle* workers an equal share; and the page to ask for."""
        pages = owner.pages_to_share(size)
        before = pages - max(owner.least_share, pages // (idle + 1)) + owner.is_in_flight
        cut = Split(rows_before=before * size)
        owner.cuts.append(cut)
        return cut, before + 1

    def cut_at(self, cut: Split, ids: Sequence[str], *, end: str, remaining: int | None) -> IdRange | None:
        """Split where a page begins; the new range from there on, or `None` where all of it was fetched already.

        *remaining* is how many rows follow the page up to *end*, which was asked for.
        """
        owner = next(each for each in self._ranges if any(other is cut for other in each.cuts))
        owner.cuts.remove(cut)
        found = self._find(ids[0]) if ids else None
        first = None if found is None else next((each for each in ids if found.fetched < each <= found.end), None)
        if found is None or first is None:
            owner.remaining, owner.is_measured = None, False  # there were fewer rows: the next page tells
            return None
        place = f"{int(first, 16) - 1:024x}"
        upper = IdRange(fetched=place, taken=place, end=found.end)
        if found is owner:
            self._share(owner, upper, cut, len(ids), remaining=remaining if owner.end == end else None)
        else:
            found.remaining, found.is_measured = None, False  # rows moved: the next page tells
        found.end = place
        self._ranges.insert(self._ranges.index(found) + 1, upper)
        return upper

    def _share(self, owner: IdRange, upper: IdRange, cut: Split, rows: int, *, remaining: int | None) -> None:
        """Divide what is known of a range between its two parts."""
        upper.is_measured = remaining is not None or owner.is_measured
        if remaining is None and owner.remaining is not None:
            remaining = max(0, owner.remaining - cut.rows_before - rows)
        upper.remaining, owner.remaining, owner.is_measured = remaining, cut.rows_before, upper.is_measured
        upper.cuts = [other for other in owner.cuts if other.rows_before > cut.rows_before]
        for other in upper.cuts:
            owner.cuts.remove(other)
            other.rows_before -= cut.rows_before + rows

    def _find(self, record_id: str) -> IdRange | None:
        """The range in which an id lies; `None` past the last."""
        place = bisect_left(self._ranges, record_id, key=lambda each: each.end)
        return self._ranges[place] if place < len(self._ranges) else None

    def cut_by_time(self, *, idle: int) -> bool:
        """Split the range that spans the most time, without knowing its rows; whether there was one to cut."""
        spans = [
            (int(each.end, 16) - int(each.fetched, 16), each)
            for each in self._ranges
            if not (each.is_fetched or each.needs_recheck)
        ]
        span, widest = max(spans, key=lambda pair: pair[0], default=(0, None))
        if widest is None or span < 1 << 64:  # within a second there is no telling where rows lie
            return False
        middle = f"{int(widest.end, 16) - span // (idle + 1):024x}"
        upper = IdRange(fetched=middle, taken=middle, end=widest.end)
        widest.end = middle
        self._ranges.insert(self._ranges.index(widest) + 1, upper)
        return True
