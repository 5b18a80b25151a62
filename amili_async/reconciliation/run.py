"""Fetching what is compared: payouts in order of their ids, and the specifications of a hundred of them at once.

The law: lists are read on from the last id, so that what comes or goes meanwhile hides no row. What differs is fetched
again some seconds later before it is told, since neither can payouts and specifications be read in one moment, nor need
they be booked in one. A filter that the server does not honour is an error, never a difference.
"""

from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from msgspec import UNSET, Struct
from msgspec import field as named

from amili_async._paging.keyset import KeysetPager, filter_ignored, is_last
from amili_async._paging.prefetch import PrefetchWindow
from amili_async._wire.context import ClientContext
from amili_async._wire.tasks import Redacted
from amili_async.errors import UnreadableResponse
from amili_async.filters import Condition, Where, filter_document
from amili_async.models import Payout, PayoutSpecification
from amili_async.models.fields import Maybe, Money, is_object_id
from amili_async.models.record_type import RecordType, record_type_of
from amili_async.query import field
from amili_async.reconciliation.comparison import Reconciliation, Tally
from amili_async.resources import Resource

BATCH = 100
"""Payouts whose specifications are fetched together: their ids make a request line of some 4 kB."""
IN_FLIGHT = 2
"""Batches at work, each a request at a time: enough for the API's limit where an answer takes a second."""
LOOKS = 4
"""How often a payout that differs each time in another way is looked at again."""
RECHECK_DELAY = 5.0
"""Seconds before what differs is looked at again: bookings that were under way have been completed by then."""


class _Line(Struct, frozen=True, gc=False, kw_only=True):
    """What has to be known of a specification; only this travels."""

    id: str = named(name="_id")
    payout: Maybe[str] = UNSET
    creditor: Maybe[str] = UNSET
    currency: Maybe[str] = UNSET
    finance_category: Maybe[str] = UNSET
    article: Maybe[str] = UNSET
    amount: Maybe[Money] = UNSET
    vat_amount: Maybe[Money] = UNSET
    total_amount: Maybe[Money] = UNSET


_PAYOUT = RecordType[Payout](record=Payout, wire=Payout, projection=None)


class _Batch(Struct, frozen=True):
    """Payouts, and the specifications that are fetched for them."""

    payouts: tuple[Payout, ...]
    condition: Condition
    asks_for: Callable[[str], bool]
    """Whether specifications that name this payout fulfil the condition."""


