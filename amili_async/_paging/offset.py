"""Offset pagination: request pages by number; the first page reports the total, the rest is prefetched.

Invariant: the page size that the server reports counts, not the requested one, and the list ends by what was received.
Rows that are inserted or deleted while paging shift the pages. That is reported where two pages contradict each other,
and never repaired; as many rows inserted as deleted can leave no trace, so the absence of a report proves nothing.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from math import ceil
from operator import attrgetter, methodcaller
from typing import Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from amili_async._paging.prefetch import PrefetchWindow
from amili_async.errors import UnreadableResponse
from amili_async.models.record_type import SHORT_NAMES
from amili_async.models.timestamps import is_like_a_date, parse_date
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
    sort: str = "_id"
    """The API's names of the sort keys, each with `-` for descending order, the last one `_id`."""
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
        self._repeated = 0
        self._first: Page[T] | None = None
        self._previous: tuple[T, ...] = ()
        self._ids_before: set[Any] = set()
        self._first_ids: set[Any] = set()
        self._ascends = options.sort == "_id"  # whether the ids of all records so far do: then none is repeated
        self.total: int | None = None
        """How many records match, by the latest page that reported it."""

    async def pages(self) -> AsyncGenerator[Page[T], None]:
        """Yield the pages in order; the window is closed when the iteration ends, even by an error."""
        try:
            while (response := await self._window.take()) is not None:
                self._number += 1
                page = await self._decode(response, self._number)
                if not page.items and self._is_doubtful(page):
                    self._number, self._repeated = self._number - 1, self._number
                    self._window.repeat(self._repeated)
                    continue
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

    def _is_doubtful(self, page: Page[T]) -> bool:
        """Whether more rows were counted than an empty page permits: a replica that lags answers so, or a gateway."""
        total = max(page.total or 0, self.total or 0)
        return total > self._received and self._repeated != self._number

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
        if page.items:
            self._check_size(page)
            self._compare_with_previous(page, total_changed=total_changed)
            self._previous = page.items

    def _check_size(self, page: Page[T]) -> None:
        """Raise for another page size than the first page's: then pages overlap, or rows between them are left out."""
        first = self._first = self._first or page
        if first.max_results and page.max_results and page.max_results != first.max_results:
            raise UnreadableResponse(
                f"page {self._number} has the page size {page.max_results}, and the first has {first.max_results}: "
                "the server changed the page size, so pages overlap or leave records out; try again"
            ).with_headers(page.response.headers)
        # Only the last page is shorter than the others, whatever size is reported.
        if len(page.items) > len(first.items) or (self._previous and len(self._previous) != len(first.items)):
            self._on_drift(self._number, "size")

    def _compare_with_previous(self, page: Page[T], *, total_changed: bool) -> None:
        """Report a row that appears twice on this page and the one before, an earlier page, and a break of the order.

        An insert and a delete between two requests leave the total unchanged and still shift a row.
        """
        items, previous = page.items, self._previous
        record: Any = type(items[0])
        if self._ascends:
            self._ascends = _field_of(record, "_id") == "id" and _ascend(previous[-1:] + items)
        if self._ascends:
            return
        identify = reader_of(record, "_id")
        if identify is not None and items == previous and not total_changed:
            # With a changed total, equal pages can be rows that were shifted by exactly one page.
            raise UnreadableResponse(
                f"page {self._number} is identical to the one before: the server seems to ignore the page number"
            ).with_headers(page.response.headers)
        ids, ids_before = _ids_of(items, identify), self._ids_before or _ids_of(previous, identify)
        # Of all earlier pages the first row: an old page that a cache or a gateway sends again begins with one.
        is_repeated = not (ids.isdisjoint(ids_before) and ids.isdisjoint(self._first_ids))
        self._first_ids |= _ids_of(items[:1], identify)
        if (ids and len(ids) < len(items)) or is_repeated:
            self._on_drift(self._number, "repeated")
        elif previous and breaks_order(previous[-1], items[0], self._options.sort):
            self._on_drift(self._number, "order")
        self._ids_before = ids

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
        kept = page.items[: max(0, len(page.items) - (self._received - limit))]
        return replace(page, items=kept).with_response(page.response.status, page.response.headers)


def _ascend(records: tuple[Any, ...]) -> bool:
    """Whether the ids of the records ascend strictly."""
    last: Any = ""
    try:
        for record in records:
            if not last < record.id:
                return False
            last = record.id
    except TypeError:  # a caller's struct may read ids as a type without an order
        return False
    return True


def _ids_of(records: tuple[Any, ...], identify: Callable[[Any], Any] | None) -> set[Any]:
    """The ids of the records; empty where they have none."""
    with suppress(TypeError):  # a caller's struct may read ids as a type that is not hashable
        if identify is not None and records and identify(records[0]) is not None:
            return set(map(identify, records))
    return set()


def breaks_order(last: Any, first: Any, sort: str) -> bool:
    """Whether the first record of a page does not follow the last one of the page before; `False` if it is not known.

    A sort key that is not in both records shows nothing: it may be `null`, absent or not fetched.
    """
    record: Any = type(first)
    for key in sort.split(","):
        read = reader_of(record, key.lstrip("-"))
        before, after = (None, None) if read is None else (_comparable(read(last)), _comparable(read(first)))
        if before is None or after is None:
            return False
        try:
            if before != after:
                return bool(before < after) == key.startswith("-")
        except (TypeError, ArithmeticError):  # values of two types
            return False
    return True


def _comparable(value: Any) -> Any:
    """The value in a form of which Python's order is the server's; `None` if there is none."""
    if isinstance(value, str) and is_like_a_date(value):  # as text, a date would be compared by the name of its day
        with suppress(ValueError):
            return parse_date(value)
        return None
    return value if isinstance(value, (str, int, float, Decimal, datetime)) else None


@lru_cache(maxsize=256)
def reader_of(record: Any, name: str) -> Callable[[Any], Any] | None:
    """A function that returns a field of a record of this type by the API's name; `None` for a type without it."""
    if issubclass(record, dict):
        return methodcaller("get", name)
    field = _field_of(record, name)
    return None if field is None else attrgetter(field)


@lru_cache(maxsize=256)
def _field_of(record: Any, name: str) -> str | None:
    """The attribute that has the API's name in records of this type; `None` for a type without it."""
    names = zip(getattr(record, "__struct_fields__", ()), getattr(record, "__struct_encode_fields__", ()), strict=True)
    return next((field for field, wire in names if SHORT_NAMES.get(wire, wire) == name), None)
