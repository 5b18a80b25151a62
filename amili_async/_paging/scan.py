"""Partitioned scan: read several ranges of `_id` at once, so that concurrent inserts and deletes cannot shift the rows.

Invariant: at most `concurrency` requests are in flight, and at most twice as many pages are in flight or buffered. A
row that is present throughout is delivered exactly once. A response outside the requested ids ends the scan, and
nothing is delivered before one was inside them. The owner of a scan closes it, which leaves no task behind. Requests
run in the context in which the scan was made, as in a prefetch window.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from contextvars import copy_context
from datetime import datetime
from typing import Any, Generic, TypeVar

from amili_async._paging.partition import HIGHEST_ID, LOWEST_ID, IdRange, Partition, Span, SplitPlan
from amili_async._paging.scan_checks import FetchWhole, ScanChecks
from amili_async._paging.scan_page import Batch, FetchSpans, ScanPage, ScanStats
from amili_async._wire.tasks import cancel_all
from amili_async.errors import ClientClosed

T = TypeVar("T")

PAGES_PER_REQUEST = 2
"""Maximum pages in flight or buffered, per allowed request. Order is irrelevant here, so a small buffer is enough, and
buffered records go cold in the CPU cache."""


class PartitionedScan(Generic[T]):
    """One scan over the ranges that are left of a list."""

    def __init__(
        self,
        fetch: FetchSpans[T],
        ranges: Sequence[Span],
        gaps: Sequence[Span] = (),
        *,
        whole: Span,
        started: datetime,
        is_part: bool = False,
        concurrency: int,
        page_size: int,
        max_spans: int,
        stats: ScanStats,
        delivered: int = 0,
    ) -> None:
        self._partition = Partition(ranges, gaps)
        self._checks = ScanChecks(
            fetch, whole=whole, started=started, is_part=is_part, page_size=page_size, stats=stats
        )
        self.stats = stats
        """What the responses have shown besides the records."""
        self._concurrency = concurrency
        self._context = copy_context()
        self._max_spans = max_spans
        self._tasks: set[asyncio.Task[None]] = set()
        self._batches: deque[Batch[T]] = deque()
        self._arrived = asyncio.Event()
        self._failure: BaseException | None = None
        self._is_closed = False
        self._is_counted = stats.has_ended
        self._time_splits_left = concurrency
        self._rows = delivered

    @property
    def rows_left(self) -> int | None:
        """How many rows are left to fetch; `None` if it is not known."""
        return self._partition.remaining

    def outstanding(self) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
        """The ranges that the consumer has not taken, and the gaps to be rechecked."""
        return self._partition.outstanding(), self._partition.outstanding_gaps()

    def begin_with(self, page: ScanPage[T], fetch_again: FetchWhole, *, filters_ids: bool = False) -> None:
        """Begin with the first page of the list, which was requested without a range, before the bound was known.

        *filters_ids*: whether an earlier scan has shown that the server filters by `_id`. If not, a range is requested
        next even where nothing can be left, because only its response shows that.
        """
        page = self._checks.receive(page, (LOWEST_ID, HIGHEST_ID))
        first = self._partition.first
        self._advance(first, page, rank=0)
        if self._batches and not filters_ids:
            first.fetched, first.needs_recheck = self._batches[0].page.keys[-1].id, False
        first.remaining = None if page.total is None else page.total - len(page.keys)
        self._checks.open(page, (first.fetched, first.end), fetch_again, filters_ids=filters_ids)
        if not (self._batches or self._checks.must_count_before):
            self.stats.count_after, self.stats.has_ended, self._is_counted = self.stats.count_before, True, True

    async def next_batch(self) -> Batch[T] | None:
        """Return the next records, of any range, or `None` after the last.

        Raises what a fetch raised, once the other fetches in flight have finished and their records were delivered;
        `ClientClosed` if the scan is closed.
        """
        self._top_up()
        # A consumer that never awaits anything else would keep the loop from reading responses that have arrived.
        await asyncio.sleep(0)
        while not self._is_closed:
            if self._batches and self._checks.filters_ids:
                batch = self._batches.popleft()
                self._top_up()
                return batch
            # Records that were fetched and paid for with a request are delivered before the failure is raised, unless
            # the server has not shown yet that they are the requested ones.
            if self._failure is not None and not (self._checks.filters_ids and self._tasks):
                raise self._failure
            if not self._tasks:
                self.stats.has_ended |= self._is_counted
                return None
            self._arrived.clear()
            await self._arrived.wait()
        raise ClientClosed("the extraction or its client was closed during an iteration")

    def cancel(self) -> Sequence[asyncio.Task[None]]:
        """Cancel what is in flight and return the tasks that have not finished."""
        self._is_closed = True
        self._arrived.set()  # a waiting consumer raises at once, not only when the tasks have finished
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        return tasks

    async def aclose(self) -> None:
        """Cancel what is in flight and wait until it has finished."""
        await cancel_all((self,))

    def _top_up(self) -> None:
        """Start as many fetches as the invariant allows."""
        # A buffered page shows that the consumer is slower than the server, so each one counts for several requests.
        weight = (self._concurrency + 2) // 3
        limit = min(self._concurrency, PAGES_PER_REQUEST * self._concurrency - weight * len(self._batches))
        while self._failure is None and not self._is_closed and len(self._tasks) < limit:
            job = self._next_job()
            if job is None:
                return
            task = self._context.copy().run(asyncio.get_running_loop().create_task, job)
            self._tasks.add(task)
            task.add_done_callback(self._on_done)

    def _next_job(self) -> Coroutine[Any, Any, None] | None:
        """What an idle worker does: fetch a range's next page, else split the largest range, else recheck and count."""
        checks, partition = self._checks, self._partition
        idle = self._concurrency - len(self._tasks)
        if checks.must_count_before:
            checks.must_count_before = False
            return checks.count(at_end=False)
        if (found := partition.next_to_fetch(checks.size)) is not None:
            found.is_in_flight = True
            # Passed as values: a split can change the end of the range while the page is in flight.
            return self._fetch_next(found, (found.fetched, found.end), found.expected, found.remaining)
        if checks.reports_total and (largest := partition.largest_to_split(checks.size)) is not None:
            split, number = partition.plan_split(largest, idle=idle, size=checks.size)
            span = (largest.fetched, largest.end)
            return self._fetch_split(split, number, span, largest.expected)
        # Without totals no page in the middle can be numbered. Splits by time are blind, so their number is limited.
        if checks.reports_total is False and self._time_splits_left and partition.split_by_time(idle=idle):
            self._time_splits_left -= 1
            return self._next_job()
        if self._tasks or self._is_counted:
            return None
        # Rechecks and the last count wait until nothing else is in flight: the later, the more changes they cover.
        if gaps := partition.gaps:
            return self._recheck(gaps[: self._max_spans])
        self._is_counted = True
        return checks.count_after(self._rows) if checks.must_count_after(self._rows) else None

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        cancelled = ClientClosed("a page of the extraction was cancelled from outside")
        failure = cancelled if task.cancelled() else task.exception()  # retrieved of each task, or asyncio logs it
        self._failure = self._failure or failure
        self._top_up()
        self._arrived.set()

    async def _fetch_next(self, owner: IdRange, span: Span, expected: int | None, remaining: int | None) -> None:
        """Fetch the next page of a range."""
        page = await self._checks.fetch_next(span, expected=expected, remaining=remaining)
        owner.note_page(len(page.keys), end=span[1], total=page.total)
        self._advance(owner, page, rank=0)

    async def _recheck(self, gaps: Sequence[IdRange]) -> None:
        """Fetch several gaps with one request; they are empty unless rows were inserted."""
        page = await self._checks.fetch([(each.fetched, each.end) for each in gaps])
        self.stats.changed_during_scan |= bool(page.keys)
        for gap in gaps:
            self._advance(gap, page, rank=0)
            gap.needs_recheck = not gap.is_fetched

    async def _fetch_split(self, split: SplitPlan, number: int, span: Span, expected: int | None) -> None:
        """Fetch a page from the middle of a range by its number, and split the range there.

        The page number only decides where to split: rows that shift it make the parts unequal, and lose nothing.
        """
        page = await self._checks.fetch((span,), page=number, expected=expected)
        # If the size of a page is not certain, neither is how many rows lie before this one.
        is_certain = self._checks.size_is_confirmed and page.max_results == self._checks.size
        rank = (number - 1) * self._checks.size if is_certain else None
        left = None if page.total is None or rank is None else max(0, page.total - rank - len(page.keys))
        upper = self._partition.split_at(split, [key.id for key in page.keys], end=span[1], remaining=left)
        if upper is not None:
            self._advance(upper, page, rank=rank)

    def _advance(self, owner: IdRange, page: ScanPage[T], *, rank: int | None) -> None:
        """Move a range forward by a page, of which only the rows within the range are kept.

        *rank* is how many rows of the requested range lie before the page; `None` if it is not known.
        """
        kept = page.between(owner.fetched, owner.end)
        reaches_end = bool(page.keys) and page.keys[-1].id >= owner.end
        is_last = page.is_last(rank=rank)
        if kept.keys:
            owner.batches_waiting += 1
            self._batches.append(Batch(range=owner, page=kept))
            self._rows += len(kept.keys)
            owner.fetched = kept.keys[-1].id
        if reaches_end or (is_last and (page.is_short or not page.keys)):
            owner.fetched = owner.end
        owner.needs_recheck = is_last and not owner.is_fetched
