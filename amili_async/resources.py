"""One object per endpoint: single records, pages, counts and streams of one type of record."""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypedDict, TypeVar, Unpack, overload

from msgspec import Struct

from amili_async._paging.offset import Pace
from amili_async._paging.ordered import Window
from amili_async._wire.protocol import MAX_PAGE_SIZE, Request, Response, item_request, list_request
from amili_async._wire.reading import Page, reader_of
from amili_async._wire.throttle import Lane
from amili_async.errors import ConfigurationError, UnreadableResponse
from amili_async.events import Announcer
from amili_async.filters import Condition, Where, filter_document
from amili_async.models import CreatedPayment, CreditorPayment, NewCreditorPayment, Payout, PayoutSpecification
from amili_async.models.fields import check_id
from amili_async.models.shape import Shape, shape_of
from amili_async.payments import register_payment
from amili_async.query import Projection, Query, Sort, build_query, encode_projection, field
from amili_async.streams import Stream

T = TypeVar("T")
U = TypeVar("U")


class Connection(Struct, frozen=True, kw_only=True):
    """What a resource is given by its client."""

    call: Callable[[Request], Awaitable[Response]]
    """Carries a request to the server and brings the answer."""
    announce: Announcer
    """Tells the observers."""
    open_windows: set[Window[Any]]
    """Where each stream notes what it has under way, so that the client can end it."""
    page_size: int
    """Records per page, unless a call says otherwise."""
    concurrency: int
    """Requests in flight per stream, unless a call says otherwise."""


class PageOptions(TypedDict, total=False):
    """What can be said of a page."""

    sort: Sort
    projection: Projection
    page_size: int | None


class StreamOptions(PageOptions, total=False):
    """What can be said of a stream."""

    max_items: int | None
    concurrency: int | None


class Resource(Generic[T]):
    """One endpoint of the API."""

    def __init__(self, path: str, record: type[T], connection: Connection) -> None:
        self._path = path
        self._connection = connection
        self._record: Shape[T] = Shape(record=record, wire=record, projection=None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._path})"

    @overload
    async def get(self, id: str, *, projection: Projection = None, into: None = None) -> T: ...
    @overload
    async def get(self, id: str, *, projection: Projection = None, into: type[U]) -> U: ...
    async def get(self, id: str, *, projection: Projection = None, into: Any = None) -> Any:  # noqa: A002
        """One record by its id (24 hexadecimal digits); `NotFound` where there is none."""
        shape = self._choose_shape(into, projection)
        request = item_request(self._path, check_id(id), encode_projection(shape.projection or projection))
        return reader_of(shape).read_record(await self._connection.call(request), request=request.label)

    @overload
    async def page(
        self, number: int = 1, where: Where = None, *, into: None = None, **options: Unpack[PageOptions]
    ) -> Page[T]: ...
    @overload
    async def page(
        self, number: int = 1, where: Where = None, *, into: type[U], **options: Unpack[PageOptions]
    ) -> Page[U]: ...
    async def page(
        self,
        number: int = 1,
        where: Where = None,
        *,
        sort: Sort = None,
        projection: Projection = None,
        into: Any = None,
        page_size: int | None = None,
    ) -> Page[Any]:
        """One page, numbered from 1; a page past the end has no items.

        Sorted by `_id` unless *sort* says otherwise (`"-booking_date"`); at most 100 records a page.
        """
        shape = self._choose_shape(into, projection)
        query = build_query(where, sort=sort, projection=shape.projection or projection)
        check_count(number, "page")
        response = await self._fetch(query, number, self._choose_page_size(page_size), Lane.SINGLE)
        return self._read_page(shape, response, number)

    async def count(self, where: Where = None) -> int:
        """How many records match, by `_meta.total`: one request. `UnreadableResponse` where the server gives none."""
        page = await self.page(1, where, projection=("_id",), into=dict, page_size=1)
        if page.total is None:
            raise UnreadableResponse(
                f"GET /{self._path} was answered without a total (_meta.total)", request=f"GET /{self._path}"
            )
        return page.total

    @overload
    def stream(self, where: Where = None, *, into: None = None, **options: Unpack[StreamOptions]) -> Stream[T]: ...
    @overload
    def stream(self, where: Where = None, *, into: type[U], **options: Unpack[StreamOptions]) -> Stream[U]: ...
    def stream(
        self,
        where: Where = None,
        *,
        sort: Sort = None,
        projection: Projection = None,
        into: Any = None,
        max_items: int | None = None,
        page_size: int | None = None,
        concurrency: int | None = None,
    ) -> Stream[Any]:
        """All records that match, in the order of *sort* (by `_id` unless it says otherwise), as a `Stream`.

        *into* is a `msgspec.Struct` type of yours, whose fields are then all that travels, or `dict`. *max_items* ends
        the stream after so many records. Bad input is refused here, before anything is sent.
        """
        shape = self._choose_shape(into, projection)
        query = build_query(where, sort=sort, projection=shape.projection or projection)
        size = self._choose_page_size(page_size)
        if max_items is not None:
            size = min(size, check_count(max_items, "max_items"))
        list_request(self._path, query)  # refuses a query that is too long before the stream is handed out
        pace = Pace(
            page_size=size,
            width=self._connection.concurrency if concurrency is None else check_count(concurrency, "concurrency"),
            max_items=max_items,
        )
        return Stream(
            self._path,
            lambda number, max_results, lane: self._fetch(query, number, max_results, lane),
            lambda response, number: self._read_page(shape, response, number),
            pace=pace,
            announce=self._connection.announce,
            open_windows=self._connection.open_windows,
        )

    async def _fetch(self, query: Query, number: int, max_results: int, lane: Lane) -> Response:
        request = list_request(self._path, query, page=number, max_results=max_results, lane=lane)
        return await self._connection.call(request)

    def _read_page(self, shape: Shape[Any], response: Response, number: int) -> Page[Any]:
        return reader_of(shape).read_page(response, request=f"GET /{self._path}", number=number)

    def _choose_page_size(self, page_size: int | None) -> int:
        return self._connection.page_size if page_size is None else check_page_size(page_size)

    def _choose_shape(self, into: Any, projection: Projection) -> Shape[Any]:
        if into is None:
            return self._record
        shape = shape_of(into, is_projected=True)
        if projection is not None and shape.projection is not None:
            raise ConfigurationError("the fields of the into struct are the projection: give one or the other")
        return shape


