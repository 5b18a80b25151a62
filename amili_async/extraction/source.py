"""What is to be extracted, and how a page of it is fetched."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import floor
from typing import Any, Generic, TypeVar

from msgspec import Struct

from amili_async._paging.keyed import Keyed
from amili_async._paging.ranges import LOWEST
from amili_async._wire.protocol import Response, list_request, server_time
from amili_async._wire.reading import reader_of
from amili_async._wire.throttle import Lane
from amili_async.connection import Connection, check_count
from amili_async.errors import ConfigurationError
from amili_async.extraction.checkpoints import Checkpoint, Manifest, check_same, fingerprint
from amili_async.filters import describe, filter_document
from amili_async.models import Record
from amili_async.models.shape import Shape
from amili_async.query import Projection, Query, RangedQuery, encode_projection, field

T = TypeVar("T")

SETTLING = timedelta(seconds=10)
"""How long before the server's time the bound lies: a row made by then has been stored by now."""
OVERLAP = timedelta(minutes=5)
"""How far `since` looks back behind the bound: a row stamped before it may have been stored after it."""

_KEYS = Shape[Record](record=Record, wire=Record, projection=None)


class Source(Struct, Generic[T], frozen=True, kw_only=True):
    """What is to be extracted."""

    path: str
    """The API's path of the resource."""
    asked: RangedQuery
    """The filter, `since` included, and the projection."""
    counted: RangedQuery
    """The same for a count, for which no field is needed."""
    shape: Shape[T]
    """What the records are read into."""
    filter: str
    """The caller's filter without its values."""
    width: int
    """Requests in flight at most."""
    known: frozenset[str]
    """Marks of the versions of rows that `since` delivered."""
    connection: Connection
    """What carries the requests."""

    async def fetch_beginning(self) -> tuple[Keyed[T], datetime]:
        """The first page of all that match, and the bound that follows from the server's time."""
        response = await self._call(self.asked.whole(), max_results=self.connection.page_size)
        now = floor(server_time(response, default=self.connection.wall()))
        return self._read(response), datetime.fromtimestamp(now, UTC) - SETTLING

    async def look_again(self) -> Keyed[T]:
        """The first page of all that match by now."""
        return (await self.fetch_beginning())[0]

    async def fetch(self, after: str, end: str, *, page: int = 1, is_count: bool = False) -> Keyed[T]:
        """A page of those with `after < _id <= end`; for a count only the first of them, without its record."""
        if is_count:
            response = await self._call(self.counted.between(after, end), max_results=1)
        else:
            response = await self._call(self.asked.between(after, end), page, max_results=self.connection.page_size)
        return self._read(response, is_count=is_count)

    async def _call(self, query: Query, page: int = 1, *, max_results: int) -> Response:
        request = list_request(self.path, query, page=page, max_results=max_results, lane=Lane.BULK)
        return await self.connection.call(request)

    def _read(self, response: Response, *, is_count: bool = False) -> Keyed[T]:
        """Decode a page; records that need not know their id are read a second time for it."""
        label = f"GET /{self.path}"
        shape: Shape[Any] = _KEYS if is_count else self.shape
        page = reader_of(shape).read_page(response, request=label, number=1)
        keys = page.items
        if not issubclass(shape.record, Record):
            keys = reader_of(_KEYS).read_page(response, request=label, number=1).items
        return Keyed(items=page.items, keys=keys, received=len(keys), max_results=page.max_results, total=page.total)


def last_id(bound: datetime) -> str:
    """The last id that can have been made by then."""
    return f"{int(bound.timestamp()):08x}{'f' * 16}"


def choose_source(
    path: str,
    document: Mapping[str, Any],
    shape: Shape[T],
    connection: Connection,
    *,
    projection: Projection,
    since: Manifest | Checkpoint | None,
    parts: int | None,
) -> Source[T]:
    """What matches the checked filter, since an earlier extraction if that is given."""
    asked = document
    if since is not None:
        if not since.is_finished or since.bound is None:
            raise ConfigurationError("the extraction to go on from has not ended: resume it first, with checkpoint=")
        changed = field("_updated") >= since.bound - OVERLAP
        asked = filter_document(changed & document if document else changed)
    width = connection.concurrency if parts is None else min(connection.concurrency, check_count(parts, "parts"))
    source = Source(
        path=path,
        asked=RangedQuery(document=asked, projection=encode_projection(shape.projection or projection)),
        counted=RangedQuery(document=asked, projection=encode_projection(("_id",))),
        shape=shape,
        filter=describe(document),
        width=width,
        known=frozenset() if since is None else since.marks,
        connection=connection,
    )
    list_request(path, source.asked.between(LOWEST, LOWEST))  # refuses a filter that makes too long a request line
    return source


def choose_start(
    path: str,
    document: Mapping[str, Any],
    *,
    checkpoint: Checkpoint | None,
    since: Manifest | Checkpoint | None,
) -> Checkpoint:
    """Where to begin; `ConfigurationError` for what does not belong together."""
    own = fingerprint(path, document)
    for given, what in ((checkpoint, "checkpoint"), (since, "extraction to go on from")):
        if given is not None:
            check_same(given, resource=path, fingerprint=own, what=what)
    bound = None if since is None else since.bound
    start = checkpoint or Checkpoint(resource=path, fingerprint=own, since=bound)
    if start.since != bound:
        raise ConfigurationError("the checkpoint was made with another since: give the same one again")
    return start
