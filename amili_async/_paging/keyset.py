"""Sequential keyset pagination: request each page with `_id > last id`.

Invariant: concurrent inserts and deletes cannot shift later pages, so a row that is present throughout is delivered
exactly once. The last page is one that is empty, or shorter than the page size that the server reports. A page that
contradicts its own total is requested again, and is an error if it does so each time; so is one that is not sorted by
`_id`.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from amili_async._paging.partition import LOWEST_ID
from amili_async._wire.listing import Listing
from amili_async.conditions import Condition, Where, field
from amili_async.errors import ConfigurationError, UnreadableResponse
from amili_async.pages import Page
from amili_async.policies import Priority
from amili_async.query import Query, build_query

T = TypeVar("T")

MAX_CONTRADICTIONS = 5
"""How often a page is requested that contradicts its own total. A single one can be a concurrent change, because Eve
counts and finds in two queries."""

MAX_IDS_PER_LOOKUP = 50
"""Ids in one filter at most: with a short filter of the caller's, they fit into a request line."""


class KeysetPager(Generic[T]):
    """One iteration over all rows that match a condition; its records have an `id`.

    Raises `ConfigurationError` if the condition makes the request line too long.
    """

    def __init__(self, listing: Listing[T], condition: Condition | None, *, priority: Priority = Priority.BULK) -> None:
        self._listing = listing
        self._priority = priority
        self._condition = condition
        listing.check(self._query_after(LOWEST_ID))

    async def read(self, after: str | None) -> Page[T]:
        """The page that follows an id; `None` for the first."""
        query = self._query_after(after)
        for _ in range(MAX_CONTRADICTIONS):
            page = await self._listing.fetch(query, priority=self._priority)
            rows: tuple[Any, ...] = page.items
            ids = [row.id for row in rows]
            # Eve ignores a sort by a field that it does not allow, without an error.
            if ids != sorted(set(ids)) or (after is not None and ids and ids[0] <= after):
                raise filter_ignored(self._listing.path).with_headers(page.response.headers)
            if not _contradicts_itself(page):
                return page
        label = self._listing.label
        raise UnreadableResponse(
            f"{label}: the page contradicted its own total in each of {MAX_CONTRADICTIONS} attempts: rows are being "
            "inserted or deleted, or the server leaves rows out; try again later",
            request=label,
        ).with_headers(page.response.headers)

    def _query_after(self, after: str | None) -> Query:
        condition = self._condition
        if after is not None:
            follows = field("_id") > after
            condition = follows if condition is None else condition & follows
        return build_query(condition, projection=self._listing.record_type.projection)

    async def records(self) -> AsyncGenerator[T, None]:
        """All records, in the order of their ids."""
        after: str | None = None
        remaining = 0
        while True:
            page = await self.read(after)
            if is_last(page) and len(page.items) < remaining:
                page = await self.read(after)  # rows were counted that are not there: see ScanChecks.fetch_next
            remaining = (page.total or 0) - len(page.items)
            for record in page.items:
                yield record
            if is_last(page):
                return
            last: Any = page.items[-1]
            after = last.id


class IdLookup:
    """Looks ids up beside a filter, as many at a time as fit into a request line.

    Raises `ConfigurationError` if none fits.
    """

    def __init__(self, listing: Listing[Any], where: Where) -> None:
        self._listing = listing
        self._where = where
        self._size = MAX_IDS_PER_LOOKUP
        while not self._fits():
            self._size //= 2

    async def find(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that exist and match: no absence is believed from one response."""
        found: set[str] = set()
        for start in range(0, len(ids), self._size):
            async with aclosing(self._pager(ids[start : start + self._size]).records()) as records:
                found |= {record.id async for record in records}
        return found

    def _pager(self, ids: Sequence[str]) -> KeysetPager[Any]:
        condition = field("_id").is_in(ids)
        return KeysetPager(self._listing, condition if self._where is None else condition & self._where)

    def _fits(self) -> bool:
        try:
            self._pager([LOWEST_ID] * self._size)
        except ConfigurationError:
            if self._size == 1:
                raise
            return False
        return True


def is_last(page: Page[Any]) -> bool:
    """Whether no row follows. The total is not used for this: Eve counts and finds in two queries."""
    return not page.items or (page.max_results is not None and len(page.items) < page.max_results)


def filter_ignored(path: str) -> UnreadableResponse:
    """The error for a response with rows that were not requested: with it, missing rows prove nothing."""
    return UnreadableResponse(
        f"GET /{path} returned records that do not match the filter or are not sorted by _id: the server seems to "
        "ignore filter or sort, so records that are missing may still exist",
        request=f"GET /{path}",
    )


def _contradicts_itself(page: Page[Any]) -> bool:
    if page.total is None:
        return False
    # The filter has `_id > last id`, so the total counts this page and what follows it.
    return page.total != len(page.items) if is_last(page) else page.total < len(page.items)
