"""Deliveries: records that count as taken once their consumer has finished them, in whatever order that is.

Invariant: the position that is covered lies before the first delivery that is not done, however many after it are. Of
each iteration, so many deliveries from that one on are handed out at most: they are what a killed process repeats.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from amili_async._wire.tasks import Cancellable, not_picklable
from amili_async.errors import ClientClosed, DeliveryFailed

if TYPE_CHECKING:
    from pyarrow import RecordBatch

P = TypeVar("P")
T = TypeVar("T")

UNFINISHED = 30
"""Deliveries from the first that is not done, unless a call has its own limit."""


@not_picklable
class Delivery(Generic[T]):
    """Records to be finished: call `done()` once they are processed, or `failed()`, of which the first call counts.

    Call both in the event loop. Another thread, and the callback of a future that is resolved in one, uses
    `loop.call_soon_threadsafe(delivery.done)`.
    """

    __slots__ = ("_note_end", "number", "records")

    def __init__(
        self, records: tuple[T, ...], number: int, note_end: Callable[[int, BaseException | None, str | None], None]
    ) -> None:
        self._note_end = note_end
        self.records = records
        """The records of one page."""
        self.number = number
        """From 1, in the order in which the iteration handed them out."""

    def __repr__(self) -> str:
        return f"Delivery(number={self.number}, records={len(self.records)})"

    def arrow_batch(self, fields: Sequence[str] | None = None) -> "RecordBatch":
        """The records as a `pyarrow.RecordBatch`; see `arrow_batches()`."""
        # An optional library is imported where it is needed, and the modules that build arrays import it.
        from amili_async.export.arrow import batch_encoder

        return batch_encoder(type(self.records[0]), fields)(self.records)

    def done(self) -> None:
        """All of it is processed, so that `checkpoint` may cover it."""
        self._note_end(self.number, None, None)

    def failed(self, error: BaseException, *, record_id: str | None = None) -> None:
        """It cannot be processed: the iteration stops and raises with this error, and `checkpoint` never covers it.

        *record_id* is the `_id` of the record concerned, for the error that is raised.
        """
        self._note_end(self.number, error, record_id)


class DeliveryTracker(Generic[P]):
    """The deliveries of one iteration; the client cancels it in place of what the iteration fetches with."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._before: dict[int, P] = {}
        """For each delivery that is not done, by its number, the position before it."""
        self._handed_out = 0
        self._failed: set[int] = set()
        self._changed = asyncio.Event()
        self._fetching: Cancellable | None = None
        self._is_closed = False
        self.failure: DeliveryFailed | None = None
        """Set by the first delivery that failed."""

    def begin(self, fetching: Cancellable) -> None:
        """Cancel *fetching* as soon as a delivery fails."""
        self._fetching = fetching

    def hand_out(self, records: tuple[T, ...], before: P) -> Delivery[T]:
        """The next delivery; *before* is the position that covers all earlier ones."""
        self._handed_out += 1
        self._before[self._handed_out] = before
        return Delivery(records, self._handed_out, self.note_end)

    def covered(self, taken: P) -> P:
        """The position before the first delivery that is not done; *taken* if all are."""
        return next(iter(self._before.values()), taken)

    async def wait_for_room(self) -> None:
        """Wait until another one may be handed out; raises `DeliveryFailed`, or `ClientClosed` after `cancel()`."""
        await self._wait(self._limit - 1)

    async def wait_until_done(self) -> None:
        """Wait until all are done; raises likewise."""
        await self._wait(0)

    async def _wait(self, most: int) -> None:
        while self._span > most or self._is_closed or self.failure is not None:
            if self.failure is not None:
                raise self.failure
            if self._is_closed:
                raise ClientClosed("the iteration or its client was closed before all deliveries were done")
            self._changed.clear()
            await self._changed.wait()

    @property
    def _span(self) -> int:
        """How many deliveries were handed out from the first one that is not done."""
        return self._handed_out + 1 - next(iter(self._before), self._handed_out + 1)

    def note_end(self, number: int, error: BaseException | None, record_id: str | None) -> None:
        """A delivery is done, or it failed with *error*: only the first report on it counts."""
        if number not in self._before or number in self._failed:
            return
        if error is None:
            del self._before[number]
            self._changed.set()
            return
        self._failed.add(number)
        if self.failure is None and not self._is_closed:  # closing cancels handlers, which is no failure of theirs
            place = f"delivery {number}" if record_id is None else f"record {record_id}"
            self.failure = DeliveryFailed(
                f"{place} failed with {type(error).__name__}", number=number, record_id=record_id
            )
            self.failure.__cause__ = error
            self.cancel()

    def cancel(self) -> Sequence[asyncio.Task[Any]]:
        """Wake the iteration where it waits, and cancel what is in flight; its tasks that have not finished."""
        self._is_closed = True
        self._changed.set()
        return () if self._fetching is None else self._fetching.cancel()

    def close(self) -> None:
        """End the iteration; deliveries that are finished later still count."""
        self.cancel()
        self._fetching = None
