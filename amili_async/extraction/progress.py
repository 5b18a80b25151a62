"""How far the consumer of an extraction came: the batch it reads, what it has taken, and what is done of that.

Invariant: `checkpoint()` covers a record once the next one was requested; a record of a delivery once that and all
before it are done. Without a scan, because the iteration has ended, it is what the next iteration begins with.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from operator import length_hint
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import asdict, replace

from amili_async._paging.scan import PartitionedScan
from amili_async._paging.scan_page import Batch
from amili_async._wire.tasks import hide_contents
from amili_async.deliveries import Delivery, DeliveryTracker
from amili_async.extraction.checkpoint import MAX_RECENT_VERSIONS, Checkpoint, recent_version_hashes, version_hash
from amili_async.extraction.source import SINCE_OVERLAP, Source
from amili_async.extraction.sums import add_money

T = TypeVar("T")


@hide_contents
class CurrentBatch(Struct, Generic[T]):
    """The batch that the consumer is reading, and how far."""

    batch: Batch[T]
    """The records as they were fetched."""
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


class ExtractionProgress(Generic[T]):
    """The progress of one extraction, over all its iterations."""

    def __init__(self, source: Source[T], start: Checkpoint) -> None:
        self._source = source
        self._current: CurrentBatch[T] | None = None
        self.base = start
        """What was taken before the current batch."""
        self.scan: PartitionedScan[T] | None = None
        """What the iteration that is running fetches with; `None` between two iterations."""
        self.tracker: DeliveryTracker[Checkpoint] | None = None
        """The deliveries of the latest iteration, if it is one of deliveries."""
        self.recent = set(start.version_hashes)
        """Hashes of recent versions, for the next extraction."""

    @property
    def rows(self) -> int:
        """How many records the checkpoint covers."""
        base = self.base if self.tracker is None else self.tracker.covered(self.base)
        return base.rows + (self._current.count if self._current is not None else 0)

    def checkpoint(self) -> Checkpoint:
        """What is taken, and of deliveries what is done."""
        taken = self._taken()
        return taken if self.tracker is None else replace(self.tracker.covered(taken), requests=taken.requests)

    def _taken(self) -> Checkpoint:
        """What the consumer has taken, whether or not it is done."""
        base, scan, current = self.base, self.scan, self._current
        if scan is None:
            return base
        if current is not None:
            base = self._add(current, current.count)
        ranges, gaps = scan.outstanding()
        return replace(base, recent_versions="".join(self.recent), ranges=ranges, gaps=gaps, **asdict(scan.stats))

    def restart(self) -> None:
        """Begin another iteration at the checkpoint; what is not done by then is delivered again."""
        self.base, self.tracker = self.checkpoint(), None
        self.recent = set(self.base.version_hashes)

    def end(self) -> None:
        """End the iteration: it delivers no more; deliveries may still be done."""
        self.base = self._taken()
        if self._current is not None:
            deque(self._current.rest, maxlen=0)  # an iteration that still reads this batch delivers no more of it
        if self.tracker is not None:
            self.tracker.close()
        self._current, self.scan = None, None

    def open_batch(self, batch: Batch[T]) -> CurrentBatch[T]:
        """Begin to read a batch."""
        page, delivered = batch.page, self._source.delivered_versions
        items = page.items
        places: Sequence[int] = range(len(items))
        if delivered:
            places = [place for place, key in enumerate(page.keys) if version_hash(key) not in delivered]
            items = tuple(page.items[place] for place in places)
        self._current = CurrentBatch(batch=batch, items=items, places=places, rest=iter(items))
        return self._current

    def take_current(self) -> None:
        """Count all of the current batch as taken."""
        if (current := self._current) is not None:
            self.base, self._current = self._add(current, len(current.items)), None

    def hand_out(self, tracker: DeliveryTracker[Checkpoint], current: CurrentBatch[T]) -> tuple[Delivery[T]]:
        """The current batch as a delivery: it is taken at once, and covered when it and all before it are done."""
        before = self._taken()
        self.take_current()
        return (tracker.hand_out(current.items, before),)

    def _add(self, current: CurrentBatch[T], count: int) -> Checkpoint:
        """The checkpoint with the first *count* records of a batch added; also keeps the hashes of recent versions."""
        base, items = self.base, current.items[:count]
        # Rows left out count with the record before them, and those before the first one with the first.
        rows = (
            len(current.batch.page.keys)
            if count == len(current.items)
            else current.places[count - 1] + 1
            if count
            else 0
        )
        current.batch.mark_consumed(rows)
        if base.bound is not None and (room := MAX_RECENT_VERSIONS - len(self.recent)) > 0:
            self.recent.update(recent_version_hashes(current.batch.page.keys[:rows], base.bound - SINCE_OVERLAP)[:room])
        return replace(
            base,
            rows=base.rows + len(items),
            already_delivered=base.already_delivered + rows - len(items),
            sums=add_money(base.sums, items, self._source.listing.record_type.record),
        )
