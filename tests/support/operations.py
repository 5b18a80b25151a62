"""What every fault is held against: each operation, what it brings if nothing goes wrong, and how else it may end.

The law: delivered whole, or one named error; never a hang, a foreign error, or a row lost, doubled or made twice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from amili_async import AmiliClient, NewCreditorPayment
from amili_async.errors import AmiliError, ExtractionInterrupted, PaymentOutcomeUnknown
from amili_async.extraction import Checkpoint
from amili_async.sandbox import Sandbox
from tests.support.clocks import HastyClock

PAYOUTS, SPECIFICATIONS, PAYMENTS = "finance--payouts", "finance--payout-specifications", "creditor--payments"
TOKEN_PATH = "/authenticates/api-code"
ROWS = {"payouts": 3, "specifications": 35, "payments": 0}
"""Three full pages of ten and a short one."""
PAGE_SIZE = 10
GUARD = 5.0
"""Real seconds after which an operation is taken to hang; none needs a tenth of them."""
PAYMENT = NewCreditorPayment(
    creditor="674dbeb208847b9501cc9138",
    case="68678eda88b9226bb78d7169",
    amount=Decimal("100.50"),
    bank_transaction_date=datetime(2025, 7, 4, 16, 20, 41, tzinfo=UTC),
    creditor_payment_reference="PAY-REF-001",
)


@dataclass(frozen=True)
class Fails:
    """An operation ends with this error."""

    kind: type[AmiliError]
    told: Mapping[str, Any] = field(default_factory=dict)
    """Attributes of the error."""
    within: type[AmiliError] | None = None
    """The error that is raised, where the other is only its cause."""

    def check(self, error: AmiliError) -> None:
        """Hold an error to it: this very class, with these attributes."""
        if self.within is not None:
            assert type(error) is self.within, f"{type(error).__name__}: {error}"
            assert isinstance(error.__cause__, AmiliError)
            error = error.__cause__
        assert type(error) is self.kind, f"{type(error).__name__}: {error}"
        assert {name: getattr(error, name) for name in self.told} == self.told


WHOLE = None
"""An operation delivers everything, as if nothing had gone wrong."""
Ending = Fails | None

Run = Callable[[AmiliClient, Sandbox, list[Any], Checkpoint | None], Awaitable[None]]


@dataclass(frozen=True)
class Operation:
    """One thing that a caller does."""

    name: str
    run: Run
    """Puts what it delivers on the list, in the moment in which it does."""
    truth: Callable[[Sandbox], list[Any]]
    """What the list must hold in the end."""
    path: str = SPECIFICATIONS
    method: str = "GET"
    is_ordered: bool = True
    """Whether its rows come in the order of the truth."""

    def check_part(self, taken: list[Any], truth: list[Any]) -> None:
        """What came before an error is rightly there, and once."""
        if self.is_ordered:
            assert taken == truth[: len(taken)]
        assert len(set(taken)) == len(taken)
        assert set(taken) <= set(truth)

    def check_whole(self, taken: list[Any], truth: list[Any]) -> None:
        """Everything is there, row by row."""
        assert (taken if self.is_ordered else sorted(taken)) == truth


def _tell(record: Any) -> tuple[Any, ...]:
    return (record.id, record.etag, record.total_amount)


def _true_rows(sandbox: Sandbox) -> list[Any]:
    return sorted((row["_id"], row["_etag"], row.get("total_amount")) for row in sandbox.rows(SPECIFICATIONS))


async def _get(amili: AmiliClient, sandbox: Sandbox, taken: list[Any], _: Checkpoint | None) -> None:
    taken.append(_tell(await amili.payout_specifications.get(_true_rows(sandbox)[17][0])))


async def _page(amili: AmiliClient, _: Sandbox, taken: list[Any], __: Checkpoint | None) -> None:
    taken.extend(map(_tell, (await amili.payout_specifications.page(2)).items))


async def _count(amili: AmiliClient, _: Sandbox, taken: list[Any], __: Checkpoint | None) -> None:
    taken.append(await amili.payout_specifications.count())


async def _stream(amili: AmiliClient, _: Sandbox, taken: list[Any], __: Checkpoint | None) -> None:
    async for record in amili.payout_specifications.stream():
        taken.append(_tell(record))  # noqa: PERF401 - what came before an error counts


async def _extract(amili: AmiliClient, _: Sandbox, taken: list[Any], checkpoint: Checkpoint | None) -> None:
    extraction = amili.payout_specifications.extract(checkpoint=checkpoint)
    async for batch in extraction.batches():
        taken.extend(map(_tell, batch))
    assert extraction.manifest.rows == len(set(taken))


async def _create(amili: AmiliClient, _: Sandbox, taken: list[Any], __: Checkpoint | None) -> None:
    taken.append((await amili.creditor_payments.create(PAYMENT)).id)


async def _reconcile(amili: AmiliClient, _: Sandbox, taken: list[Any], __: Checkpoint | None) -> None:
    async for each in amili.reconcile():
        assert each.agrees
        taken.append(each.payout_id)


GET = Operation("get", _get, lambda sandbox: [_true_rows(sandbox)[17]])
PAGE = Operation("page", _page, lambda sandbox: _true_rows(sandbox)[10:20])
COUNT = Operation("count", _count, lambda sandbox: [len(sandbox.rows(SPECIFICATIONS))])
STREAM = Operation("stream", _stream, _true_rows)
EXTRACT = Operation("extract", _extract, _true_rows, is_ordered=False)
RECONCILE = Operation("reconcile", _reconcile, lambda sandbox: sorted(row["_id"] for row in sandbox.rows(PAYOUTS)))
CREATE = Operation(
    "create", _create, lambda sandbox: [row["_id"] for row in sandbox.rows(PAYMENTS)], PAYMENTS, method="POST"
)
SINGLE = (GET, PAGE, COUNT)
"""One request each."""
READING = (*SINGLE, STREAM, EXTRACT, RECONCILE)
WALKING = (STREAM, EXTRACT)
"""Several pages each."""


def name_of(value: Any) -> str | None:
    """How a cell of a table is called in the test's name."""
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else None


