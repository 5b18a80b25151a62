"""Fetching what is compared: payouts in order of their ids, and the specifications of a hundred of them at once.

The law: what differs is fetched again before it is told, since payouts and specifications cannot be read in one
moment. A filter that the server does not honour is an error, never a difference.
"""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

from msgspec import UNSET, Struct
from msgspec import field as named

from amili_async._paging.ordered import Window
from amili_async._wire.hidden import Hidden
from amili_async._wire.reading import Page
from amili_async.connection import Connection
from amili_async.errors import UnreadableResponse
from amili_async.filters import Condition, Where, filter_document
from amili_async.models import Payout, PayoutSpecification
from amili_async.models.fields import Maybe, Money, is_object_id
from amili_async.query import field
from amili_async.reconcile import Reconciliation, Tally
from amili_async.resources import Resource
from amili_async.streams import Stream, read_steadily

BATCH = 100
"""Payouts whose specifications are fetched together: their ids make a request line of some 4 kB."""
IN_FLIGHT = 2
"""Batches at work: while one waits for its last pages the other has begun."""
LOOKS = 4
"""How often a payout that differs each time in another way is looked at again."""


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
        connection: Connection,
    ) -> None:
        document = filter_document(where)
        self._where = Condition(document) if document else None
        self._payouts = payouts
        self._specifications = specifications
        self._connection = connection
        self._ready: deque[_Batch] = deque()
        self._last: str | None = None
        self._is_over = False
        self._stream_payouts("0" * 24)  # refuses what makes too long a request line

    async def reconciliations(self) -> AsyncGenerator[Reconciliation, None]:
        """One for each payout, in the order of their ids."""
        window = Window(lambda _: self._reconcile(self._ready.popleft()), width=IN_FLIGHT)
        window.last = planned = 0
        window.ahead = IN_FLIGHT
        self._connection.open_walks.add(window)
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
            self._connection.open_walks.discard(window)
            await window.aclose()

    def _stream_payouts(self, after: str | None) -> Stream[Payout]:
        condition = None if after is None else field("_id") > after
        if self._where is not None:
            condition = self._where if condition is None else self._where & condition
        return self._payouts.stream(condition, max_items=BATCH, page_size=BATCH)

    async def _fetch_batches(self) -> list[_Batch]:
        """The next payouts by id, and, after the last of all, what is left of the specifications."""
        before = self._last
        payouts = tuple(await read_steadily(lambda: self._stream_payouts(before), _collect))
        ids = [payout.id for payout in payouts]
        if ids != sorted(set(ids)) or (before is not None and ids and ids[0] <= before):
            raise _not_honoured(self._payouts)
        self._is_over = len(ids) < BATCH
        batches = []
        if ids:
            self._last = ids[-1]
            batches.append(_among(payouts) if self._where is not None else _up_to(payouts, before))
        if self._is_over and self._where is None:
            batches.append(_beyond(self._last))
        return batches

    async def _reconcile(self, batch: _Batch) -> Hidden[list[Reconciliation]]:
        """Compare, and look again at what differs until it agrees, or differs twice in the same way."""
        found = {each.payout_id: each for each in await self._compare(batch)}
        doubtful = {payout_id for payout_id, each in found.items() if not each.agrees and is_object_id(payout_id)}
        for _ in range(LOOKS):
            again: dict[str, Reconciliation] = {}
            for ids in _cut(sorted(doubtful)):
                payouts = await self._payouts.stream(field("_id").is_in(ids)).collect()
                again |= {each.payout_id: each for each in await self._compare(_among(tuple(payouts), ids))}
            stable = {each for each in doubtful if each in again and again[each].differences == found[each].differences}
            for payout_id in doubtful - again.keys():
                del found[payout_id]  # the payout is gone, or what named an unknown one
            found |= again
            doubtful = {each for each in again.keys() - stable if not again[each].agrees}
            if not doubtful:
                break
        return Hidden([found[payout_id] for payout_id in sorted(found)])

    async def _compare(self, batch: _Batch) -> list[Reconciliation]:
        """Tally the specifications; those of a payout that is not there make one of their own."""

        async def tally(pages: AsyncGenerator[Page[_Line], None]) -> dict[str, Tally]:
            tallies = {payout.id: Tally(payout, payout.id) for payout in batch.payouts}
            seen: set[str] = set()
            async for page in pages:
                for line in page.items:
                    payout_id = line.payout
                    if not isinstance(payout_id, str) or not batch.asks_for(payout_id):
                        raise _not_honoured(self._specifications)
                    if line.id not in seen:
                        seen.add(line.id)
                        if payout_id not in tallies:
                            tallies[payout_id] = Tally(None, payout_id)
                        tallies[payout_id].add(line)
            return tallies

        tallies = await read_steadily(lambda: self._specifications.stream(batch.condition, into=_Line), tally)
        return [each.finish() for each in tallies.values()]


async def _collect(pages: AsyncGenerator[Page[Payout], None]) -> list[Payout]:
    return [payout async for page in pages for payout in page.items]


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


def _cut(ids: list[str]) -> Iterable[list[str]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))


def _not_honoured(resource: Resource[Any]) -> UnreadableResponse:
    return UnreadableResponse(
        f"GET /{resource.path} was answered with records that were not asked for, or not in the order asked for: the "
        "server seems not to honour filter or sort, so nothing can be told of what is missing",
        request=f"GET /{resource.path}",
    )
