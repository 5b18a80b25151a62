"""Payments over a line that breaks at every phase of the exchange: each registered exactly once, or said to be unknown.

The law: what is returned is registered, once; what is raised is not, unless it is `PaymentOutcomeUnknown`.
"""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal
from random import Random

import pytest

from amili_async import AmiliClient, ApiCodeCredentials, NewCreditorPayment, RetryPolicy
from amili_async._wire.clock import Clock, SystemClock
from amili_async.errors import AmiliError, PaymentOutcomeUnknown, ValidationFailed
from amili_async.models import CreatedPayment
from amili_async.sandbox import Sandbox
from tests.integration.conftest import StartSandbox
from tests.support.clocks import HastyClock
from tests.support.dropping_proxy import Drop, DroppingProxy

PAYMENTS = "creditor--payments"
MANY = 1000
AT_ONCE = 20
TIMEOUT = 0.25
"""Real seconds for a try: what hangs costs as much."""
PATIENCE = 3.0
RETRY = RetryPolicy(retry_budget=10_000)
"""As much of the list as can be is to get as far as being sent."""
SENT_AGAIN = {Drop.RATE_LIMITED, Drop.UNAUTHORIZED}
"""After which it is certain that nothing was done."""
FOUND = {Drop.AFTER_COMMIT, Drop.IN_ANSWER_HEAD, Drop.IN_ANSWER_BODY, Drop.GATEWAY_TIMEOUT, Drop.HANG_AFTER}
FOUND_LATER = {Drop.LATE_AFTER_RESET, Drop.LATE_AFTER_HANG}
Outcome = CreatedPayment | AmiliError


def make_payments(count: int) -> list[NewCreditorPayment]:
    return [
        NewCreditorPayment(
            creditor="674dbeb208847b9501cc9138",
            case="68678eda88b9226bb78d7169",
            amount=Decimal(100 + number) / 100,
            bank_transaction_date=datetime(2025, 7, 4, 16, 20, 41, tzinfo=UTC),
            creditor_payment_reference=f"DROP-{number:04}",
        )
        for number in range(count)
    ]


def count_rows(sandbox: Sandbox) -> Counter[str]:
    """How often each reference is registered."""
    return Counter(str(row["creditor_payment_reference"]) for row in sandbox.rows(PAYMENTS))


async def create(amili: AmiliClient, payment: NewCreditorPayment, patience: float = PATIENCE) -> Outcome:
    try:
        return await amili.creditor_payments.create(payment, patience=patience)
    except AmiliError as error:
        return error


def hold_to_the_law(
    outcomes: list[tuple[NewCreditorPayment, Outcome]], sandbox: Sandbox, *, before: Counter[str] | None = None
) -> Counter[str]:
    """Each outcome against what the server has, and had *before*; returns how many of each kind there are."""
    before = before or Counter()
    rows = {str(row["_id"]): row for row in sandbox.rows(PAYMENTS)}
    counts = count_rows(sandbox)
    told: Counter[str] = Counter()
    for payment, outcome in outcomes:
        reference = payment.creditor_payment_reference
        assert counts[reference] <= 1, "registered twice"
        if isinstance(outcome, CreatedPayment):
            assert rows[outcome.id]["creditor_payment_reference"] == reference, "another one was taken for it"
            assert counts[reference] == 1
            told["found" if outcome.was_found else "registered"] += 1
        elif isinstance(outcome, PaymentOutcomeUnknown):
            assert (outcome.reference, outcome.payment) == (reference, payment)
            told["unknown, and there" if counts[reference] else "unknown, and not there"] += 1
        else:
            assert counts[reference] == before[reference], f"registered in spite of {outcome!r}"
            told["failed"] += 1
    return told


class Line:
    """A client behind a proxy that drops, before a sandbox."""

    def __init__(self, resources: AsyncExitStack, start: StartSandbox, clock: Clock) -> None:
        self._resources, self._start, self._clock = resources, start, clock
        self.sandbox: Sandbox
        self.proxy: DroppingProxy
        self.amili: AmiliClient

    async def open(self, *, clock: Clock | None = None) -> None:
        """Everything started; with a clock of its own a client waits for real."""
        self.sandbox = await self._start(payments=0)
        self.proxy = await self._resources.enter_async_context(DroppingProxy(self.sandbox, latest=0.02))
        auth = ApiCodeCredentials(self.sandbox.api_code, self.sandbox.private_key)
        client = AmiliClient(
            self.proxy.url, auth=auth, rate_limit=None, timeout=TIMEOUT, clock=clock or self._clock, retry=RETRY
        )
        self.amili = await self._resources.enter_async_context(client)
        await self.amili.auth.get_valid_token()

    def drop_at_random(self, seed: int) -> None:
        """Each way of dropping is as likely as any other for a POST, one GET in five meets one that is quick."""
        random = Random(seed)
        quick = [drop for drop in Drop if "HANG" not in drop.name]
        self.proxy.choose = lambda method: (
            random.choice(list(Drop))
            if method == "POST"
            else random.choice(quick)
            if random.random() < 0.2
            else Drop.NOTHING
        )
        self.proxy.refuses = lambda: random.random() < 0.05
        self.proxy.closes_idle = lambda: random.random() < 0.1

    def drop_nothing(self) -> None:
        """From now on all goes well."""
        self.proxy.choose = lambda method: Drop.NOTHING
        self.proxy.refuses = self.proxy.closes_idle = lambda: False


