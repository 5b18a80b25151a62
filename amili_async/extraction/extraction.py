"""What `extract()` returns: every record exactly once, even while rows are inserted, updated and deleted.

Invariant: the checkpoint covers exactly what the consumer has taken; a record counts as taken when the next one is
requested. The bound is frozen before the first record is delivered.
"""

from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from math import ceil
from operator import attrgetter, length_hint
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import asdict, replace

from amili_async._paging.partition import LOWEST_ID, Span
from amili_async._paging.scan import PartitionedScan
from amili_async._paging.scan_page import Batch, RangeFilterIgnored, ScanStats
from amili_async._wire.iteration import Iteration
from amili_async._wire.tasks import hide_contents
from amili_async.errors import AmiliError, ClientClosed, ConfigurationError, ExtractionInterrupted
from amili_async.events import PageReceived
from amili_async.extraction.checkpoint import (
    MAX_RECENT_VERSIONS,
    Checkpoint,
    Manifest,
    make_manifest,
    recent_version_hashes,
    version_hash,
)
from amili_async.extraction.source import SINCE_OVERLAP, Source, last_id
from amili_async.extraction.sums import add_money

T = TypeVar("T")

_OVERTAKEN = "the extraction was closed, or another iteration of it began"


@hide_contents
class _CurrentBatch(Struct, Generic[T]):
    """The batch that the consumer is reading, and how far."""

    batch: Batch[T]
    items: tuple[T, ...]
    """Its records, without those that were already delivered."""
    places: Sequence[int]
    """For each of *items* its place in the batch."""
    rest: Iterator[T]
    """Those of *items* that were not delivered yet, if the consumer reads them one by one."""

    @property
    def count(self) -> int:
        """How many of *items* the consumer has taken: those before the last one that was delivered."""
        return max(0, len(self.items) - length_hint(self.rest) - 1)


