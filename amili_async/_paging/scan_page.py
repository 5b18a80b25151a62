"""A page of ranges of ids: how it is fetched, whether it is what was asked for, and what a walk makes of it."""

import re
from bisect import bisect_right
from collections.abc import Coroutine, Iterable, Sequence
from itertools import islice
from operator import lt
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from amili_async._paging.partition import IdRange, Span
from amili_async.errors import UnreadableResponse

T = TypeVar("T")

_IDS = re.compile("(?:[0-9a-f]{24})+")


class RangeFilterIgnored(UnreadableResponse):
    """The server brings other rows than those of the range asked for, or does not find those that it shows."""

    def __init__(self) -> None:
        super().__init__(
            "an answer does not keep to the range of _id that was asked for, or is not sorted by _id: the server does "
            "not honour what extract() relies on to know that it has every record. Use stream() instead: it pages by "
            "number, and says in `drifted` whether rows moved meanwhile"
        )


class ScanPage(Struct, Generic[T], frozen=True, kw_only=True):
    """A page with what identifies its records."""

    items: tuple[T, ...]
    """The records, by `_id`."""
    keys: tuple[Any, ...]
    """For each record something that has its `id`, `updated` and `etag`."""
    received: int
    """How many rows came, those that came twice included."""
    max_results: int | None
    """How many records the server puts on a page; `None` where it did not say."""
    total: int | None
    """How many rows there are in the range asked for; `None` where the server did not say."""

    def __repr__(self) -> str:
        return f"ScanPage(items={len(self.items)}, total={self.total})"

    __rich_repr__ = None  # type: ignore[assignment]  # rich would show what repr hides

    def check(self, after: str, end: str) -> "ScanPage[T]":
        """The page without what came twice, nor a total that can't be.

        `RangeFilterIgnored` unless the ids are those of `after < _id <= end`, in their order.
        """
        ids = [key.id for key in self.keys]
        page = self
        if self.total is not None and self.total < len(ids):
            page = replace(page, total=None)
        if ids and not all(map(lt, ids, islice(ids, 1, None))):
            page = page.pick([place for place, each in enumerate(ids) if place == 0 or each != ids[place - 1]])
            if ids != sorted(ids):
                raise RangeFilterIgnored
        if ids and not (after < ids[0] and ids[-1] <= end and _IDS.fullmatch("".join(ids))):
            raise RangeFilterIgnored
        return page

    def between(self, after: str, end: str) -> "ScanPage[T]":
        """What of the page lies in a range."""
        if not self.keys or (after < self.keys[0].id and self.keys[-1].id <= end):
            return self
        low = bisect_right(self.keys, after, key=lambda key: key.id)
        high = bisect_right(self.keys, end, key=lambda key: key.id)
        return self.pick(range(low, high))

    @property
    def is_short(self) -> bool:
        """Whether there is room for another row on the page, going by the size that the server says."""
        return self.max_results is not None and self.received < self.max_results

    def is_last(self, *, rank: int | None) -> bool:
        """Whether it seems that no row follows, where *rank* rows stand before this page, if that is known.

        It is certain where the page is short, and not where it is full.
        """
        if not self.keys:
            return True
        if self.total is not None:
            return rank is not None and self.total <= rank + len(self.keys)
        return self.is_short

    def pick(self, places: Iterable[int]) -> "ScanPage[T]":
        """The page with only the records at these places."""
        chosen = tuple(places)
        items, keys = (tuple(each[place] for place in chosen) for each in (self.items, self.keys))
        return replace(self, items=items, keys=keys)


class Batch(Struct, Generic[T], eq=False):
    """Records of one range, to be taken by the consumer."""

    range: IdRange
    """Where they come from."""
    page: ScanPage[T]
    """The records."""

    def __repr__(self) -> str:
        return f"Batch({self.page!r})"

    __rich_repr__ = None  # type: ignore[assignment]  # rich would show what repr hides

    def take(self, count: int) -> None:
        """Note that the consumer has taken so many from the start; to be called at most once with all of them."""
        if count:
            self.range.taken = self.page.keys[count - 1].id
        if count == len(self.page.keys):
            self.range.waiting -= 1


class ScanStats(Struct, eq=False):
    """What a walk learns of the list besides its records."""

    requests: int = 0
    """Pages and counts that were answered."""
    doubled: int = 0
    """Rows that the server sent twice on a page."""
    has_moved: bool = False
    """Whether rows came or went between two pages of a range."""
    before: int | None = None
    """How many rows up to the bound the server counted at the start."""
    newer: int | None = None
    """How many more it counted past the bound."""
    after: int | None = None
    """How many rows up to the bound the server counted at the end."""
    has_ended: bool = False
    """Whether everything was fetched and counted."""


class FetchSpans(Protocol[T]):
    """Fetches one page of the rows whose ids lie in one of the spans, or for a count only the first of them."""

    def __call__(
        self, spans: Sequence[Span], *, page: int = 1, is_count: bool = False
    ) -> Coroutine[Any, Any, ScanPage[T]]: ...
