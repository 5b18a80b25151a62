"""A resource of the API: single records, pages, counts, streams and extractions of one type of record."""

from collections.abc import Iterable
from typing import Any, Generic, TypedDict, TypeVar, Unpack, overload

from msgspec.structs import replace

from amili_async._paging.offset import PagingOptions
from amili_async._wire.checks import check_count, check_path
from amili_async._wire.context import ClientContext, check_page_size
from amili_async._wire.frames import hide_variables_of_methods
from amili_async._wire.listing import Listing
from amili_async._wire.protocol import item_request
from amili_async._wire.tasks import not_picklable
from amili_async.conditions import Where, filter_document
from amili_async.errors import ConfigurationError, UnreadableResponse
from amili_async.extraction import Checkpoint, Extraction, Manifest, Part, Plan, Since, Split
from amili_async.extraction.source import KEYS, build_source, initial_checkpoint, make_plan
from amili_async.extraction.split import conclude_split, make_split
from amili_async.extraction.sweep import find_gone
from amili_async.models.fields import check_id
from amili_async.models.record_type import RecordType, own_record_type, record_type_of
from amili_async.pages import Page
from amili_async.policies import Priority
from amili_async.query import Projection, Sort, build_query, check_sort, encode_projection
from amili_async.stream_checkpoint import StreamCheckpoint, position_of
from amili_async.streams import Stream

T = TypeVar("T")
U = TypeVar("U")


class PageOptions(TypedDict, total=False):
    """The options of a page."""

    sort: Sort
    projection: Projection
    page_size: int | None


class StreamOptions(TypedDict, total=False):
    """The options of a stream."""

    sort: Sort
    projection: Projection
    page_size: int | None
    max_items: int | None
    concurrency: int | None
    checkpoint: StreamCheckpoint | None


class ExtractOptions(TypedDict, total=False):
    """The options of an extraction."""

    projection: Projection
    checkpoint: Checkpoint | None
    since: Since
    part: Part | None
    parts: int | None


