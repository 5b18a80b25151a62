"""Fetch what is compared: payouts in the order of their ids, and the specifications of a hundred payouts at a time.

Invariant: a difference is reported only if it was found twice, some seconds apart, since payouts and specifications are
neither read nor booked in one instant; a payout that differs in another way each time is reported as unsettled. Both
lists are read by keyset pagination, so that concurrent inserts and deletes hide no row. A server that ignores a filter
is an error, never a difference.
"""

from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from operator import attrgetter

from msgspec import Struct
from msgspec.structs import replace

from amili_async._paging.keyset import KeysetPager, filter_ignored, is_last
from amili_async._paging.prefetch import PrefetchWindow
from amili_async._wire.context import ClientContext
from amili_async._wire.iteration import Iteration
from amili_async._wire.listing import Listing
from amili_async._wire.tasks import Redacted
from amili_async.conditions import Condition, Where, field, filter_document
from amili_async.models import Payout, PayoutSpecification
from amili_async.models.fields import Money, is_object_id
from amili_async.models.record_type import own_record_type, record_type_of
from amili_async.reconciliation.comparison import Reconciliation, Tally
from amili_async.resources import Resource

PAYOUTS_PER_BATCH = 100
"""Payouts whose specifications are fetched together: their ids make a request line of some 4 kB."""
BATCHES_IN_FLIGHT = 2
"""Batches compared concurrently, each by one request at a time: enough to use the API's limit at a latency of 1 s."""
MAX_RECHECKS = 4
"""Further comparisons of a payout whose differences change from one to the next."""
RECHECK_DELAY = 5.0
"""Seconds before a payout with differences is compared again: a booking in progress is usually complete by then."""


class _SpecificationRow(Struct, frozen=True, gc=False, kw_only=True):
    """The fields of a specification that are compared; they are the projection."""

    id: str
    payout: str | None = None
    creditor: str | None = None
    currency: str | None = None
    finance_category: str | None = None
    article: str | None = None
    amount: Money | None = None
    vat_amount: Money | None = None
    total_amount: Money | None = None


class _Batch(Struct, frozen=True):
    """Payouts, and the specifications that are fetched for them."""

    payouts: tuple[Payout, ...]
    condition: Condition
    """The filter of the specifications."""
    covers: Callable[[str], bool]
    """Whether specifications of the payout with this id match the condition."""