@pytest.fixture
def line(resources: AsyncExitStack, start_sandbox: StartSandbox, clock: HastyClock) -> Line:
    """To be opened by the test."""
    return Line(resources, start_sandbox, clock)


@pytest.mark.parametrize("drop", Drop)
async def test_each_phase_of_the_exchange(drop: Drop, line: Line) -> None:
    """What was carried out before the line broke, or soon after, is found; what was not is never said to be."""
    await line.open(clock=SystemClock() if drop in FOUND_LATER else None)
    plan = iter([drop])
    line.proxy.choose = lambda method: next(plan, Drop.NOTHING) if method == "POST" else Drop.NOTHING
    (payment,) = make_payments(1)
    outcome = await create(line.amili, payment)
    await line.proxy.settle()
    (told,) = hold_to_the_law([(payment, outcome)], line.sandbox)
    if drop in SENT_AGAIN | {Drop.NOTHING}:
        assert told == "registered"
    elif drop in FOUND | FOUND_LATER:
        assert told == "found"
    elif drop is Drop.INVALID:
        assert isinstance(outcome, ValidationFailed)
    else:
        assert told == "unknown, and not there"
    assert sum(line.proxy.done["POST", each] for each in Drop) == (2 if drop in SENT_AGAIN else 1)


async def test_a_thousand_payments_over_a_line_that_breaks_everywhere(line: Line) -> None:
    """Twenty at a time: each that is returned stands there once, and each that is not settled is unknown."""
    await line.open()
    line.drop_at_random(seed=1)
    payments = make_payments(MANY)
    turn = asyncio.Semaphore(AT_ONCE)

    async def take_turn(payment: NewCreditorPayment) -> Outcome:
        async with turn:
            return await create(line.amili, payment)

    outcomes = await asyncio.gather(*map(take_turn, payments))
    await line.proxy.settle()
    told = hold_to_the_law(list(zip(payments, outcomes, strict=True)), line.sandbox)
    assert told.total() == MANY
    assert all(told[kind] > MANY / 50 for kind in ("registered", "found", "unknown, and not there", "failed")), told
    assert all(line.proxy.done["POST", drop] > MANY / 50 for drop in Drop), line.proxy.done
    assert line.proxy.refused > 0

    line.drop_nothing()
    for payment, outcome in zip(payments, outcomes, strict=True):
        if isinstance(outcome, PaymentOutcomeUnknown):
            found = await line.amili.creditor_payments.find(payment)
            assert (found is not None) == (count_rows(line.sandbox)[outcome.reference] == 1)


async def test_a_list_over_such_a_line_can_be_run_again_until_all_is_settled(line: Line) -> None:
    """Each run gives an outcome for each payment, in order, and in the end each is registered once."""
    await line.open()
    payments = make_payments(MANY)
    ids: dict[str, str] = {}
    for run in range(3):
        if run < 2:
            line.drop_at_random(seed=run)
        else:
            line.drop_nothing()
        before = count_rows(line.sandbox)
        outcomes: list[tuple[NewCreditorPayment, Outcome]] = []
        async for each in line.amili.creditor_payments.create_many(payments, concurrency=AT_ONCE, patience=PATIENCE):
            outcome = each.created or each.error
            assert isinstance(outcome, Outcome)
            outcomes.append((each.payment, outcome))
        await line.proxy.settle()
        assert [payment for payment, _ in outcomes] == payments
        hold_to_the_law(outcomes, line.sandbox, before=before)
        for payment, outcome in outcomes:
            if isinstance(outcome, CreatedPayment):
                assert ids.setdefault(payment.creditor_payment_reference, outcome.id) == outcome.id
    assert len(ids) == MANY
    assert count_rows(line.sandbox) == Counter(ids.keys())
