"""What `extract()` returns: every record exactly once, even while rows are inserted, updated and deleted.

Invariant: the checkpoint covers exactly what the consumer has taken; a record counts as taken when the next one is
requested, and one of `deliveries()` when its delivery and all before it are done. The bound is frozen before the first
record is delivered.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from math import ceil
from operator import attrgetter
from typing import TypeVar

from msgspec.structs import replace

from amili_async._paging.partition import LOWEST_ID, Span
from amili_async._paging.scan import PartitionedScan
from amili_async._paging.scan_page import Batch, RangeFilterIgnored, ScanStats
from amili_async._wire.calls import template_of
from amili_async._wire.checks import check_count
from amili_async._wire.frames import hide_variables
from amili_async._wire.iteration import Iteration
from amili_async._wire.tasks import not_picklable
from amili_async.deliveries import UNFINISHED, Delivery, DeliveryTracker
from amili_async.errors import AmiliError, ClientClosed, ConfigurationError, DeliveryFailed, ExtractionInterrupted
from amili_async.events import PageReceived
from amili_async.extraction.checkpoint import (
    Checkpoint,
    Manifest,
    make_manifest,
)
from amili_async.extraction.progress import CurrentBatch, ExtractionProgress
from amili_async.extraction.source import BOUND_LAG, Source, last_id
from amili_async.handlers import check_handler, handle_each
from amili_async.tables import Tabular

T = TypeVar("T")

_OVERTAKEN = "the extraction was closed, or another iteration of it began"


@not_picklable
class Extraction(AbstractAsyncContextManager["Extraction[T]"], Tabular[T]):
    """Every record that matches, exactly once, in no particular order. Nothing is sent until it is iterated.

    It reads several ranges of `_id` at once, up to a bound that is frozen at the start: ten seconds before the time of
    the server or of this machine, whichever is earlier. Rows whose ids were made later are left for the next
    extraction.

    A row that is present throughout is delivered exactly once; one that is deleted or inserted concurrently once or not
    at all; one that is updated concurrently in one of its versions. Cost: one request per page, plus at most two, plus
    one per partition (a final count, and re-checks of ranges that ended on a full page).

    Taken is not processed: a record counts as taken when the next one is requested, so `checkpoint` covers records that
    still wait in a queue or fail in a worker. Process each record in the loop itself, or use `for_each()` or
    `deliveries()`, with which `checkpoint` and `manifest` cover only what is finished.

    Leaving early, by `break`, an exception or a cancellation, cancels what is in flight. Iterating again resumes there,
    beginning with the last record delivered, which does not count as taken. Once the first page has arrived, an error
    of the API becomes an `ExtractionInterrupted`, which carries the checkpoint; its `__cause__.transient` is whether
    another attempt makes sense. Raises `UnreadableResponse` if the server does not honour filters and sorting by `_id`.
    """

    def __init__(self, source: Source[T], *, start: Checkpoint) -> None:
        self._source = source
        self._progress = ExtractionProgress(source, start)
        self._pages = 0

    def __repr__(self) -> str:
        return f"Extraction({self._source.listing.path}, rows={self.rows}, total={self.total})"

    @property
    def record(self) -> type[T]:
        """The type of its records."""
        return self._source.listing.record_type.record

    @property
    def checkpoint(self) -> Checkpoint:
        """How far the consumer came: each record before the last one delivered, whether or not it was processed.

        With `deliveries()` and `for_each()`: each record before the first delivery that is not done.
        """
        return self._progress.checkpoint()

    @property
    def manifest(self) -> Manifest:
        """What was done so far; its verdict is `partial` until the consumer has taken everything."""
        return make_manifest(self.checkpoint, filter=self._source.filter)

    @property
    def rows(self) -> int:
        """How many records `checkpoint` covers, including those before the one from which it was resumed."""
        return self._progress.rows

    @property
    def total(self) -> int | None:
        """How many rows match up to the bound, by the server's count at the start; `None` before it is known."""
        scan = self._progress.scan
        return self._progress.base.count_before if scan is None else scan.stats.count_before

    @property
    def seconds_left(self) -> float | None:
        """Seconds: the least that the rate limit needs for the pages that are left; `None` if it is not known."""
        scan = self._progress.scan
        left = None if scan is None else scan.rows_left
        if left is None:
            return None
        context = self._source.listing.context
        return context.forecast(ceil(left / context.page_size) + 1)

    def __aiter__(self) -> AsyncGenerator[T, None]:
        return Iteration(self._run(), attrgetter("rest"))

    def batches(self) -> AsyncGenerator[tuple[T, ...], None]:
        """The same records, a page at a time: each batch sorted by `_id`; the ids of two batches do not interleave."""
        return Iteration(self._run(), lambda current: (current.items,))

    def deliveries(self, *, unfinished: int = UNFINISHED) -> AsyncGenerator[Delivery[T], None]:
        """The same batches, each to be finished by `done()` or `failed()`, in any order and at any time.

        `checkpoint` covers all up to the first delivery that is not done. After any interruption, `kill -9` included,
        what it does not cover is delivered again: each record at least once, so process it idempotently. *unfinished*
        is how many deliveries are handed out from the first one that is not done; then the iteration waits for it. At
        the end it waits until all are done. Once one has failed, it raises `ExtractionInterrupted` from that error.

            def settle(page, future):
                page.failed(future.exception()) if future.exception() else page.done()

            async for page in lines.deliveries():  # workers that are processes
                future = pool.submit(work, page.records)
                future.add_done_callback(lambda future, page=page: loop.call_soon_threadsafe(settle, page, future))
        """
        tracker = DeliveryTracker[Checkpoint](check_count(unfinished, "unfinished"))
        return Iteration(self._run(tracker), partial(self._progress.hand_out, tracker))

    @hide_variables
    async def for_each(self, handler: Callable[[T], Awaitable[object]], *, concurrency: int = 8) -> Manifest:
        """Call an async function for each record, *concurrency* at once, and return the manifest when all are handled.

        Each record is handled at least once: after an interruption of any kind, those that `checkpoint` does not cover
        are handled again. A handler that raises stops the run: the others are cancelled and awaited, and
        `ExtractionInterrupted` is raised from its error, with the `record_id` of its record. One that takes long lets
        the others continue for thirty pages.
        """
        count = check_handler(handler, concurrency)
        deliveries, running = self.deliveries(unfinished=max(UNFINISHED, count)), self._source.listing.context.running
        await handle_each(deliveries, handler, concurrency=count, running=running)
        return self.manifest

    async def aclose(self) -> None:
        """Cancel the iteration that is running; another one resumes there."""
        progress = self._progress
        if (scan := progress.scan) is not None:
            self._source.listing.context.running.discard(progress.tracker or scan)
            progress.end()
            await scan.aclose()

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _chunks(self, *, opens_fully: bool = False) -> AsyncGenerator[CurrentBatch[T], None]:  # noqa: ARG002
        return self._run()

    async def _run(self, tracker: DeliveryTracker[Checkpoint] | None = None) -> AsyncGenerator[CurrentBatch[T], None]:
        """Yield the batches; when the next one is requested, all of the one before has been taken."""
        progress = self._progress
        await self.aclose()  # an earlier iteration that was left without closing its generator
        self._check_is_idle()
        progress.restart()
        scan, bound = await self._begin()
        self._check_is_idle()
        progress.scan, progress.tracker, progress.base = scan, tracker, replace(progress.base, bound=bound)
        if tracker is not None:
            tracker.begin(scan)
        self._source.listing.context.running.add(tracker or scan)
        try:
            while (batch := await self._next_batch(scan, tracker)) is not None:
                current = self._open_batch(batch)
                if current.items:
                    yield current
                # A second iteration, or aclose(), can have run while the consumer held the batch.
                if progress.scan is not scan:
                    raise ClientClosed(_OVERTAKEN)
                progress.take_current()
        finally:
            if progress.scan is scan:
                await self.aclose()

    def _check_is_idle(self) -> None:
        if self._progress.scan is not None:
            raise ConfigurationError("the extraction is already being iterated: make another one with extract()")

    async def _begin(self) -> tuple[PartitionedScan[T], datetime]:
        """A scan over what the checkpoint leaves; without one, the first page is fetched and shows the bound."""
        base = self._progress.base
        if base.bound is not None:
            return self._make_scan(base.bound, base.ranges, base.gaps), base.bound
        page, bound = await self._source.fetch_start()
        scan = self._make_scan(bound, ((LOWEST_ID, last_id(bound)),))
        scan.begin_with(page, self._source.fetch_first_page, filters_ids=base.since is not None)
        if base.since is not None and bound < base.since:
            # The server's clock was set back: what the earlier extraction delivered can lie past the new bound.
            self._progress.recent |= self._source.delivered_versions
        return scan, bound

    def _make_scan(self, bound: datetime, ranges: Sequence[Span], gaps: Sequence[Span] = ()) -> PartitionedScan[T]:
        base = self._progress.base
        stats = ScanStats(**{name: getattr(base, name) for name in ScanStats.__struct_fields__})
        if not base.is_finished:
            # What is left is fetched, then counted again.
            stats.count_after, stats.inserted_during_scan, stats.has_ended = None, 0, False
        return PartitionedScan(
            self._source.fetch,
            ranges,
            gaps,
            whole=base.part or (LOWEST_ID, last_id(bound)),
            started=bound + BOUND_LAG,
            is_part=base.part is not None,
            concurrency=self._source.concurrency,
            page_size=self._source.listing.context.page_size,
            max_spans=self._source.max_spans,
            stats=stats,
            delivered=base.distinct,
        )

    async def _next_batch(
        self, scan: PartitionedScan[T], tracker: DeliveryTracker[Checkpoint] | None
    ) -> Batch[T] | None:
        try:
            if tracker is not None:
                await tracker.wait_for_room()
            batch = await scan.next_batch()
            if batch is None and tracker is not None:
                await tracker.wait_until_done()
        except RangeFilterIgnored:
            raise  # resuming would not help: the server cannot be extracted from
        except AmiliError as error:
            # A delivery that failed has cancelled the scan, whose own error shows only that.
            reason = error if tracker is None or tracker.failure is None else tracker.failure
            path = self._source.listing.path
            raise ExtractionInterrupted(
                f"the extraction of {path} was interrupted after {self.rows:,} of its rows: {reason}",
                checkpoint=self.checkpoint,
                record_id=getattr(reason, "record_id", None),
            ) from (reason.__cause__ if isinstance(reason, DeliveryFailed) else reason)
        return batch

    def _open_batch(self, batch: Batch[T]) -> CurrentBatch[T]:
        listing, items = self._source.listing, batch.page.items
        self._pages += 1
        if announce := listing.context.announce:
            path = template_of(listing.path)
            announce(PageReceived(path=path, number=self._pages, items=len(items), total=self.total))
        return self._progress.open_batch(batch)
