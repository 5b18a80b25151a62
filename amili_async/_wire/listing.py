"""One list of the API: make the request for a page of it, send it, decode the response."""

from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import force_setattr

from amili_async._wire.context import ClientContext
from amili_async._wire.decoding import RecordDecoder, decoder_for
from amili_async._wire.protocol import MAX_PAGE_SIZE, Response, check_is_current, is_current, list_request
from amili_async._wire.tasks import hide_contents
from amili_async.errors import ConnectionFailed
from amili_async.models.record_type import RecordType
from amili_async.pages import Page
from amili_async.policies import Priority
from amili_async.query import Query

R = TypeVar("R")
T = TypeVar("T")


PATHS = {
    "payouts": "finance--payouts",
    "payout_specifications": "finance--payout-specifications",
    "creditor_payments": "creditor--payments",
    "creditors": "creditors",
    "cases": "cases",
}
"""The API's path of each resource."""


@hide_contents
class Listing(Struct, Generic[T], frozen=True):
    """One list, decoded into records of one type."""

    path: str
    """The API's path of the resource."""
    record_type: RecordType[T]
    """What its records are decoded into."""
    context: ClientContext
    """Sends the requests."""
    must_be_current: bool = False
    """Whether a response from a cache is requested again, once, and then rejected: with it, a missing row proves
    nothing."""
    operation: str = "page"
    """What its pages are requested for: see `CallStarted`."""
    decoder: RecordDecoder[T] = None  # type: ignore[assignment]  # set below
    """Decodes the responses."""

    def __post_init__(self) -> None:
        force_setattr(self, "decoder", decoder_for(self.record_type))

    def __repr__(self) -> str:
        return f"Listing({self.path})"

    @property
    def label(self) -> str:
        """Method and path, for errors."""
        return f"GET /{self.path}"

    def check(self, query: Query) -> None:
        """Raise `ConfigurationError` if the query makes the request line too long, before anything is sent."""
        list_request(self.path, query, page=10**6)  # so that the longest page number fits too

    async def send(
        self,
        query: Query,
        *,
        page: int = 1,
        page_size: int = MAX_PAGE_SIZE,
        priority: Priority = Priority.BULK,
        is_verified: bool = False,
    ) -> Response:
        """Request one page and return the response undecoded: a buffered page is smaller as bytes than as records."""
        request = list_request(
            self.path,
            query,
            page=page,
            max_results=page_size,
            operation=self.operation,
            priority=priority,
            is_verified=is_verified,
        )
        response = await self.context.call(request)
        if self.must_be_current and not is_current(response):
            # Each request has `no-cache`; a cache that has just revalidated what it stores may add the seconds since.
            response = await self.context.call(request)
            check_is_current(request, response)
        return response

    def decode(self, response: Response, *, page: int | None = 1, page_size: int = MAX_PAGE_SIZE) -> Page[T]:
        """Decode a response to a request for *page* (`None`: any page); raises `UnreadableResponse`."""
        return self.decoder.read_page(response, request=self.label, number=page, size=page_size)

    async def fetch(
        self, query: Query, *, page: int = 1, page_size: int = MAX_PAGE_SIZE, priority: Priority = Priority.BULK
    ) -> Page[T]:
        """Request one page and decode it."""
        response = await self.send(query, page=page, page_size=page_size, priority=priority)
        return await self.read(self.decode, response, query, page=page, page_size=page_size, priority=priority)

    async def read(
        self,
        decode: Callable[..., R],
        response: Response,
        query: Query,
        *,
        page: int = 1,
        page_size: int = MAX_PAGE_SIZE,
        priority: Priority = Priority.BULK,
    ) -> R:
        """`decode(response, page=…, page_size=…)` of the response to `send()`; if it is cut off, request it once more.

        Only decoding finds that in a large page. The second response counts once it is whole, after several attempts.
        """
        try:
            return decode(response, page=page, page_size=page_size)
        except ConnectionFailed:
            pass
        again = await self.send(query, page=page, page_size=page_size, priority=priority, is_verified=True)
        return decode(again, page=page, page_size=page_size)