class Extraction(AbstractAsyncContextManager["Extraction[T]"], Generic[T]):
    """Every record that matches, exactly once, in no particular order. Nothing is sent until it is iterated.

    It reads several ranges of `_id` at once, up to a bound that is frozen at the start: ten seconds before the time of
    the server or of this machine, whichever is earlier. Rows whose ids were made later are left for the next
    extraction.

    A row that is present throughout is delivered exactly once; one that is deleted or inserted concurrently once or not
    at all; one that is updated concurrently in one of its versions. Cost: one request per page, plus at most two, plus
    one per partition (a final count, and re-checks of ranges that ended on a full page).

    Taken is not processed: a record counts as taken when the next one is requested, so `checkpoint` covers records that
    still wait in a queue or fail in a worker. Process each record in the loop itself, or wait at a batch's end for all
    workers and save the checkpoint only then.

    Leaving early, by `break`, an exception or a cancellation, cancels what is in flight. Iterating again resumes there,
    beginning with the last record delivered, which does not count as taken. Once the first page has arrived, an error
    of the API becomes an `ExtractionInterrupted`, which carries the checkpoint; its `__cause__.transient` is whether
    another attempt makes sense. Raises `UnreadableResponse` if the server does not honour filters and sorting by `_id`.
    """

    def __init__(self, source: Source[T], *, start: Checkpoint) -> None:
        self._source = source
        self._base = start
        self._scan: PartitionedScan[T] | None = None
        self._current: _CurrentBatch[T] | None = None
        self._pages = 0
        self._recent = set(start.version_hashes)

    def __repr__(self) -> str:
        return f"Extraction({self._source.listing.path}, rows={self.rows}, total={self.total})"

    @property
    def checkpoint(self) -> Checkpoint:
        """How far the consumer came: each record before the last one delivered, whether or not it was processed."""
        base, scan, current = self._base, self._scan, self._current
        if scan is None:
            return base
        if current is not None:
            base = self._add(current, current.count)
        ranges, gaps = scan.outstanding()
        return replace(base, recent_versions="".join(self._recent), ranges=ranges, gaps=gaps, **asdict(scan.stats))

    @property
    def manifest(self) -> Manifest:
        """What was done so far; its verdict is `partial` until the consumer has taken everything."""
        return make_manifest(self.checkpoint, filter=self._source.filter)

    @property
    def rows(self) -> int:
        """How many records were taken, including those before the checkpoint from which it was resumed."""
        return self._base.rows + (self._current.count if self._current is not None else 0)

    @property
    def total(self) -> int | None:
        """How many rows match up to the bound, by the server's count at the start; `None` before it is known."""
        return self._base.count_before if self._scan is None else self._scan.stats.count_before

    @property
    def seconds_left(self) -> float | None:
        """Seconds: the least that the rate limit needs for the pages that are left; `None` if it is not known."""
        left = None if self._scan is None else self._scan.rows_left
        if left is None:
            return None
        context = self._source.listing.context
        return context.forecast(ceil(left / context.page_size) + 1)

    def __aiter__(self) -> AsyncGenerator[T, None]:
        return Iteration(self._run(), attrgetter("rest"))

    def batches(self) -> AsyncGenerator[tuple[T, ...], None]:
        """The same records, a page at a time: each batch sorted by `_id`; the ids of two batches do not interleave."""
        return Iteration(self._run(), lambda current: (current.items,))

    async def aclose(self) -> None:
        """Cancel the iteration that is running; another one resumes there."""
        scan = self._scan
        if scan is not None:
            self._base = self.checkpoint
            if self._current is not None:
                deque(self._current.rest, maxlen=0)  # an iteration that still reads this batch delivers no more of it
            self._current, self._scan = None, None
            self._source.listing.context.running.discard(scan)
            await scan.aclose()

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _run(self) -> AsyncGenerator[_CurrentBatch[T], None]:
        """Yield the batches; when the next one is requested, all of the one before has been taken."""
        await self.aclose()  # an earlier iteration that was left without closing its generator
        scan, bound = await self._begin()
        if self._scan is not None:
            raise ConfigurationError("the extraction is already being iterated: make another one with extract()")
        self._scan, self._base = scan, replace(self._base, bound=bound)
        self._source.listing.context.running.add(scan)
        try:
            while (batch := await self._next_batch(scan)) is not None:
                current = self._current = self._open_batch(batch)
                if current.items:
                    yield current
                # A second iteration, or aclose(), can have run while the consumer held the batch.
                if self._scan is not scan:
                    raise ClientClosed(_OVERTAKEN)
                self._base, self._current = self._add(current, len(current.items)), None
        finally:
            if self._scan is scan:
                await self.aclose()

    async def _begin(self) -> tuple[PartitionedScan[T], datetime]:
        """A scan over what the checkpoint leaves; without one, the first page is fetched and shows the bound."""
        base = self._base
        if base.bound is not None:
            return self._make_scan(base.bound, base.ranges, base.gaps), base.bound
        page, bound = await self._source.fetch_first_page()
        if not page.keys and page.total != 0:  # believed only if it is so twice: see ScanChecks.fetch_next
            page, bound = await self._source.fetch_first_page()
        scan = self._make_scan(bound, ((LOWEST_ID, last_id(bound)),))
        scan.begin_with(page, self._source.fetch_first_page, filters_ids=base.since is not None)
        if base.since is not None and bound < base.since:
            # The server's clock was set back: what the earlier extraction delivered can lie past the new bound.
            self._recent |= self._source.delivered_versions
        return scan, bound

    def _make_scan(self, bound: datetime, ranges: Sequence[Span], gaps: Sequence[Span] = ()) -> PartitionedScan[T]:
        base = self._base
        stats = ScanStats(**{name: getattr(base, name) for name in ScanStats.__struct_fields__})
        if not base.is_finished:
            stats.count_after, stats.has_ended = None, False  # what is left is fetched, then counted again
        return PartitionedScan(
            self._source.fetch,
            ranges,
            gaps,
            end=last_id(bound),
            concurrency=self._source.concurrency,
            page_size=self._source.listing.context.page_size,
            max_spans=self._source.max_spans,
            stats=stats,
            delivered=base.distinct,
        )

    async def _next_batch(self, scan: PartitionedScan[T]) -> Batch[T] | None:
        try:
            return await scan.next_batch()
        except RangeFilterIgnored:
            raise  # resuming would not help: the server cannot be extracted from
        except AmiliError as error:
            path = self._source.listing.path
            raise ExtractionInterrupted(
                f"the extraction of {path} was interrupted after {self.rows:,} of its rows: {error}",
                checkpoint=self.checkpoint,
            ) from error

    def _open_batch(self, batch: Batch[T]) -> _CurrentBatch[T]:
        page, delivered, listing = batch.page, self._source.delivered_versions, self._source.listing
        self._pages += 1
        if announce := listing.context.announce:
            announce(PageReceived(path=listing.path, number=self._pages, items=len(page.items), total=self.total))
        items = page.items
        places: Sequence[int] = range(len(items))
        if delivered:
            places = [place for place, key in enumerate(page.keys) if version_hash(key) not in delivered]
            items = tuple(page.items[place] for place in places)
        return _CurrentBatch(batch=batch, items=items, places=places, rest=iter(items))

    def _add(self, current: _CurrentBatch[T], count: int) -> Checkpoint:
        """The checkpoint with the first *count* records of a batch added; also keeps the hashes of recent versions."""
        base, items = self._base, current.items[:count]
        # Rows left out count with the record before them, and those before the first one with the first.
        rows = (
            len(current.batch.page.keys)
            if count == len(current.items)
            else current.places[count - 1] + 1
            if count
            else 0
        )
        current.batch.mark_consumed(rows)
        if base.bound is not None and (room := MAX_RECENT_VERSIONS - len(self._recent)) > 0:
            self._recent.update(
                recent_version_hashes(current.batch.page.keys[:rows], base.bound - SINCE_OVERLAP)[:room]
            )
        return replace(
            base,
            rows=base.rows + len(items),
            already_delivered=base.already_delivered + rows - len(items),
            sums=add_money(base.sums, items, self._source.listing.record_type.record),
        )
