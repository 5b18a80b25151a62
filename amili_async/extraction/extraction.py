"""What `extract()` returns: every record exactly once, although rows come, change and go meanwhile.

The law: the checkpoint covers what the consumer has taken, neither more nor less; a record counts as taken when the
next one is asked for. The bound is frozen before the first record is handed out.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from math import ceil
from types import TracebackType
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import asdict, replace

from amili_async._paging.partition import LOWEST, Span
from amili_async._paging.scan import PartitionedScan
from amili_async._paging.scan_page import Batch, RangeFilterIgnored, ScanStats
from amili_async.errors import AmiliError, ConfigurationError, ExtractionInterrupted
from amili_async.events import PageReceived
from amili_async.extraction.checkpoint import Checkpoint, Manifest, find_recent, make_manifest, version_hash
from amili_async.extraction.source import SINCE_OVERLAP, Source, last_id
from amili_async.extraction.sums import add_money

T = TypeVar("T")

_OVERTAKEN = "the extraction was closed, or another iteration of it has begun"


class _Taken(Struct, Generic[T]):
    """The batch that the consumer is at, and how far it came."""

    batch: Batch[T]
    items: tuple[T, ...]
    places: range | list[int]
    count: int = 0

    def __repr__(self) -> str:
        return f"{self.count} of {self.batch!r}"

    __rich_repr__ = None  # type: ignore[assignment]  # rich would show what repr hides

    @property
    def rows(self) -> int:
        """How many rows of the batch were taken, those left out before the last of them included."""
        return 0 if self.count == 0 else self.places[self.count - 1] + 1


class Extraction(Generic[T]):
    """Every record that matches, exactly once, in no particular order. Nothing is sent until it is iterated.

    It walks ranges of `_id`, several at once, up to a bound that is frozen at the start: ten seconds before the time of
    the server or of this machine, whichever is earlier. Rows whose ids were made later are left for the next time.

    A row that is there throughout comes exactly once; one that is deleted or made meanwhile comes once or not at all,
    one that is changed meanwhile in one of its versions. It costs a request a page and a few more, at most two and one
    per part: a count, a last look where a full page seemed to be the last, and what rows past the bound lead astray.

    Leaving early, by `break`, an exception or a cancellation, ends what is under way; iterating again goes on where
    that was, and begins with the record in hand, which does not count as taken. Once the first page has come, an error
    of the API becomes an `ExtractionInterrupted`, which carries the checkpoint; `__cause__` says whether another try
    makes sense.
    """

    def __init__(self, source: Source[T], *, start: Checkpoint) -> None:
        self._source = source
        self._base = start
        self._walk: PartitionedScan[T] | None = None
        self._taken: _Taken[T] | None = None
        self._pages = 0
        self._recent = set(start.marks)

    def __repr__(self) -> str:
        return f"Extraction({self._source.path}, rows={self.rows}, total={self.total})"

    @property
    def checkpoint(self) -> Checkpoint:
        """How far the consumer came: covers each record before the one that it was handed last."""
        base, walk, taken = self._base, self._walk, self._taken
        if walk is None:
            return base
        if taken is not None:
            taken.batch.take(taken.rows)
            base = self._add(base, taken, taken.rows)
        ranges, gaps = walk.outstanding()
        return replace(
            base,
            recent="".join(self._recent),
            ranges=ranges,
            gaps=gaps,
            **asdict(walk.findings),
        )

    @property
    def manifest(self) -> Manifest:
        """What was done so far; its verdict is `partial` until everything was taken."""
        return make_manifest(self.checkpoint, filter=self._source.filter)

    @property
    def rows(self) -> int:
        """How many records were taken, those before the checkpoint that it began with included."""
        return self._base.rows + (self._taken.count if self._taken is not None else 0)

    @property
    def total(self) -> int | None:
        """How many rows match up to the bound, by the server's count at the start; `None` before it is known."""
        return self._base.before if self._walk is None else self._walk.findings.before

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the request budget needs at least for the pages that are left; `None` where it can't be told."""
        left = None if self._walk is None else self._walk.rows_left
        if left is None:
            return None
        connection = self._source.connection
        return connection.forecast(ceil(left / connection.page_size) + 1)

    async def __aiter__(self) -> AsyncGenerator[T, None]:
        async with aclosing(self._run()) as batches:
            async for taken in batches:
                for taken.count, record in enumerate(taken.items):  # noqa: B020 - the count is what was taken before
                    yield record
                    if self._taken is not taken:
                        raise ConfigurationError(_OVERTAKEN)
                taken.count = len(taken.items)

    async def batches(self) -> AsyncGenerator[tuple[T, ...], None]:
        """The same records, those of a page at a time: each batch by `_id`, and no two interleave."""
        async with aclosing(self._run()) as batches:
            async for taken in batches:
                yield taken.items
                taken.count = len(taken.items)

    async def aclose(self) -> None:
        """End the iteration that is under way; another one goes on where it was."""
        walk = self._walk
        if walk is not None:
            self._base, self._taken, self._walk = self.checkpoint, None, None
            self._source.connection.running.discard(walk)
            await walk.aclose()

    async def __aenter__(self) -> "Extraction[T]":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _run(self) -> AsyncGenerator[_Taken[T], None]:
        """The batches; when the next one is asked for, all of the one before has been taken."""
        await self.aclose()  # one that was left without being closed
        walk, bound = await self._begin()
        if self._walk is not None:
            raise ConfigurationError("the extraction is being iterated already: make another one with extract()")
        self._walk, self._base = walk, replace(self._base, bound=bound)
        self._source.connection.running.add(walk)
        try:
            while (batch := await self._take(walk)) is not None:
                taken = self._taken = self._open_batch(batch)
                if taken.items:
                    yield taken
                if self._walk is not walk:
                    raise ConfigurationError(_OVERTAKEN)
                self._close_batch(taken)
        finally:
            if self._walk is walk:
                await self.aclose()

    async def _begin(self) -> tuple[PartitionedScan[T], datetime]:
        """A walk over what the checkpoint leaves; without one, the first page and the bound come first."""
        base = self._base
        if base.bound is not None:
            return self._make_walk(base.bound, base.ranges, base.gaps), base.bound
        page, bound = await self._source.fetch_beginning()
        walk = self._make_walk(bound, ((LOWEST, last_id(bound)),))
        walk.begin_with(page, self._source.look_again, filters_ids=base.since is not None)
        if base.since is not None and bound < base.since:
            self._recent |= self._source.known  # the server's clock went back: what was known then still is
        return walk, bound

    def _make_walk(self, bound: datetime, ranges: Sequence[Span], gaps: Sequence[Span] = ()) -> PartitionedScan[T]:
        base = self._base
        findings = ScanStats(**{name: getattr(base, name) for name in ScanStats.__struct_fields__})
        if not base.is_finished:
            findings.after, findings.has_ended = None, False  # it ends, and is counted, anew
        return PartitionedScan(
            self._source.fetch,
            ranges,
            gaps,
            end=last_id(bound),
            width=self._source.width,
            page_size=self._source.connection.page_size,
            most_spans=self._source.most_spans,
            findings=findings,
        )

    async def _take(self, walk: PartitionedScan[T]) -> Batch[T] | None:
        try:
            return await walk.take()
        except RangeFilterIgnored:
            raise  # there is nothing to go on from
        except AmiliError as error:
            raise ExtractionInterrupted(
                f"the extraction of {self._source.path} was interrupted after {self.rows} records: {error}",
                checkpoint=self.checkpoint,
            ) from error

    def _open_batch(self, batch: Batch[T]) -> _Taken[T]:
        page, known = batch.page, self._source.known
        self._pages += 1
        if announce := self._source.connection.announce:
            announce(PageReceived(path=self._source.path, number=self._pages, items=len(page.items), total=self.total))
        if not known:
            return _Taken(batch=batch, items=page.items, places=range(len(page.items)))
        places = [place for place, key in enumerate(page.keys) if version_hash(key) not in known]
        return _Taken(batch=batch, items=tuple(page.items[place] for place in places), places=places)

    def _close_batch(self, taken: _Taken[T]) -> None:
        taken.count, rows = len(taken.items), len(taken.batch.page.keys)
        taken.batch.take(rows)
        self._base, self._taken = self._add(self._base, taken, rows), None

    def _add(self, base: Checkpoint, taken: _Taken[T], rows: int) -> Checkpoint:
        """What is known once the first *rows* of a batch have been taken too; the marks of recent ones are kept."""
        items = taken.items[: taken.count]
        if base.bound is not None:
            self._recent.update(find_recent(taken.batch.page.keys[:rows], base.bound - SINCE_OVERLAP))
        return replace(
            base,
            rows=base.rows + len(items),
            known=base.known + rows - len(items),
            sums=add_money(base.sums, items, self._source.shape.record),
        )