@not_picklable
@hide_variables_of_methods
class Resource(Generic[T]):
    """One resource of the API, read as records of one type.

    Each call raises the errors of the API (`ApiError` and its subclasses), `ConnectionFailed`, `UnreadableResponse` for
    a response that cannot be decoded, and `ConfigurationError`, before anything is sent, for arguments that are wrong.
    """

    def __init__(self, path: str, record: type[T] | RecordType[T], context: ClientContext) -> None:
        record_type = record if isinstance(record, RecordType) else own_record_type(record)
        self.path = path
        """The API's path of the resource."""
        self.record = record_type.record
        """The type of its records, unless a call has its own *into*."""
        self._context = context
        self._listing = Listing(path, record_type, context)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path})"

    @overload
    async def get(self, id: str, *, projection: Projection = None, into: None = None) -> T: ...
    @overload
    async def get(self, id: str, *, projection: Projection = None, into: type[U]) -> U: ...
    async def get(self, id: str, *, projection: Projection = None, into: type[U] | None = None) -> T | U:  # noqa: A002
        """One record by its id (24 hexadecimal digits); raises `NotFound` if there is none.

        *projection* and *into* are as for `stream()`: a record of the resource's type `T`, or of *into*.
        """
        listing = self._listing_of(into, projection)
        request = item_request(self.path, check_id(id), encode_projection(listing.record_type.projection or projection))
        response = await self._context.call(request)
        record: T | U = listing.decoder.read_record(response, request=request.label, record_id=id)
        return record

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
        into: type[U] | None = None,
        page_size: int | None = None,
    ) -> Page[T] | Page[U]:
        """One page of records of the resource's type `T`, or of *into*; a page past the last has no items.

        - *number*: counted from 1.
        - *where*: which records, by a condition or the API's own JSON as a mapping; by default all.
        - *sort*, *projection*, *into*: as for `stream()`.
        - *page_size*: records per page, 100 at most, instead of the client's.
        """
        listing = self._listing_of(into, projection)
        query = build_query(where, sort=sort, projection=listing.record_type.projection or projection)
        check_count(number, "page")
        size = self._choose_page_size(page_size)
        return await listing.fetch(query, page=number, page_size=size, priority=Priority.SINGLE)

    async def count(self, where: Where = None) -> int:
        """How many records match, by `_meta.total`: one request. Raises `UnreadableResponse` if that is missing."""
        listing = self._listing_of(dict, ("_id",), operation="count")
        page = await listing.fetch(build_query(where, projection=("_id",)), page_size=1, priority=Priority.SINGLE)
        if page.total is None:
            raise UnreadableResponse(
                f"GET /{self.path}: the response has no total (_meta.total)", request=f"GET /{self.path}"
            ).with_headers(page.response.headers)
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
        into: type[U] | None = None,
        max_items: int | None = None,
        page_size: int | None = None,
        concurrency: int | None = None,
        checkpoint: StreamCheckpoint | None = None,
    ) -> Stream[T] | Stream[U]:
        """All records that match, in order: of the resource's type `T`, or of *into*.

        - *where*: which records, by a condition or the API's own JSON as a mapping; by default all.
        - *sort*: one name or several, each with `-` for descending order, such as `"-booking_date"`. `_id`, which is
          the default, is added as the last, so that the order is total.
        - *projection*: the names of the fields to fetch; by default all.
        - *into*: a `msgspec.Struct` type of yours, whose fields are then the projection, or `dict`.
        - *max_items*: ends the stream after so many records.
        - *page_size*: records per page, 100 at most, instead of the client's.
        - *concurrency*: requests in flight, instead of the client's.
        - *checkpoint*: continues after that of another stream with the same filter, sorted by `_id` or `-_id`;
          *max_items* counts the records before it too.
        """
        listing = self._listing_of(into, projection, operation="stream")
        start = position_of(listing, where, sort=check_sort(sort), checkpoint=checkpoint)
        rest = where if start is None else start.rest_of(where)
        query = build_query(rest, sort=sort, projection=listing.record_type.projection or projection)
        listing.check(query)
        size = self._choose_page_size(page_size)
        if max_items is not None:
            max_items = max(0, check_count(max_items, "max_items") - (0 if checkpoint is None else checkpoint.rows))
            size = max(1, min(size, max_items))
        options = PagingOptions(
            page_size=size,
            concurrency=self._context.concurrency if concurrency is None else check_count(concurrency, "concurrency"),
            max_items=max_items,
            sort=query.sort,
        )
        return Stream(listing, query, options, start=start)

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
        into: type[U] | None = None,
        projection: Projection = None,
        checkpoint: Checkpoint | None = None,
        since: Since = None,
        part: Part | None = None,
        parts: int | None = None,
    ) -> Extraction[T] | Extraction[U]:
        """Every record that matches, exactly once, even while rows are inserted, updated and deleted.

        - *where*, *into*, *projection*: as for `stream()`; the records are of the resource's type `T`, or of *into*.
        - *checkpoint*: resumes an extraction with the same filter that was interrupted, from the last record that was
          taken, processed or not; give the same *into* and *projection*, or its sums mean nothing.
        - *since*: the manifest of an earlier extraction with the same filter: what was created or changed after it.
        - *part*: one of a `split()` with the same filter.
        - *parts*: how many ranges are read at once, at most the client's `concurrency`.

        *since* selects by `_updated`. It looks back five minutes further, for rows that were stored late, and leaves
        out those that the earlier extraction delivered in the very same version (`_id` and `_etag`), of which it knows
        up to 4,096. It does not find rows that were deleted, rows that no longer match the filter, and changes for
        which the API does not renew `_updated`; `sweep()` finds the first two. To resume such an extraction, give both
        *since* and *checkpoint*.
        """
        document = filter_document(where)
        start = initial_checkpoint(self.path, document, checkpoint=checkpoint, since=since, part=part)
        listing = self._listing_of(into, projection, operation="extract")
        source = build_source(listing, document, projection=projection, since=since, parts=parts)
        return Extraction(source, start=start)

    async def split(self, where: Where = None, *, parts: int, since: Since = None) -> Split:
        """Cut an extraction into parts that any process delivers with `extract(where, part=part)`; see `conclude()`.

        It has at most *parts* parts with about as many rows each, and sends at most *parts* + 2 requests. A part can be
        pickled or sent as JSON, and holds neither a credential nor a value of the filter: give each process the same
        *where* and *since*. Raises `UnreadableResponse` if the server does not count.
        """
        return await make_split(self._keys, where, parts=parts, since=since)

    async def conclude(
        self, split: Split, manifests: Iterable[Manifest], where: Where = None, *, since: Since = None
    ) -> Manifest:
        """The manifest of a split, by those of its parts.

        - *split*: what `split()` returned.
        - *manifests*: those of its parts.
        - *where*, *since*: as for `split()`.

        A part that ran twice counts once: with its first manifest that is not partial. Parts without one are named in
        `missing_parts`, and the verdict is `partial`; otherwise the rows are counted once more, by one request. Raises
        `ConfigurationError` for a manifest of another split.
        """
        return await conclude_split(self._keys, split, manifests, where, since=since)

    async def sweep(self, ids: Iterable[str], where: Where = None) -> frozenset[str]:
        """Which of these ids are gone: deleted, or no longer matching *where*. Returned in lower case.

        It extracts all ids that match, one request per page, and looks up again those that did not arrive, one request
        per fifty or, beside a long filter, fewer; after a failure it has to be repeated from the start. Ids made less
        than ten seconds before the server's time are never returned, since their rows may not be visible yet.
        Raises `UnreadableResponse` if fewer rows arrived than the server counted: what is missing need not be gone.
        """
        extraction = self.extract(where, projection=("_id",), into=dict)
        return await find_gone(extraction, self._keys, ids, where)

    async def plan(self, where: Where = None) -> Plan:
        """What an extraction will cost in requests and time; itself one request, for a count.

        Raises `UnreadableResponse` if the server does not count.
        """
        return make_plan(await self.count(where), self._context)

    @property
    def _keys(self) -> Listing[Any]:
        """Its records, of which only ids, dates and etags are decoded."""
        return Listing(self.path, KEYS, self._context, must_be_current=True, operation="extract")

    def _choose_page_size(self, page_size: int | None) -> int:
        return self._context.page_size if page_size is None else check_page_size(page_size)

    def _listing_of(self, into: Any, projection: Projection, *, operation: str = "page") -> Listing[Any]:
        kind, must_be_current = self._record_type_of(into, projection), operation == "extract"
        return replace(self._listing, record_type=kind, must_be_current=must_be_current, operation=operation)

    def _record_type_of(self, into: Any, projection: Projection) -> RecordType[Any]:
        record_type = self._listing.record_type if into is None else record_type_of(into, is_projected=True)
        if projection is not None and record_type.projection is not None:
            raise ConfigurationError(
                "projection cannot be combined with a struct of yours, whose fields are the projection: use into=dict"
            )
        return record_type


def open_resource(path: str, record_type: type[T], context: ClientContext) -> Resource[T]:
    """The resource at a path that the caller chose, read as a type of the caller's."""
    kind = record_type_of(record_type, is_projected=True, name="record_type")
    return Resource(check_path(path), kind, context)