class Reconciler:
    """One run over the payouts that match a filter."""

    def __init__(
        self,
        where: Where,
        *,
        payouts: Resource[Payout],
        specifications: Resource[PayoutSpecification],
        context: ClientContext,
    ) -> None:
        document = filter_document(where)
        self._where = Condition(document) if document else None
        self._payouts = Listing(
            payouts.path, own_record_type(Payout), context, must_be_current=True, operation="reconcile"
        )
        rows = record_type_of(_SpecificationRow, is_projected=True)
        self._specifications = Listing(specifications.path, rows, context, must_be_current=True, operation="reconcile")
        self._context = context
        self._ready: deque[_Batch] = deque()
        self._last_id: str | None = None
        self._has_all_payouts = False
        self._pager = KeysetPager(self._payouts, self._where)

    def reconciliations(self) -> AsyncGenerator[Reconciliation, None]:
        """One for each payout, in the order of their ids."""
        return Iteration(self._run(), attrgetter("content"))

    async def _run(self) -> AsyncGenerator[Redacted[list[Reconciliation]], None]:
        window = PrefetchWindow(lambda _: self._reconcile(self._ready.popleft()), concurrency=BATCHES_IN_FLIGHT)
        window.last_page = 0
        window.pages_ahead = BATCHES_IN_FLIGHT
        self._context.running.add(window)
        try:
            while True:
                while not (self._has_all_payouts or self._ready):
                    self._ready.extend(await self._fetch_batches())
                    window.last_page += len(self._ready)
                    window.top_up()  # starts batches, which leaves `_ready` empty until the window is full
                compared = await window.take()
                if compared is None:
                    break
                yield compared
        finally:
            self._context.running.discard(window)
            await window.aclose()

    async def _fetch_batches(self) -> list[_Batch]:
        """The next payouts by id, and after the last one the specifications that no batch has covered."""
        before = self._last_id
        page = await self._pager.read(before)
        self._has_all_payouts = is_last(page)
        batches = []
        if page.items:
            self._last_id = page.items[-1].id
            # Without a filter a range of ids also covers specifications that name a payout which does not exist.
            batches.append(_of_ids(page.items) if self._where is not None else _of_range(page.items, before))
        if self._has_all_payouts and self._where is None:
            batches.append(_of_rest(self._last_id))
        return batches

    async def _reconcile(self, batch: _Batch) -> Redacted[list[Reconciliation]]:
        """Compare, and compare again what differs, until it agrees or differs twice in the same way; else unsettled."""
        found = {each.payout_id: each for each in await self._compare(batch)}
        doubtful = {payout_id for payout_id, each in found.items() if not each.agrees and is_object_id(payout_id)}
        for _ in range(MAX_RECHECKS):
            if not doubtful:
                break
            await self._context.clock.sleep(RECHECK_DELAY)
            again = {each.payout_id: each for each in await self._compare_ids(sorted(doubtful))}
            for payout_id in doubtful - again.keys():
                del found[payout_id]  # the payout was deleted, or no specification names the unknown one any more
            confirmed = {each for each in again if again[each].differences == found[each].differences}
            found |= again
            doubtful = {each for each in again.keys() - confirmed if not again[each].agrees}
        found |= {payout_id: replace(found[payout_id], unsettled=True) for payout_id in doubtful}
        return Redacted([found[payout_id] for payout_id in sorted(found)])

    async def _compare_ids(self, ids: list[str]) -> list[Reconciliation]:
        """Compare these payouts as they are stored at this moment; one that was deleted has no result."""
        found: list[Reconciliation] = []
        # A batch by range can have any number of unknown payouts, more than one request line can hold.
        for some in (ids[start : start + PAYOUTS_PER_BATCH] for start in range(0, len(ids), PAYOUTS_PER_BATCH)):
            pager = KeysetPager(self._payouts, field("_id").is_in(some))
            async with aclosing(pager.records()) as payouts:
                batch = _of_ids(tuple([payout async for payout in payouts]), some)
            found += await self._compare(batch)
        return found

    async def _compare(self, batch: _Batch) -> list[Reconciliation]:
        """Add each specification to its payout; those of a payout that does not exist make a result of their own."""
        tallies = {payout.id: Tally(payout, payout.id) for payout in batch.payouts}
        pager = KeysetPager(self._specifications, batch.condition)
        async with aclosing(pager.records()) as rows:
            async for row in rows:
                # Of a server that ignores the filter, each row would be a false difference.
                if row.payout is None or not batch.covers(row.payout):
                    raise filter_ignored(self._specifications.path)
                if row.payout not in tallies:
                    tallies[row.payout] = Tally(None, row.payout)
                tallies[row.payout].add(row)
        return [tally.finish() for tally in tallies.values()]


def _of_ids(payouts: tuple[Payout, ...], ids: list[str] | None = None) -> _Batch:
    """Specifications that name one of these payouts."""
    wanted = [payout.id for payout in payouts] if ids is None else ids
    return _Batch(payouts=payouts, condition=field("payout").is_in(wanted), covers=frozenset(wanted).__contains__)


def _of_range(payouts: tuple[Payout, ...], before: str | None) -> _Batch:
    """Specifications that name one of these payouts, or an id between them that does not exist."""
    last, lowest = payouts[-1].id, before or ""
    condition = field("payout") <= last if before is None else (field("payout") > before) & (field("payout") <= last)
    return _Batch(payouts=payouts, condition=condition, covers=lambda payout: lowest < payout <= last)


def _of_rest(last: str | None) -> _Batch:
    """Specifications that name an id after the last payout, or a text that is no id."""
    # MongoDB compares values of one type only: a text that is no ObjectId is neither above nor below one, so that
    # `$gt` would miss it. `$not` matches everything that is not `$lte`; `$ne: null` leaves out those without a payout.
    rest = {"$ne": None} if last is None else {"$ne": None, "$not": {"$lte": last}}
    return _Batch(
        payouts=(),
        condition=Condition(filter_document({"payout": rest})),
        covers=lambda payout: last is None or not is_object_id(payout) or payout > last,
    )
