"""Walk a list by ranges of its `_id`s, several at once, so that nothing that happens meanwhile can shift the rows.

The law: at most `width` requests are in flight, and at most twice as many pages are in flight or wait. A row that is
there throughout is handed out exactly once. An answer that does not keep to the ids asked for ends the walk, and
nothing is handed out before one has been seen that does. Whoever makes a walk closes it, which leaves no task behind.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any, Generic, TypeVar

from amili_async._paging.partition import LOWEST, IdRange, Partition, Span
from amili_async._paging.scan_checks import HIGHEST, FetchWhole, ScanChecks
from amili_async._paging.scan_page import Batch, FetchSpans, ScanPage, ScanStats
from amili_async._wire.tasks import cancel_all
from amili_async.errors import ConfigurationError

T = TypeVar("T")

AHEAD = 2
"""Pages in flight or waiting, for each request that may be in flight: order is nobody's concern, so few suffice.

Of those few hardly any should wait: while the consumer is busy with others, the records leave the processor's cache.
"""
_CANCELLED = "a page of the extraction was cancelled from outside"


class PartitionedScan(Generic[T]):
    """One walk over what is left of a list."""

    def __init__(
        self,
        fetch: FetchSpans[T],
        ranges: Sequence[Span],
        gaps: Sequence[Span] = (),
        *,
        end: str,
        width: int,
        page_size: int,
        most_spans: int,
        findings: ScanStats,
    ) -> None:
        self._partition = Partition(ranges, gaps)
        self._survey = ScanChecks(fetch, end=end, page_size=page_size, findings=findings)
        self._width = width
        self._most_spans = most_spans
        self._tasks: set[asyncio.Task[None]] = set()
        self._batches: deque[Batch[T]] = deque()
        self._arrived = asyncio.Event()
        self._failure: BaseException | None = None
        self._is_closed = False
        self._is_counted = findings.has_ended
        self._cuts_by_time = width

    @property
    def findings(self) -> ScanStats:
        """What was learned besides the records."""
        return self._survey.findings

    @property
    def rows_left(self) -> int | None:
        """How many rows are left to fetch; `None` where that is not known."""
        return self._partition.remaining

    def outstanding(self) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
        """The ranges of ids that the consumer has not taken, and the gaps to be looked into besides."""
        return self._partition.outstanding(), self._partition.outstanding_gaps()

    def begin_with(self, page: ScanPage[T], look_again: FetchWhole, *, filters_ids: bool = False) -> None:
        """Take in the page with which the whole list begins: asked for without a range, before the bound was known.

        Unless an earlier walk has shown that ranges are honoured (*filters_ids*), one is asked for next, even where
        nothing can be left: only that shows it.
        """
        page = self._survey.receive(page, (LOWEST, HIGHEST))
        first = self._partition.first
        self._advance(first, page, rank=0)
        if self._batches and not filters_ids:
            first.fetched, first.needs_recheck = self._batches[0].page.keys[-1].id, False
        first.remaining = None if page.total is None else page.total - len(page.keys)
        self._survey.open(page, (first.fetched, first.end), look_again, filters_ids=filters_ids)
        if not (self._batches or self._survey.must_count_before):
            self.findings.after, self.findings.has_ended, self._is_counted = self.findings.before, True, True

    async def take(self) -> Batch[T] | None:
        """The next records, of any range; `None` after the last. Raises what a fetch raised."""
        self._top_up()
        await asyncio.sleep(0)  # answers that have arrived meanwhile are read, and followed up, before this is used
        while not self._is_closed:
            if self._batches and self._survey.filters_ids:
                batch = self._batches.popleft()
                self._top_up()
                return batch
            if self._failure is not None and not (self._survey.filters_ids and self._tasks):
                raise self._failure
            if not self._tasks:
                self.findings.has_ended |= self._is_counted
                return None
            self._arrived.clear()
            await self._arrived.wait()
        raise ConfigurationError("the extraction, or its client, was closed while it was being read")

    def end(self) -> Sequence[asyncio.Task[None]]:
        """Cancel what is under way; returns the tasks that have yet to end."""
        self._is_closed = True
        self._arrived.set()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        return tasks

    async def aclose(self) -> None:
        """Cancel what is under way and wait until it has ended."""
        await cancel_all((self,))

    def _top_up(self) -> None:
        """Start as many fetches as the law allows."""
        each = (self._width + 2) // 3  # a page that waits shows that the consumer is behind, not the server
        limit = min(self._width, AHEAD * self._width - each * len(self._batches))
        while self._failure is None and not self._is_closed and len(self._tasks) < limit:
            job = self._find_job()
            if job is None:
                return
            task = asyncio.get_running_loop().create_task(job)
            self._tasks.add(task)
            task.add_done_callback(self._settle)

    def _find_job(self) -> Coroutine[Any, Any, None] | None:
        """What an idle worker does next: walk on, else cut the largest range, else count what there was."""
        idle = self._width - len(self._tasks)
        if self._survey.must_count_before:
            self._survey.must_count_before = False
            return self._survey.count(is_after=False)
        if (found := self._partition.next_to_walk(self._survey.size)) is not None:
            return self._walk_on(found)
        if self._survey.says_total and (largest := self._partition.largest_to_cut(self._survey.size)) is not None:
            return self._walk_from_the_middle(largest, idle)
        if self._survey.says_total is False and self._cuts_by_time and self._partition.cut_by_time(idle=idle):
            self._cuts_by_time -= 1
            return self._find_job()
        if self._tasks or self._is_counted:
            return None
        if gaps := self._partition.gaps:
            return self._look_into(gaps[: self._most_spans])
        self._is_counted = True
        return self._survey.count(is_after=True)

    def _settle(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        failure = ConfigurationError(_CANCELLED) if task.cancelled() else task.exception()
        self._failure = self._failure or failure
        self._top_up()
        self._arrived.set()

    def _walk_on(self, walked: IdRange) -> Coroutine[Any, Any, None]:
        """Fetch the next page of a range."""
        walked.is_in_flight = True
        after, end, expected = walked.fetched, walked.end, walked.expected

        async def walk() -> None:
            page = await self._survey.ask(((after, end),), expected=expected)
            walked.note_page(len(page.keys), end=end, total=page.total)
            self._advance(walked, page, rank=0)

        return walk()

    def _look_into(self, gaps: Sequence[IdRange]) -> Coroutine[Any, Any, None]:
        """Fetch what is in gaps, which on quiet data is nothing."""
        spans = [(each.fetched, each.end) for each in gaps]

        async def look() -> None:
            page = await self._survey.ask(spans)
            self.findings.has_moved |= bool(page.keys)
            for gap in gaps:
                self._advance(gap, page, rank=0)
                gap.needs_recheck = not gap.is_fetched

        return look()

    def _walk_from_the_middle(self, owner: IdRange, idle: int) -> Coroutine[Any, Any, None]:
        """Fetch a page from the middle of a range, and cut the range there."""
        cut, number = self._partition.plan_cut(owner, idle=idle, size=self._survey.size)
        after, end, expected = owner.fetched, owner.end, owner.expected

        async def walk() -> None:
            page = await self._survey.ask(((after, end),), page=number, expected=expected)
            # Where the server's pages may be of another size than it says, there is no telling where this one stands.
            is_sure = self._survey.is_size_sure and page.max_results == self._survey.size
            rank = (number - 1) * self._survey.size if is_sure else None
            left = None if page.total is None or rank is None else max(0, page.total - rank - len(page.keys))
            upper = self._partition.cut_at(cut, [key.id for key in page.keys], end=end, remaining=left)
            if upper is not None:
                self._advance(upper, page, rank=rank)

        return walk()

    def _advance(self, walked: IdRange, page: ScanPage[T], *, rank: int | None) -> None:
        """Move a range forward by a page, of which only what belongs to it is kept."""
        kept = page.between(walked.fetched, walked.end)
        goes_beyond = bool(page.keys) and page.keys[-1].id >= walked.end
        is_last = page.is_last(rank=rank)
        if kept.keys:
            walked.waiting += 1
            self._batches.append(Batch(range=walked, page=kept))
            walked.fetched = kept.keys[-1].id
        if goes_beyond or (is_last and (page.is_short or not page.keys)):
            walked.fetched = walked.end
        walked.needs_recheck = is_last and not walked.is_fetched
