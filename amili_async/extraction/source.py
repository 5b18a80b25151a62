"""What is to be extracted, and how a page of it is fetched."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import floor
from typing import Any, Generic, TypeVar

from msgspec import Struct

from amili_async._paging.partition import LOWEST, Span
from amili_async._paging.scan_page import ScanPage
from amili_async._wire.context import ClientContext, check_count
from amili_async._wire.decoding import decoder_for
from amili_async._wire.protocol import MAX_REQUEST_TARGET, Response, list_request, server_time
from amili_async.errors import ConfigurationError, UnreadableResponse
from amili_async.extraction.checkpoint import Checkpoint, Manifest, Verdict, check_same, fingerprint, verdict_of
from amili_async.filters import describe, filter_document
from amili_async.models import Record
from amili_async.models.record_type import RecordType
from amili_async.policies import Priority
from amili_async.query import Projection, Query, RangedQuery, encode_projection, field

T = TypeVar("T")

BOUND_LAG = timedelta(seconds=10)
"""How long before the server's time the bound lies: a row made by then has been stored by now."""
SINCE_OVERLAP = timedelta(minutes=5)
"""How far `since` looks back behind the bound: a row stamped before it may have been stored after it."""

_FARTHEST_CLOCKS = 86_400.0
_LONGEST_REST = 60  # what a request line has besides: page, page size, punctuation
_KEYS = RecordType[Record](record=Record, wire=Record, projection=None)


class Source(Struct, Generic[T], frozen=True, kw_only=True):
    """What is to be extracted."""

    path: str
    """The API's path of the resource."""
    asked: RangedQuery
    """The filter, `since` included, and the projection."""
    counted: RangedQuery
    """The same for a count, for which no field is needed."""
    shape: RecordType[T]
    """What the records are read into."""
    filter: str
    """The caller's filter without its values."""
    width: int
    """Requests in flight at most."""
    known: frozenset[str]
    """Marks of the versions of rows that `since` delivered."""
    connection: ClientContext
    """What carries the requests."""

    async def fetch_beginning(self) -> tuple[ScanPage[T], datetime]:
        """The first page of all that match, and the bound that follows from the server's time."""
        response = await self._call(self.asked.whole(), max_results=self.connection.page_size)
        ours = self.connection.clock.wall()
        theirs = server_time(response, default=ours)
        if abs(theirs - ours) > _FARTHEST_CLOCKS:
            raise UnreadableResponse(
                f"GET /{self.path} was answered with a Date that is more than a day away from this machine's clock: "
                "one of the two is wrong, so it cannot be told which records are too new",
                request=f"GET /{self.path}",
            )
        # The earlier of the two: a bound that is too late would make `since` miss what is made until then.
        return self._read(response), datetime.fromtimestamp(floor(min(theirs, ours)), UTC) - BOUND_LAG

    async def look_again(self) -> ScanPage[T]:
        """The first page of all that match by now."""
        return (await self.fetch_beginning())[0]

    async def fetch(self, spans: Sequence[Span], *, page: int = 1, is_count: bool = False) -> ScanPage[T]:
        """A page of those whose ids lie in one of the spans; for a count only the first, without its record."""
        asked = self.counted if is_count else self.asked
        query = asked.between(*spans[0]) if len(spans) == 1 else asked.among(spans)
        response = await self._call(query, page, max_results=1 if is_count else self.connection.page_size)
        return self._read(response, is_count=is_count)  # which page it is, the ids on it show

    @property
    def most_spans(self) -> int:
        """How many spans fit into one request line."""
        empty = len(self.asked.among(((LOWEST, LOWEST),)).encoded)
        each = len(self.asked.among(((LOWEST, LOWEST),) * 2).encoded) - empty
        return max(1, 1 + (MAX_REQUEST_TARGET - len(self.path) - empty - _LONGEST_REST) // each)

    async def _call(self, query: Query, page: int = 1, *, max_results: int) -> Response:
        request = list_request(self.path, query, page=page, max_results=max_results, priority=Priority.BULK)
        return await self.connection.call(request)

    def _read(self, response: Response, *, is_count: bool = False) -> ScanPage[T]:
        """Decode a page; records that need not know their id are read a second time for it."""
        label = f"GET /{self.path}"
        shape: RecordType[Any] = _KEYS if is_count else self.shape
        size = self.connection.page_size
        page = decoder_for(shape).read_page(response, request=label, number=None, size=size)
        keys = page.items
        if not issubclass(shape.record, Record):
            keys = decoder_for(_KEYS).read_page(response, request=label, number=None).items
        return ScanPage(items=page.items, keys=keys, received=len(keys), max_results=page.max_results, total=page.total)


def last_id(bound: datetime) -> str:
    """The last id that can have been made by then."""
    return f"{int(bound.timestamp()):08x}{'f' * 16}"


def build_source(
    path: str,
    document: Mapping[str, Any],
    shape: RecordType[T],
    connection: ClientContext,
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
        if verdict_of(since) is Verdict.PARTIAL:
            raise ConfigurationError("the extraction to go on from lacks rows (its verdict is partial): extract anew")
        # By its id where the API has no date of its change, or the id is ahead of it.
        changed = (field("_updated") >= since.bound - SINCE_OVERLAP) | (field("_id") > last_id(since.bound))
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
    for query in (source.asked, source.counted):  # a filter that makes too long a request line is refused now
        list_request(path, query.between(LOWEST, LOWEST), page=10**6)
    return source


def initial_checkpoint(
    path: str,
    document: Mapping[str, Any],
    *,
    checkpoint: Checkpoint | None,
    since: Manifest | Checkpoint | None,
) -> Checkpoint:
    """Where to begin; `ConfigurationError` for what does not belong together."""
    own = fingerprint(path, document)
    if isinstance(checkpoint, Manifest):
        raise ConfigurationError("checkpoint= takes a Checkpoint: a Manifest tells of an extraction, for since=")
    for given, what in ((checkpoint, "checkpoint"), (since, "extraction to go on from")):
        if given is not None:
            check_same(given, resource=path, fingerprint=own, what=what)
    bound = None if since is None else since.bound
    start = checkpoint or Checkpoint(resource=path, fingerprint=own, since=bound)
    if start.since != bound:
        raise ConfigurationError("the checkpoint was made with another since: give the same one again")
    return start
