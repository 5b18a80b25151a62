"""What every endpoint can do: single records, pages, counts, streams and extractions of one type of record."""

from collections.abc import Iterable
from contextlib import aclosing
from typing import Any, Generic, TypedDict, TypeVar, Unpack, overload

from amili_async._paging.offset import PagingOptions
from amili_async._wire.context import ClientContext, check_count, check_page_size
from amili_async._wire.decoding import Page, decoder_for
from amili_async._wire.protocol import Response, item_request, list_request
from amili_async.errors import ConfigurationError, ExtractionInterrupted, UnreadableResponse
from amili_async.extraction import Checkpoint, Extraction, Manifest, Plan, Verdict
from amili_async.extraction.planning import make_plan
from amili_async.extraction.source import build_source, initial_checkpoint, last_id
from amili_async.filters import Condition, Where, filter_document
from amili_async.models import Payout, PayoutSpecification
from amili_async.models.fields import check_id
from amili_async.models.record_type import RecordType, record_type_of
from amili_async.policies import Priority
from amili_async.query import Projection, Query, Sort, build_query, encode_projection, field
from amili_async.streams import Stream

T = TypeVar("T")
U = TypeVar("U")


class PageOptions(TypedDict, total=False):
    """What can be said of a page."""

    sort: Sort
    projection: Projection
    page_size: int | None


class StreamOptions(PageOptions, total=False):
    """What can be said of a stream."""

    max_items: int | None
    concurrency: int | None


class ExtractOptions(TypedDict, total=False):
    """What can be said of an extraction."""

    projection: Projection
    checkpoint: Checkpoint | None
    since: Manifest | Checkpoint | None
    parts: int | None


