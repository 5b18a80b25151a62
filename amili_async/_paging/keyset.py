"""Walk a list by ranges of its `_id`s, several at once, so that nothing that happens meanwhile can shift the rows.

The law: at most `width` requests are in flight, and at most twice as many pages are in flight or wait. A row that is
there throughout is handed out exactly once. An answer that does not keep to the ids asked for ends the walk, and
nothing is handed out before one has been seen that does. Whoever makes a walk closes it, which leaves no task behind.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from msgspec import Struct

from amili_async._paging.keyed import Batch, FetchRange, Findings, Keyed, NotHonoured
from amili_async._paging.ranges import LOWEST, IdRange, Partition
from amili_async.errors import ConfigurationError

T = TypeVar("T")

AHEAD = 2
"""Pages in flight or waiting, for each request that may be in flight: order is nobody's concern, so few suffice."""
DOUBTS = 3
"""How often rows must be shown without a range, and not be found with one: once, they may just have gone and come."""
HIGHEST = "f" * 24
"""The id that stands behind all others."""


FetchWhole: TypeAlias = Callable[[], Awaitable[Keyed[Any]]]
"""Fetches the first page of the list, without a range."""


class _Opening(Struct, frozen=True):
    """What the page showed that was fetched before the bound was known."""

    ids: tuple[str, ...]
    total: int | None
    newer: int
    rest: tuple[str, str]
    look_again: FetchWhole


