"""What an extraction reads, what it will cost, and how one page of it is fetched."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil, floor
from typing import Any, Generic, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from amili_async._paging.partition import LOWEST_ID, Span
from amili_async._paging.scan_page import ScanPage
from amili_async._wire.checks import check_count
from amili_async._wire.context import ClientContext
from amili_async._wire.listing import Listing
from amili_async._wire.protocol import MAX_REQUEST_TARGET, Response, server_time
from amili_async.conditions import Condition, field, filter_document
from amili_async.errors import ConfigurationError, UnreadableResponse
from amili_async.extraction.checkpoint import (
    Checkpoint,
    Manifest,
    SavedState,
    Verdict,
    check_same_extraction,
    fingerprint,
    verdict_of,
)
from amili_async.extraction.parts import Part
from amili_async.filters import describe
from amili_async.models import Record
from amili_async.models.record_type import RecordType
from amili_async.query import Projection, RangedQuery, encode_projection

T = TypeVar("T")

Since: TypeAlias = Manifest | Checkpoint | None
"""An earlier extraction with the same filter, after which rows were created or changed."""

BOUND_LAG = timedelta(seconds=10)
"""How long before the server's time the bound lies: rows whose ids were made before it have been stored by now."""
SINCE_OVERLAP = timedelta(minutes=5)
"""How far `since` looks back before the earlier bound: a row can be stored later than its `_updated`."""
MAX_CLOCK_DIFFERENCE = 86_400.0
"""Seconds: with a larger difference between the server's clock and ours, neither is believed."""
PAGING_PARAMETERS_BYTES = 60
"""Bytes of a request line besides path and query: `&page=…&max_results=…` and punctuation."""

KEYS = RecordType[Record](record=Record, wire=Record, projection=("_id",))
"""Decodes the ids, dates and etags of records only."""


class Plan(Struct, frozen=True, kw_only=True):
    """What an extraction will cost, if nothing changes and no other process uses the key."""

    rows: int
    """How many records match."""
    requests: int
    """At least: the pages, a request that shows that the server filters by `_id`, and a count; without token requests
    and retries."""
    seconds: float | None
    """Until the last request can be sent, by the rate limit; `None` if a rate limiter of yours has no forecast."""
    finish: datetime | None
    """The earliest moment by this machine's clock, in UTC; the server's response times are not included."""


def make_plan(rows: int, context: ClientContext) -> Plan:
    """The plan for so many records."""
    pages = max(1, ceil(rows / context.page_size))
    # A list of one page needs one request more: only a request with a range shows that the server filters by `_id`.
    requests = pages + (0 if rows == 0 else 2 if pages == 1 else 1)
    seconds = context.forecast(requests)
    finish = None if seconds is None else datetime.fromtimestamp(context.clock.wall() + seconds, UTC)
    return Plan(rows=rows, requests=requests, seconds=seconds, finish=finish)


