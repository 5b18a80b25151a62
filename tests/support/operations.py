"""The operations that every fault is tried against: what each delivers, and how else it may end.

Invariant: an operation delivers everything, or raises one named error; it never hangs, never raises another error, and
never loses, repeats or registers a row twice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from amili_async import AmiliClient, PayoutSpecification
from amili_async.errors import AmiliError, ExtractionInterrupted, PaymentOutcomeUnknown
from amili_async.extraction import Checkpoint
from amili_async.sandbox import Sandbox
from tests.support.clocks import GUARD, HastyClock
from tests.support.payments import PAYMENTS, make_payment

PAYOUTS, SPECIFICATIONS = "finance--payouts", "finance--payout-specifications"
TOKEN_PATH = "/authenticates/api-code"
ROWS = {"payouts": 3, "specifications": 35, "payments": 0}
"""Three full pages of ten and a short one."""
PAGE_SIZE = 10
LONG = 1e6
"""Seconds: the lifetime of a token that no test waits for."""
PAYMENT = make_payment()


@dataclass(frozen=True)
class Fails:
    """An operation ends with this error."""

    kind: type[AmiliError]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Attributes of the error."""
    within: type[AmiliError] | None = None
    """The error that is raised, where *kind* is only its cause."""

    def check(self, error: AmiliError) -> None:
        """Check that an error has exactly this class and these attributes."""
        if self.within is not None:
            assert type(error) is self.within, f"{type(error).__name__}: {error}"
            assert isinstance(error.__cause__, AmiliError)
            error = error.__cause__
        assert type(error) is self.kind, f"{type(error).__name__}: {error}"
        assert {name: getattr(error, name) for name in self.attributes} == self.attributes


WHOLE = None
"""An operation delivers everything, as if nothing had failed."""
Ending = Fails | None

Run = Callable[[AmiliClient, Sandbox, list[Any], Checkpoint | None], Awaitable[None]]


@dataclass(frozen=True)
class Operation:
    """One call of a user."""

    name: str
    run: Run
    """Appends each result to the list as soon as it is delivered."""
    truth: Callable[[Sandbox], list[Any]]
    """What the list must contain at the end."""
    path: str = SPECIFICATIONS
    method: str = "GET"
    is_ordered: bool = True
    """Whether its rows are delivered in the order of the truth."""

    def check_part(self, taken: list[Any], truth: list[Any]) -> None:
        """Rows delivered before an error are correct, and each is delivered once."""
        if self.is_ordered:
            assert taken == truth[: len(taken)]
        assert len(set(taken)) == len(taken)
        assert set(taken) <= set(truth)

    def check_whole(self, taken: list[Any], truth: list[Any]) -> None:
        """Every row was delivered, and no other."""
        assert (taken if self.is_ordered else sorted(taken)) == truth


def _summarize(record: Any) -> tuple[Any, ...]:
    return (record.id, record.etag, record.total_amount)


def _true_rows(sandbox: Sandbox) -> list[Any]:
    return sorted((row["_id"], row["_etag"], row.get("total_amount")) for row in sandbox.rows(SPECIFICATIONS))


async def _get(amili: AmiliClient, sandbox: Sandbox, taken: list[Any], _: Checkpoint | None) -> None:
    taken.append(_summarize(await amili.payout_specifications.get(_true_rows(sandbox)[17][0])))


async def _page(amili: AmiliClient, _: Sandbox, taken: list[Any], __: Checkpoint | None) -> None:
    taken.extend(map(_summarize, (await amili.payout_specifications.page(2)).items))


async def _count(amili: AmiliClient, _: Sandbox, taken: list[Any], __: Checkpoint | None) -> None:
    taken.append(await amili.payout_specifications.count())


async def _stream(amili: AmiliClient, _: Sandbox, taken: list[Any], __: Checkpoint | None) -> None:
    async for record in amili.payout_specifications.stream():
        taken.append(_summarize(record))  # noqa: PERF401 - rows delivered before an error count


async def _extract(amili: AmiliClient, _: Sandbox, taken: list[Any], checkpoint: Checkpoint | None) -> None:
    extraction = amili.payout_specifications.extract(checkpoint=checkpoint)
    async for batch in extraction.batches():
        taken.extend(map(_summarize, batch))
    assert extraction.manifest.rows == len(set(taken))


async def _for_each(amili: AmiliClient, _: Sandbox, taken: list[Any], checkpoint: Checkpoint | None) -> None:
    async def handle(record: PayoutSpecification) -> None:
        if (summary := _summarize(record)) not in taken:  # at least once: after an error some are handled again
            taken.append(summary)

    await amili.payout_specifications.extract(checkpoint=checkpoint).for_each(handle)


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
FOR_EACH = Operation("for_each", _for_each, _true_rows, is_ordered=False)
RECONCILE = Operation("reconcile", _reconcile, lambda sandbox: sorted(row["_id"] for row in sandbox.rows(PAYOUTS)))
CREATE = Operation(
    "create", _create, lambda sandbox: [row["_id"] for row in sandbox.rows(PAYMENTS)], PAYMENTS, method="POST"
)
SINGLE = (GET, PAGE, COUNT)
"""One request each."""
READING = (*SINGLE, STREAM, EXTRACT, RECONCILE)
EXTRACTING = (EXTRACT, FOR_EACH)
"""An error of the API is the cause of the one that they raise."""
WALKING = (STREAM, *EXTRACTING)
"""Several pages each."""


def name_of(value: Any) -> str | None:
    """The name of a table's cell in the id of a test."""
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
    """Run the operation, check its ending, and check that the client works once the fault is removed.

    After an error an extraction resumes from its checkpoint, and any other operation starts again. Returns the error.
    """
    taken: list[Any] = []
    error = await _run_guarded(operation, amili, sandbox, taken)
    truth = operation.truth(sandbox)
    assert len(sandbox.rows(PAYMENTS)) <= 1
    if ending is WHOLE:
        assert error is None, f"{type(error).__name__}: {error}"
        operation.check_whole(taken, truth)
        return None
    assert error is not None, (
        f"{ending.kind.__name__} is expected, and {len(taken)} of {len(truth)} rows were delivered"
    )
    ending.check(error)
    operation.check_part(taken, truth)
    stop_failing()
    clock.skip(4000)  # past every pause that the server asked for
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
    """The error of the package that the operation raises, if any; a hang or another error fails the test."""
    try:
        async with asyncio.timeout(GUARD) as guard:
            await operation.run(amili, sandbox, taken, checkpoint)
    except TimeoutError:
        assert not guard.expired(), f"{operation.name} hangs"
        pytest.fail("a TimeoutError that is not of the package")
    except AmiliError as error:
        return error
    return None