class Payouts(Resource[Payout]):
    """The payouts, and the way from each to its specifications."""

    def __init__(self, path: str, connection: Connection, specifications: Resource[PayoutSpecification]) -> None:
        super().__init__(path, Payout, connection)
        self._specifications = specifications

    def specifications(
        self, payout: Payout | str, where: Where = None, **options: Unpack[StreamOptions]
    ) -> Stream[PayoutSpecification]:
        """The specifications of one payout, given the payout or its id."""
        payout_id = payout.id if isinstance(payout, Payout) else payout
        condition = field("payout") == check_id(payout_id, what="payout")
        if where is not None:
            condition &= Condition(filter_document(where))
        return self._specifications.stream(condition, **options)


class CreditorPayments(Resource[CreditorPayment]):
    """The payments that debtors made to creditors directly."""

    def __init__(self, path: str, connection: Connection) -> None:
        super().__init__(path, CreditorPayment, connection)
        self._created = Shape[CreatedPayment](record=CreatedPayment, wire=CreatedPayment, projection=None)

    async def create(self, payment: NewCreditorPayment) -> CreatedPayment:
        """Register a payment, never twice.

        Look at `status` of what comes back: a payment can be registered and yet not settled as meant.
        `ValidationFailed` where the API refuses a field; `PaymentOutcomeUnknown` where it was sent and no usable
        answer came: it is then not sent again.
        """
        return await register_payment(
            payment,
            path=self._path,
            call=self._connection.call,
            read=lambda response, request: reader_of(self._created).read_record(response, request=request),
        )


def check_count(number: object, name: str) -> int:
    """Return a whole number of at least 1; `ConfigurationError` for anything else."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ConfigurationError(f"{name} must be a whole number of at least 1")
    return number


def check_page_size(page_size: object) -> int:
    """Return a page size that the API honours: it would silently clamp a larger one."""
    if check_count(page_size, "page_size") > MAX_PAGE_SIZE:
        raise ConfigurationError(f"page_size must be at most {MAX_PAGE_SIZE}: the API puts no more on a page")
    return check_count(page_size, "page_size")