class Source(Struct, Generic[T], frozen=True, kw_only=True):
    """The list, filter and fields that an extraction reads."""

    listing: Listing[T]
    """The list, decoded into what the caller gets."""
    keys: Listing[Record]
    """The same list, decoded into the ids, dates and etags of its records only."""
    query: RangedQuery
    """The filter, `since` included, and the projection."""
    count_query: RangedQuery
    """The same filter for a count, which needs no fields."""
    filter: str
    """The caller's filter without its values."""
    concurrency: int
    """Requests in flight at most."""
    delivered_versions: frozenset[str]
    """Hashes of the versions of rows that the earlier extraction (`since=`) delivered."""

    async def fetch_start(self) -> tuple[ScanPage[T], datetime]:
        """The first page and the bound; an empty list is believed only if it is so twice: see ScanChecks.fetch_next."""
        page, bound = await self.fetch_first_page()
        if not page.keys and page.total != 0:
            page, bound = await self.fetch_first_page()
        return page, bound

    async def fetch_first_page(self) -> tuple[ScanPage[T], datetime]:
        """The first page of the list, without a range, and the bound that follows from the server's time."""
        response = await self.listing.send(self.query.whole(), page_size=self.listing.context.page_size)
        ours = self.listing.context.clock.wall()
        theirs = server_time(response, default=ours)
        if abs(theirs - ours) > MAX_CLOCK_DIFFERENCE:
            raise UnreadableResponse(
                f"{self.listing.label}: the Date of the response differs from this machine's clock by more than a day: "
                "one of the two is wrong, so it is not known which records are too new",
                request=self.listing.label,
            ).with_headers(response.headers)
        # The earlier of the two clocks: with a bound in the future, `since` would miss rows made until then.
        page = await self.listing.read(
            self._decode, response, self.query.whole(), page_size=self.listing.context.page_size
        )
        return page, datetime.fromtimestamp(floor(min(theirs, ours)), UTC) - BOUND_LAG

    async def fetch(
        self,
        spans: Sequence[Span],
        *,
        page: int = 1,
        is_count: bool = False,
        created_since: datetime | None = None,
    ) -> ScanPage[T]:
        """One page of the rows in the spans, by `_id`: see `FetchSpans`."""
        ranged = self.count_query if is_count else self.query
        if created_since is not None:
            ranged = replace(ranged, document=_and(field("_created") >= created_since, ranged.document))
        query = ranged.between(*spans[0]) if len(spans) == 1 else ranged.among(spans)
        listing: Listing[Any] = self.keys if is_count else self.listing
        size = 1 if is_count else self.listing.context.page_size
        response = await listing.send(query, page=page, page_size=size)
        decode = partial(self._decode, is_count=is_count)
        return await listing.read(decode, response, query, page=page, page_size=size)

    @property
    def max_spans(self) -> int:
        """How many spans fit into one request line."""
        empty = len(self.query.among(((LOWEST_ID, LOWEST_ID),)).encoded)
        each = len(self.query.among(((LOWEST_ID, LOWEST_ID),) * 2).encoded) - empty
        return max(1, 1 + (MAX_REQUEST_TARGET - len(self.listing.path) - empty - PAGING_PARAMETERS_BYTES) // each)

    def _decode(self, response: Response, *, is_count: bool = False, **_: int) -> ScanPage[T]:
        """Decode a page; records of a caller's type are decoded a second time for their ids.

        The page number is not checked: the ids show which rows the page has.
        """
        listing: Listing[Any] = self.keys if is_count else self.listing
        page = listing.decode(response, page=None, page_size=self.listing.context.page_size)
        keys = page.items
        if not issubclass(listing.record_type.record, Record):
            keys = self.keys.decode(response, page=None).items
        return ScanPage(items=page.items, keys=keys, received=len(keys), max_results=page.max_results, total=page.total)


def last_id(bound: datetime) -> str:
    """The highest id that can have been made up to *bound*: an ObjectId begins with four bytes of seconds."""
    return f"{int(bound.timestamp()):08x}{'f' * 16}"


def build_source(
    listing: Listing[T],
    document: Mapping[str, Any],
    *,
    projection: Projection,
    since: Since,
    parts: int | None,
) -> Source[T]:
    """The source for a checked filter; raises `ConfigurationError` for what does not belong together."""
    filtered = document if since is None else _changed_since(document, since)
    limit, fields = listing.context.concurrency, encode_projection(listing.record_type.projection or projection)
    source = Source(
        listing=listing,
        keys=Listing(listing.path, KEYS, listing.context, listing.must_be_current, listing.operation),
        query=RangedQuery(document=filtered, projection=fields),
        count_query=RangedQuery(document=filtered, projection=encode_projection(("_id",))),
        filter=describe(document),
        concurrency=limit if parts is None else min(limit, check_count(parts, "parts")),
        delivered_versions=frozenset() if since is None else since.version_hashes,
    )
    for query in (source.query, source.count_query):
        listing.check(query.between(LOWEST_ID, LOWEST_ID))
    return source


def _changed_since(document: Mapping[str, Any], since: Manifest | Checkpoint) -> Mapping[str, Any]:
    """The filter, limited to what was created or changed after an earlier extraction."""
    if not since.is_finished or since.bound is None:
        raise ConfigurationError("since= is an extraction that is not finished: resume it first, with checkpoint=")
    if verdict_of(since) is Verdict.PARTIAL:
        raise ConfigurationError("since= is an extraction that lacks rows (its verdict is partial): repeat it first")
    # By `_id` too: a row may have no `_updated`, or one that is older than its id.
    return _and((field("_updated") >= since.bound - SINCE_OVERLAP) | (field("_id") > last_id(since.bound)), document)


def _and(condition: Condition, document: Mapping[str, Any]) -> Mapping[str, Any]:
    return filter_document(condition & document if document else condition)


def initial_checkpoint(
    path: str,
    document: Mapping[str, Any],
    *,
    checkpoint: Checkpoint | None = None,
    since: Since = None,
    part: Part | None = None,
) -> Checkpoint:
    """Where to begin; raises `ConfigurationError` for what does not belong together."""
    own = fingerprint(path, document)
    if isinstance(checkpoint, Manifest):
        raise ConfigurationError("checkpoint= must be a Checkpoint; a Manifest is for since=")
    given: tuple[tuple[SavedState | None, tuple[type[SavedState], ...], str], ...] = (
        (checkpoint, (Checkpoint,), "checkpoint="),
        (since, (Manifest, Checkpoint), "since="),
        (part, (Part,), "part="),
    )
    for value, kinds, what in given:
        if value is not None:
            check_same_extraction(value, kinds, resource=path, fingerprint=own, what=what)
    if since is not None and since.part is not None:
        raise ConfigurationError("since= belongs to one part of a split: give the manifest that conclude() returned")
    bound = None if since is None else since.bound
    start = checkpoint
    if start is None:
        start = Checkpoint(resource=path, fingerprint=own, since=bound) if part is None else _start_part(part, since)
    if start.since != bound:
        what = "part=" if checkpoint is None else "checkpoint="
        raise ConfigurationError(f"{what} was made with another since=: give the same one")
    if part is not None and (start.bound, start.part) != (part.bound, part.range):
        raise ConfigurationError("checkpoint= belongs to another part than part=: give that part")
    return start


def _start_part(part: Part, since: Since) -> Checkpoint:
    if since is None or since.bound is None or part.bound >= since.bound:
        return part.start()
    # The server's clock was set back: what the earlier extraction delivered can lie past the new bound.
    return part.start(recent_versions=since.recent_versions)
