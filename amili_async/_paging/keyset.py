"""Walk a list by `_id`, a page at a time, each read on from the last id, so that nothing that happens moves the rest.

The law: a row that is there throughout comes exactly once. The last page is one that is empty, or shorter than the
server says that its pages are. One that contradicts its own total is asked for again, and is an error if it does so
each time; so is one that is not in the order of the ids.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, TypeVar

from amili_async._wire.decoding import Page, decoder_for
from amili_async._wire.protocol import MAX_PAGE_SIZE, Request, Response, list_request
from amili_async.errors import UnreadableResponse
from amili_async.filters import Condition
from amili_async.models.record_type import RecordType
from amili_async.policies import Priority
from amili_async.query import build_query, field

T = TypeVar("T")

DOUBTS = 5
"""How often a page is asked for that contradicts itself."""


class KeysetPager(Generic[T]):
    """One walk over all that fulfils a condition; its records have an `id`."""

    def __init__(
        self,
        path: str,
        shape: RecordType[T],
        condition: Condition | None,
        call: Callable[[Request], Awaitable[Response]],
    ) -> None:
        self._path = path
        self._shape = shape
        self._condition = condition
        self._call = call

    def ask(self, after: str | None) -> Request:
        """The request for what follows an id; `ConfigurationError` where the condition makes too long a line."""
        condition = self._condition
        if after is not None:
            behind = field("_id") > after
            condition = behind if condition is None else condition & behind
        query = build_query(condition, projection=self._shape.projection)
        return list_request(self._path, query, max_results=MAX_PAGE_SIZE, priority=Priority.BULK)

    async def read(self, after: str | None) -> Page[T]:
        """The page that follows an id."""
        request = self.ask(after)
        for _ in range(DOUBTS):
            response = await self._call(request)
            page = decoder_for(self._shape).read_page(response, request=request.label, number=1)
            self._check_order(page, after)
            if not _contradicts_itself(page):
                return page
        raise UnreadableResponse(
            f"{request.label} was answered {DOUBTS} times with another number of rows than it says: rows came or went "
            "each time, or some are left out",
            request=request.label,
        )

    async def records(self) -> AsyncGenerator[T, None]:
        """All of them, in the order of their ids."""
        after: str | None = None
        while True:
            page = await self.read(after)
            for record in page.items:
                yield record
            if is_last(page):
                return
            after = _ids(page)[-1]

    def _check_order(self, page: Page[T], after: str | None) -> None:
        ids = _ids(page)
        if ids != sorted(set(ids)) or (after is not None and ids and ids[0] <= after):
            raise filter_ignored(self._path)


def is_last(page: Page[Any]) -> bool:
    """Whether nothing follows."""
    return not page.items or (page.max_results is not None and len(page.items) < page.max_results)


def filter_ignored(path: str) -> UnreadableResponse:
    """To be raised where an answer is not what was asked for: then nothing can be told of what is missing."""
    return UnreadableResponse(
        f"GET /{path} was answered with records that were not asked for, or not in the order asked for: the server "
        "seems not to honour filter or sort, so nothing can be told of what is missing",
        request=f"GET /{path}",
    )


def _ids(page: Page[Any]) -> list[str]:
    return [row.id for row in page.items]


def _contradicts_itself(page: Page[Any]) -> bool:
    if page.total is None:
        return False
    return page.total != len(page.items) if is_last(page) else page.total < len(page.items)