class Resource(Generic[T]):
    """One endpoint of the API."""

    def __init__(self, path: str, record: type[T], connection: ClientContext) -> None:
        self.path = path
        """What the API calls it."""
        self.record = record
        """The type of its records."""
        self._connection = connection
        self._shape: RecordType[T] = RecordType(record=record, wire=record, projection=None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path})"

    @overload
    async def get(self, id: str, *, projection: Projection = None, into: None = None) -> T: ...
    @overload
    async def get(self, id: str, *, projection: Projection = None, into: type[U]) -> U: ...
    async def get(self, id: str, *, projection: Projection = None, into: Any = None) -> Any:  # noqa: A002
        """One record by its id (24 hexadecimal digits); `NotFound` where there is none."""
        shape = self._choose_shape(into, projection)
        request = item_request(self.path, check_id(id), encode_projection(shape.projection or projection))
        return decoder_for(shape).read_record(await self._connection.call(request), request=request.label, record_id=id)

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
        size = self._choose_page_size(page_size)
        return self._read_page(shape, await self._fetch(query, number, size, Priority.SINGLE), number, size)

    async def count(self, where: Where = None) -> int:
        """How many records match, by `_meta.total`: one request. `UnreadableResponse` where the server gives none."""
        page = await self.page(1, where, projection=("_id",), into=dict, page_size=1)
        if page.total is None:
            raise UnreadableResponse(
                f"GET /{self.path} was answered without a total (_meta.total)", request=f"GET /{self.path}"
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
        list_request(self.path, query)  # refuses a query that is too long before the stream is handed out
        pace = PagingOptions(
            page_size=size,
            width=self._connection.concurrency if concurrency is None else check_count(concurrency, "concurrency"),
            max_items=max_items,
            ascends_by_id=query.sort == "_id",
        )
        return Stream(
            self.path,
            lambda number, max_results, priority: self._fetch(query, number, max_results, priority),
            lambda response, number: self._read_page(shape, response, number, size),
            pace=pace,
            announce=self._connection.announce,
            running=self._connection.running,
        )

    @overload
    def extract(
        self, where: Where = None, *, into: None = None, **options: Unpack[ExtractOptions]
    ) -> Extraction[T]: ...
    @overload
    def extract(self, where: Where = None, *, into: type[U], **options: Unpack[ExtractOptions]) -> Extraction[U]: ...
    def extract(
        self,
        where: Where = None,
        *,
        into: Any = None,
        projection: Projection = None,
        checkpoint: Checkpoint | None = None,
        since: Manifest | Checkpoint | None = None,
        parts: int | None = None,
    ) -> Extraction[Any]:
        """Every record that matches, exactly once, although rows come, change and go meanwhile: an `Extraction`.

        *into* and *projection* are as for `stream()`: the fields of an *into* struct are the projection. *checkpoint*
        goes on where an earlier one, with the same filter, was interrupted; give the same *into* and *projection*, or
        its sums mean nothing. *parts* is how many ranges are walked at once, at most the client's `concurrency`.

        *since* limits it to what was created or changed after an earlier extraction with the same filter, by
        `_updated`, looking back five minutes further for rows that were stored late; those of them that the earlier
        one delivered in the very same version (`_id` and `_etag`) are left out. It cannot see what was deleted, what
        changed so that it no longer matches the filter, and changes for which the API does not renew `_updated`:
        `sweep()` finds the first two. To resume one that was interrupted give both, *since* and *checkpoint*.
        """
        document, shape = filter_document(where), self._choose_shape(into, projection)
        start = initial_checkpoint(self.path, document, checkpoint=checkpoint, since=since)
        source = build_source(
            self.path, document, shape, self._connection, projection=projection, since=since, parts=parts
        )
        return Extraction(source, start=start)

    async def sweep(self, ids: Iterable[str], where: Where = None) -> frozenset[str]:
        """Which of these ids are gone: deleted, or no longer among what matches; in lower case.

        It asks for every id, a hundred at a time, and begins anew after a failure.

        Ids made less than ten seconds before the server's time are never among them: they may not be visible yet.
        `UnreadableResponse` where fewer rows came than the server counted: what is missing need not be gone.
        """
        gone = {bytes.fromhex(check_id(each)) for each in ids}  # a third of the memory that texts would take
        extraction = self.extract(where, projection=("_id",), into=dict)
        if not gone:
            return frozenset()
        try:
            async with aclosing(extraction.batches()) as batches:
                async for batch in batches:
                    gone.difference_update(bytes.fromhex(row["_id"]) for row in batch)
        except ExtractionInterrupted as error:  # a sweep cannot go on from a checkpoint
            raise (error.__cause__ or error) from None
        bound = extraction.checkpoint.bound
        if extraction.manifest.verdict is Verdict.PARTIAL:
            raise UnreadableResponse(
                f"GET /{self.path} brought fewer rows than the server counted, so it cannot be told which are gone",
                request=f"GET /{self.path}",
            )
        return frozenset(each.hex() for each in gone if bound is not None and each.hex() <= last_id(bound))

    async def plan(self, where: Where = None) -> Plan:
        """What an extraction will cost: one request, for a count.

        `UnreadableResponse` where the server does not count.
        """
        return make_plan(await self.count(where), self._connection)

    async def _fetch(self, query: Query, number: int, max_results: int, priority: Priority) -> Response:
        request = list_request(self.path, query, page=number, max_results=max_results, priority=priority)
        return await self._connection.call(request)

    def _read_page(self, shape: RecordType[Any], response: Response, number: int, size: int) -> Page[Any]:
        return decoder_for(shape).read_page(response, request=f"GET /{self.path}", number=number, size=size)

    def _choose_page_size(self, page_size: int | None) -> int:
        return self._connection.page_size if page_size is None else check_page_size(page_size)

    def _choose_shape(self, into: Any, projection: Projection) -> RecordType[Any]:
        if into is None:
            return self._shape
        shape = record_type_of(into, is_projected=True)
        if projection is not None and shape.projection is not None:
            raise ConfigurationError("the fields of the into struct are the projection: give one or the other")
        return shape


class Payouts(Resource[Payout]):
    """The payouts, and the way from each to its specifications."""

    def __init__(self, path: str, connection: ClientContext, specifications: Resource[PayoutSpecification]) -> None:
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