async def hold(
    operation: Operation,
    ending: Ending,
    *,
    amili: AmiliClient,
    sandbox: Sandbox,
    clock: HastyClock,
    stop_failing: Callable[[], None],
) -> AmiliError | None:
    """Run the operation, hold it to its ending, and see that the client works once nothing fails any more.

    After an error an extraction goes on from its checkpoint, any other operation begins anew. Returns the error.
    """
    taken: list[Any] = []
    error = await _run_guarded(operation, amili, sandbox, taken)
    truth = operation.truth(sandbox)
    assert len(sandbox.rows(PAYMENTS)) <= 1
    if ending is WHOLE:
        assert error is None, f"{type(error).__name__}: {error}"
        operation.check_whole(taken, truth)
        return None
    assert error is not None, f"{ending.kind.__name__} was due, and {len(taken)} rows of {len(truth)} came"
    ending.check(error)
    operation.check_part(taken, truth)
    stop_failing()
    clock._now += 4000  # past every silence that was imposed
    checkpoint = error.checkpoint if isinstance(error, ExtractionInterrupted) else None
    if checkpoint is None:
        taken.clear()
    if operation is CREATE and isinstance(error, PaymentOutcomeUnknown):
        found = await amili.creditor_payments.find(PAYMENT)
        assert ([] if found is None else [found.id]) == truth
        return error
    again = await _run_guarded(operation, amili, sandbox, taken, checkpoint)
    assert again is None, f"afterwards: {type(again).__name__}: {again}"
    operation.check_whole(taken, operation.truth(sandbox))
    assert len(sandbox.rows(PAYMENTS)) == (operation is CREATE)
    return error


async def _run_guarded(
    operation: Operation,
    amili: AmiliClient,
    sandbox: Sandbox,
    taken: list[Any],
    checkpoint: Checkpoint | None = None,
) -> AmiliError | None:
    """The named error with which it ends, if it does; a hang and any other error fail the test."""
    try:
        async with asyncio.timeout(GUARD) as guard:
            await operation.run(amili, sandbox, taken, checkpoint)
    except TimeoutError:
        assert not guard.expired(), f"{operation.name} hangs"
        pytest.fail("a TimeoutError that is not ours")
    except AmiliError as error:
        return error
    return None