class KeysetWalk(Generic[T]):
    """One walk over what is left of a list."""

    def __init__(
        self,
        fetch: FetchRange[T],
        ranges: Sequence[tuple[str, str]],
        *,
        end: str,
        width: int,
        page_size: int,
        findings: Findings,
    ) -> None:
        self._fetch = fetch
        self._partition = Partition(ranges)
        self._end = end
        self._width = width
        self._size = page_size
        self._is_size_sure = False
        self._findings = findings
        self._tasks: set[asyncio.Task[None]] = set()
        self._batches: deque[Batch[T]] = deque()
        self._arrived = asyncio.Event()
        self._failure: BaseException | None = None
        self._is_closed = False
        self._is_counted = findings.after is not None
        self.is_honoured = True
        """Whether the server has shown that it keeps to ranges of ids; an earlier walk over the list has seen it."""
        self._opening: _Opening | None = None
        self._says_total: bool | None = None
        self._must_count_before = False
        self._cuts_by_time = 2 * width

    @property
    def rows_left(self) -> int | None:
        """How many rows are left to fetch; `None` where that is not known."""
        return self._partition.remaining

    def outstanding(self) -> tuple[tuple[str, str], ...]:
        """The ranges of ids that the consumer has not taken."""
        return self._partition.outstanding()

    def begin_with(self, page: Keyed[T], look_again: FetchWhole, *, is_honoured: bool = False) -> None:
        """Take in the page with which the whole list begins: asked for without a range, before the bound was known.

        Unless an earlier walk has shown that ranges are honoured (*is_honoured*), one is asked for next, even where
        nothing can be left: only that shows it.
        """
        page = self._receive(page, LOWEST, HIGHEST)
        first = self._partition.first
        ids = tuple(key.id for key in page.between(LOWEST, first.end).keys)
        self._advance(first, page, rank=0)
        if ids and not is_honoured:
            first.fetched = ids[-1]
        first.remaining = None if page.total is None else page.total - len(page.keys)
        self._opening = _Opening(ids, page.total, len(page.keys) - len(ids), (first.fetched, first.end), look_again)
        self.is_honoured = is_honoured
        if first.is_fetched:
            self._note_before(self._opening, rest=0)
        if not ids and first.is_fetched:
            self._findings.after, self._is_counted = self._findings.before, True

    async def take(self) -> Batch[T] | None:
        """The next records, of any range; `None` after the last. Raises what a fetch raised."""
        self._top_up()
        await asyncio.sleep(0)  # answers that have arrived meanwhile are read, and followed up, before this is used
        while not self._is_closed:
            if self._batches and self.is_honoured:
                batch = self._batches.popleft()
                self._top_up()
                return batch
            if self._failure is not None and not (self.is_honoured and self._tasks):
                raise self._failure
            if not self._tasks:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        raise ConfigurationError("the extraction, or its client, was closed while it was being read")

    async def aclose(self) -> None:
        """Cancel what is under way and wait until it has ended."""
        self._is_closed = True
        self._arrived.set()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _top_up(self) -> None:
        """Start as many fetches as the law allows."""
        limit = min(self._width, AHEAD * self._width - len(self._batches))
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
        if self._must_count_before:
            self._must_count_before = False
            return self._count(is_after=False)
        if (found := self._partition.next_to_walk(self._size)) is not None:
            return self._walk_on(found)
        if self._says_total and (largest := self._partition.largest_to_cut(self._size)) is not None:
            return self._walk_from_the_middle(largest, idle)
        if self._says_total is False and self._cuts_by_time and self._partition.cut_by_time(idle=idle):
            self._cuts_by_time -= 1
            return self._find_job()
        if self._partition.is_fetched and not self._tasks and not self._is_counted:
            self._is_counted = True
            return self._count(is_after=True)
        return None

    def _settle(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = self._failure or task.exception()
        self._top_up()
        self._arrived.set()

    def _walk_on(self, walked: IdRange) -> Coroutine[Any, Any, None]:
        """Fetch the next page of a range."""
        walked.is_in_flight = True
        after, end, expected = walked.fetched, walked.end, self._expect(walked)

        async def walk() -> None:
            page = await self._ask(after, end, expected=expected)
            walked.note_page(len(page.keys), total=page.total if walked.end == end else walked.remaining)
            self._advance(walked, page, rank=0)

        return walk()

    def _walk_from_the_middle(self, owner: IdRange, idle: int) -> Coroutine[Any, Any, None]:
        """Fetch a page from the middle of a range, and cut the range there."""
        cut, number = self._partition.plan_cut(owner, idle=idle, size=self._size)
        after, end, expected = owner.fetched, owner.end, self._expect(owner)

        async def walk() -> None:
            page = await self._ask(after, end, page=number, expected=expected)
            # Where the server's pages may be of another size than it says, there is no telling where this one stands.
            rank = (number - 1) * self._size if self._is_size_sure and page.max_results == self._size else None
            left = None if page.total is None or rank is None else max(0, page.total - rank - len(page.keys))
            upper = self._partition.cut_at(cut, [key.id for key in page.keys], end=end, remaining=left)
            if upper is not None:
                self._advance(upper, page, rank=rank)

        return walk()

    async def _count(self, *, is_after: bool) -> None:
        """Ask how many rows there are up to the bound: at the start, where that is open, or at the end."""
        for _ in range(DOUBTS):
            page = self._receive(await self._fetch(LOWEST, self._end, is_count=True), LOWEST, self._end)
            if self.is_honoured or page.keys or self._opening is None:
                break
            still = await self._opening.look_again()
            if not any(key.id in self._opening.ids for key in still.keys):
                break
        else:
            raise NotHonoured  # it never finds what it shows before and after
        self.is_honoured |= is_after or bool(page.keys)
        if is_after:
            self._findings.after = page.total
        elif page.total is not None and self._opening is not None:
            self._findings.before = page.total
            self._findings.newer = max(0, (self._opening.total or 0) - page.total)

    async def _ask(self, after: str, end: str, *, page: int = 1, expected: int | None = None) -> Keyed[T]:
        answer = self._receive(await self._fetch(after, end, page=page), after, end)
        self.is_honoured |= bool(answer.keys)
        if answer.total is not None:
            self._findings.has_moved |= expected not in (None, answer.total)
            if self._findings.before is None and self._opening is not None and (after, end) == self._opening.rest:
                self._note_before(self._opening, rest=answer.total)
        return answer

    def _note_before(self, opening: _Opening, *, rest: int) -> None:
        """Note how many rows up to the bound there were.

        Where the list has more than were seen, they lie past the bound, or were left out: only a count can tell.
        """
        if opening.total is not None:
            rows = self._findings.before = len(opening.ids) + rest
            self._findings.newer = max(0, opening.total - rows)
            self._must_count_before = opening.total > rows + opening.newer

    def _expect(self, walked: IdRange) -> int | None:
        """The total that the next answer for a range must show, unless rows move."""
        return None if self._findings.before is None else walked.remaining

    def _receive(self, answer: Keyed[T], after: str, end: str) -> Keyed[T]:
        page = answer.check(after, end)
        self._findings.requests += 1
        self._findings.doubled += page.received - len(page.keys)
        if self._says_total is None:  # the first page tells how large a page is, and whether totals come
            self._says_total = page.total is not None
            has_more = page.total is not None and page.total > page.received > 0
            self._size = page.received if has_more else page.max_results or self._size
        self._is_size_sure |= page.received == page.max_results == self._size
        return page

    def _advance(self, walked: IdRange, page: Keyed[T], *, rank: int | None) -> None:
        """Move a range forward by a page, of which only what belongs to it is kept."""
        kept = page.between(walked.fetched, walked.end)
        is_over = page.is_last(rank=rank) or page.keys[-1].id >= walked.end
        if kept.keys:
            walked.waiting += 1
            self._batches.append(Batch(range=walked, page=kept))
            walked.fetched = kept.keys[-1].id
        if is_over:
            walked.fetched = walked.end