class Reconciler:
    """One run over the payouts that match a filter."""

    def __init__(
        self,
        where: Where,
        *,
        payouts: Resource[Payout],
        specifications: Resource[PayoutSpecification],
        connection: ClientContext,
    ) -> None:
        document = filter_document(where)
        self._where = Condition(document) if document else None
        self._payouts = payouts
        self._specifications = specifications
        self._connection = connection
        self._ready: deque[_Batch] = deque()
        self._last: str | None = None
        self._is_over = False
        self._line = record_type_of(_Line, is_projected=True)
        self._walk = KeysetPager(payouts.path, _PAYOUT, self._where, connection.call)
        self._walk.ask("0" * 24)  # refuses what makes too long a request line

    async def reconciliations(self) -> AsyncGenerator[Reconciliation, None]:
        """One for each payout, in the order of their ids."""
        window = PrefetchWindow(lambda _: self._reconcile(self._ready.popleft()), width=IN_FLIGHT)
        window.last = planned = 0
        window.ahead = IN_FLIGHT
        self._connection.running.add(window)
        try:
            while True:
                while not (self._is_over or self._ready):
                    self._ready.extend(await self._fetch_batches())
                    planned += len(self._ready)
                    window.last = planned
                    window.top_up()
                found = await window.take()
                if found is None:
                    break
                for each in found.content:
                    yield each
        finally:
            self._connection.running.discard(window)
            await window.aclose()

    async def _fetch_batches(self) -> list[_Batch]:
        """The next payouts by id, and, after the last of all, what is left of the specifications."""
        before = self._last
        page = await self._walk.read(before)
        self._is_over = is_last(page)
        batches = []
        if page.items:
            self._last = page.items[-1].id
            batches.append(_among(page.items) if self._where is not None else _up_to(page.items, before))
        if self._is_over and self._where is None:
            batches.append(_beyond(self._last))
        return batches

    async def _reconcile(self, batch: _Batch) -> Redacted[list[Reconciliation]]:
        """Compare, and look again at what differs until it agrees, or differs twice in the same way."""
        found = {each.payout_id: each for each in await self._compare(batch)}
        doubtful = {payout_id for payout_id, each in found.items() if not each.agrees and is_object_id(payout_id)}
        for _ in range(LOOKS):
            if not doubtful:
                break
            await self._connection.clock.sleep(RECHECK_DELAY)
            again = {each.payout_id: each for each in await self._compare_again(sorted(doubtful))}
            for payout_id in doubtful - again.keys():
                del found[payout_id]  # the payout is gone, or what named an unknown one
            stable = {each for each in again if again[each].differences == found[each].differences}
            found |= again
            doubtful = {each for each in again.keys() - stable if not again[each].agrees}
        if not doubtful:
            return Redacted([found[payout_id] for payout_id in sorted(found)])
        raise UnreadableResponse(
            f"{len(doubtful)} payouts differed in another way each of the {LOOKS + 1} times that they were looked at: "
            "they are being booked on, so nothing can be told of them"
        )

    async def _compare_again(self, ids: list[str]) -> list[Reconciliation]:
        """What has become of these payouts, as far as they are still there."""
        found: list[Reconciliation] = []
        for some in (ids[start : start + BATCH] for start in range(0, len(ids), BATCH)):
            walk = KeysetPager(self._payouts.path, _PAYOUT, field("_id").is_in(some), self._connection.call)
            async with aclosing(walk.records()) as payouts:
                batch = _among(tuple([payout async for payout in payouts]), some)
            found += await self._compare(batch)
        return found

    async def _compare(self, batch: _Batch) -> list[Reconciliation]:
        """Tally the specifications; those of a payout that is not there make one of their own."""
        tallies = {payout.id: Tally(payout, payout.id) for payout in batch.payouts}
        walk = KeysetPager[_Line](self._specifications.path, self._line, batch.condition, self._connection.call)
        async with aclosing(walk.records()) as lines:
            async for line in lines:
                payout_id = line.payout
                if not isinstance(payout_id, str) or not batch.asks_for(payout_id):
                    raise filter_ignored(self._specifications.path)
                if payout_id not in tallies:
                    tallies[payout_id] = Tally(None, payout_id)
                tallies[payout_id].add(line)
        return [each.finish() for each in tallies.values()]


def _among(payouts: tuple[Payout, ...], ids: list[str] | None = None) -> _Batch:
    """Specifications that name one of these payouts."""
    wanted = [payout.id for payout in payouts] if ids is None else ids
    return _Batch(payouts=payouts, condition=field("payout").is_in(wanted), asks_for=frozenset(wanted).__contains__)


def _up_to(payouts: tuple[Payout, ...], before: str | None) -> _Batch:
    """Specifications that name one of these payouts, or one that would lie between them and does not exist."""
    last, lowest = payouts[-1].id, before or ""
    condition = field("payout") <= last if before is None else (field("payout") > before) & (field("payout") <= last)
    return _Batch(payouts=payouts, condition=condition, asks_for=lambda payout: lowest < payout <= last)


def _beyond(last: str | None) -> _Batch:
    """Specifications that name a payout behind all that exist, or something that is no id at all."""
    rest = {"$ne": None} if last is None else {"$ne": None, "$not": {"$lte": last}}
    return _Batch(
        payouts=(),
        condition=Condition(filter_document({"payout": rest})),
        asks_for=lambda payout: last is None or not is_object_id(payout) or payout > last,
    )
