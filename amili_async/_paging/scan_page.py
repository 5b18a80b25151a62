"""A page of one or several ranges of ids: how it is requested, whether it is valid, what a scan makes of it."""

import re
from bisect import bisect_right
from collections.abc import Coroutine, Iterable, Sequence
from datetime import datetime
from itertools import islice
from operator import lt
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from amili_async._paging.partition import IdRange, Span
from amili_async._wire.tasks import hide_contents
from amili_async.errors import UnreadableResponse

T = TypeVar("T")

_IDS = re.compile("(?:[0-9a-f]{24})+")


class RangeFilterIgnored(UnreadableResponse):
    """The server returns rows outside the requested range, or does not find rows that it shows without a range."""

    def __init__(self) -> None:
        super().__init__(
            "a response has ids outside the requested range of _id, lacks rows of it, or is not sorted by _id: the "
            "server ignores what extract() relies on to be complete. Use stream() instead: it requests pages by number "
            "and reports in `drifted` whether rows changed"
        )


@hide_contents
class ScanPage(Struct, Generic[T], frozen=True, kw_only=True):
    """A page of records with their identities."""

    items: tuple[T, ...]
    """The records, by `_id`."""
    keys: tuple[Any, ...]
    """For each record an object that has its `id`, `updated` and `etag`."""
    received: int
    """How many rows arrived, duplicates included."""
    max_results: int | None
    """How many records the server puts on a page; `None` if it does not report it."""
    total: int | None
    """How many rows are in the requested ranges, by the server's count; `None` if it does not report it."""

    def check(self, after: str, end: str) -> "ScanPage[T]":
        """The page without duplicates and without an impossible total.

        Raises `RangeFilterIgnored` unless the ids ascend and `after < _id <= end` holds for each.
        """
        ids = [key.id for key in self.keys]
        page = self
        # Eve counts and finds in two queries: rows inserted between the two make the total too small.
        if self.total is not None and self.total < len(ids):
            page = replace(page, total=None)
        if ids and not all(map(lt, ids, islice(ids, 1, None))):
            # MongoDB can return a document twice if it is updated while the query runs: a duplicate, not an error.
            page = page.select([place for place, each in enumerate(ids) if place == 0 or each != ids[place - 1]])
            if ids != sorted(ids):
                raise RangeFilterIgnored
        # Ids are compared as text, which is their order only while all are 24 lower-case hexadecimal digits.
        if ids and not (after < ids[0] and ids[-1] <= end and _IDS.fullmatch("".join(ids))):
            raise RangeFilterIgnored
        return page

    def between(self, after: str, end: str) -> "ScanPage[T]":
        """The page with only the records of a range."""
        if not self.keys or (after < self.keys[0].id and self.keys[-1].id <= end):
            return self
        low = bisect_right(self.keys, after, key=lambda key: key.id)
        high = bisect_right(self.keys, end, key=lambda key: key.id)
        return self.select(range(low, high))

    @property
    def is_short(self) -> bool:
        """Whether the page has room for another row, by the page size that the server reports.

        The requested size does not count: Eve clamps `max_results` and shows it in `_meta.max_results` only.
        """
        return self.max_results is not None and self.received < self.max_results

    def is_last(self, *, rank: int | None) -> bool:
        """Whether no row seems to follow; *rank* is how many rows lie before this page, `None` if it is not known.

        It is certain if the page is short. If it is full, a row can have been inserted after the server counted.
        """
        if not self.keys:
            return True
        if self.total is not None:
            return rank is not None and self.total <= rank + len(self.keys)
        return self.is_short

    def select(self, places: Iterable[int]) -> "ScanPage[T]":
        """The page with only the records at these places."""
        chosen = tuple(places)
        items, keys = (tuple(each[place] for place in chosen) for each in (self.items, self.keys))
        return replace(self, items=items, keys=keys)


@hide_contents
class Batch(Struct, Generic[T], eq=False):
    """Records of one range, ready for the consumer."""

    range: IdRange
    """The range that they belong to."""
    page: ScanPage[T]
    """The records."""

    def mark_consumed(self, count: int) -> None:
        """Note that the consumer has taken the first *count* records; at most one call may pass all of them."""
        if count:
            self.range.consumed = self.page.keys[count - 1].id
        if count == len(self.page.keys):
            self.range.batches_waiting -= 1


class ScanStats(Struct, eq=False):
    """What a scan learns about the list besides its records; a checkpoint has fields of the same names."""

    requests: int = 0
    """Pages and counts that were answered."""
    duplicates: int = 0
    """Rows that the server sent twice on one page."""
    changed_during_scan: bool = False
    """Whether rows were inserted or deleted between two pages of a range."""
    count_before: int | None = None
    """How many rows up to the bound the server counted at the start."""
    count_past_bound: int | None = None
    """How many more it counted past the bound."""
    count_after: int | None = None
    """How many rows up to the bound the server counted at the end."""
    inserted_during_scan: int = 0
    """How many of those were created since the start; counted only if rows are missing otherwise."""
    has_ended: bool = False
    """Whether everything was fetched and counted."""


class FetchSpans(Protocol[T]):
    """Fetches one page of the rows in the spans, by `_id`; for a count only the first row, read for its identity.

    With *created_since* it is a page of those only that were inserted since then.
    """

    def __call__(
        self,
        spans: Sequence[Span],
        *,
        page: int = 1,
        is_count: bool = False,
        created_since: datetime | None = None,
    ) -> Coroutine[Any, Any, ScanPage[T]]: ...
