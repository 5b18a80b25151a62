"""Payments over a connection that drops at every phase of the exchange.

Invariant: a returned payment is registered exactly once; one that raises is not registered, unless it raises
`PaymentOutcomeUnknown`.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from random import Random

import pytest

from amili_async import AmiliClient, ApiCodeCredentials, NewCreditorPayment, RetryPolicy
from amili_async._wire.clock import Clock, SystemClock
from amili_async.errors import AmiliError, PaymentOutcomeUnknown, ValidationFailed
from amili_async.models import CreatedPayment
from amili_async.payments.create import MAX_TIME_IN_FLIGHT
from amili_async.sandbox import Sandbox
from tests.support.clocks import HastyClock, PassingTime, on_clock
from tests.support.dropping_proxy import Drop, DroppingProxy
from tests.support.exhaustive import tenth_and_whole
from tests.support.payments import PAYMENTS, make_payments
from tests.support.starting import StartSandbox

MANY = tenth_and_whole(1000)
AT_ONCE = 20
TIMEOUT = 5.0
"""Seconds for one attempt, which pass by the iterations of the loop."""
PATIENCE = 3.0
RETRY = RetryPolicy(retry_budget=10_000)
"""Retries for every look-up, so that every payment of the list is sent."""
RESENT = {Drop.RATE_LIMITED, Drop.UNAUTHORIZED}
"""Drops after which the server certainly did nothing."""
FOUND = {Drop.AFTER_COMMIT, Drop.IN_RESPONSE_HEAD, Drop.IN_RESPONSE_BODY, Drop.GATEWAY_TIMEOUT, Drop.HANG_AFTER}
FOUND_LATER = {Drop.LATE_AFTER_RESET, Drop.LATE_AFTER_HANG}
Outcome = CreatedPayment | AmiliError


def count_rows(sandbox: Sandbox) -> Counter[str]:
    """How often each reference is registered."""
    return Counter(str(row["creditor_payment_reference"]) for row in sandbox.rows(PAYMENTS))


async def create(amili: AmiliClient, payment: NewCreditorPayment, lookup_timeout: float = PATIENCE) -> Outcome:
    try:
        return await amili.creditor_payments.create(payment, lookup_timeout=lookup_timeout)
    except AmiliError as error:
        return error


def check_outcomes(
    outcomes: list[tuple[NewCreditorPayment, Outcome]], sandbox: Sandbox, *, before: Counter[str] | None = None
) -> Counter[str]:
    """Compare each outcome with the rows of the server, now and *before*, and count the outcomes by kind."""
    before = before or Counter()
    rows = {str(row["_id"]): row for row in sandbox.rows(PAYMENTS)}
    counts = count_rows(sandbox)
    counts_by_kind: Counter[str] = Counter()
    for payment, outcome in outcomes:
        reference = payment.creditor_payment_reference
        assert counts[reference] <= 1, "registered twice"
        if isinstance(outcome, CreatedPayment):
            assert rows[outcome.id]["creditor_payment_reference"] == reference, "another payment was returned"
            assert counts[reference] == 1
            counts_by_kind["found" if outcome.was_found else "registered"] += 1
        elif isinstance(outcome, PaymentOutcomeUnknown):
            assert (outcome.reference, outcome.payment) == (reference, payment)
            counts_by_kind["unknown, and registered" if counts[reference] else "unknown, and not registered"] += 1
        else:
            assert counts[reference] == before[reference], f"registered in spite of {outcome!r}"
            counts_by_kind["failed"] += 1
    return counts_by_kind


def deal(random: Random) -> Iterator[Drop]:
    """Yield every kind of drop once, in random order, in endless rounds."""
    while True:
        yield from random.sample(list(Drop), len(Drop))


class DroppingConnection:
    """A sandbox, a dropping proxy before it, and a client of that proxy."""

    def __init__(self, resources: AsyncExitStack, start: StartSandbox, clock: HastyClock) -> None:
        self._resources, self._start, self.clock = resources, start, clock
        self._time = PassingTime()
        self.sandbox: Sandbox
        self.proxy: DroppingProxy
        self.amili: AmiliClient

    async def open(self, *, clock: Clock | None = None) -> None:
        """Start everything; with its own clock a client waits in real time."""
        self.sandbox = await self._start(payments=0)
        self._time.start()
        self._resources.callback(self._time.stop)
        self.proxy = await self._resources.enter_async_context(DroppingProxy(self.sandbox, latest=0.02))
        auth = ApiCodeCredentials(self.sandbox.api_code, self.sandbox.private_key)
        client = on_clock(clock or self.clock)(self.proxy.url, auth=auth, rate_limit=None, timeout=TIMEOUT, retry=RETRY)
        self.amili = await self._resources.enter_async_context(client)
        await self.amili.auth.get_valid_token()

    def drop_at_random(self, seed: int) -> None:
        """Drop POSTs in every way, in random order and equal number, and one GET in five in a quick way."""
        random = Random(seed)
        dealt = deal(random)
        quick = [drop for drop in Drop if "HANG" not in drop.name]
        self.proxy.choose = lambda method: (
            next(dealt) if method == "POST" else random.choice(quick) if random.random() < 0.2 else Drop.NOTHING
        )
        self.proxy.closes_new = lambda: random.random() < 0.05
        self.proxy.closes_idle = lambda: random.random() < 0.1

    def drop_nothing(self) -> None:
        """Let every exchange succeed from here on."""
        self.proxy.choose = lambda method: Drop.NOTHING
        self.proxy.closes_new = self.proxy.closes_idle = lambda: False


@pytest.fixture
def connection(resources: AsyncExitStack, start_sandbox: StartSandbox, clock: HastyClock) -> DroppingConnection:
    """A dropping connection, which the test opens."""
    return DroppingConnection(resources, start_sandbox, clock)


@pytest.mark.parametrize("drop", Drop)
async def test_each_phase_of_the_exchange(drop: Drop, connection: DroppingConnection) -> None:
    """A payment executed before the drop, or soon after, is found; one that was not is never reported as registered."""
    await connection.open(clock=SystemClock() if drop in FOUND_LATER else None)
    plan = iter([drop])
    connection.proxy.choose = lambda method: next(plan, Drop.NOTHING) if method == "POST" else Drop.NOTHING
    (payment,) = make_payments(1)
    outcome = await create(connection.amili, payment)
    await connection.proxy.settle()
    (kind,) = check_outcomes([(payment, outcome)], connection.sandbox)
    if drop in RESENT | {Drop.NOTHING}:
        assert kind == "registered"
    elif drop in FOUND | FOUND_LATER:
        assert kind == "found"
    elif drop is Drop.INVALID:
        assert isinstance(outcome, ValidationFailed)
    else:
        assert kind == "unknown, and not registered"
    assert sum(connection.proxy.done["POST", each] for each in Drop) == (2 if drop in RESENT else 1)


@pytest.mark.parametrize("many", MANY)
async def test_many_payments_over_a_connection_that_drops(many: int, connection: DroppingConnection) -> None:
    """Twenty at a time: each returned payment is registered once, and each other outcome is certain or unknown."""
    await connection.open()
    connection.drop_at_random(seed=1)
    payments = make_payments(many, prefix="DROP")
    slots = asyncio.Semaphore(AT_ONCE)

    async def create_in_turn(payment: NewCreditorPayment) -> Outcome:
        async with slots:
            return await create(connection.amili, payment)

    outcomes = await asyncio.gather(*map(create_in_turn, payments))
    await connection.proxy.settle()
    counts_by_kind = check_outcomes(list(zip(payments, outcomes, strict=True)), connection.sandbox)
    assert counts_by_kind.total() == many
    assert all(
        counts_by_kind[kind] > many / 50 for kind in ("registered", "found", "unknown, and not registered", "failed")
    ), counts_by_kind
    assert all(connection.proxy.done["POST", drop] > many / 50 for drop in Drop), connection.proxy.done
    assert connection.proxy.closed_new > 0

    connection.drop_nothing()
    for payment, outcome in zip(payments, outcomes, strict=True):
        if isinstance(outcome, PaymentOutcomeUnknown):
            found = await connection.amili.creditor_payments.find(payment)
            assert (found is not None) == (count_rows(connection.sandbox)[payment.creditor_payment_reference] == 1)


@pytest.mark.parametrize("many", MANY)
async def test_a_list_over_such_a_connection_can_be_repeated_until_it_is_complete(
    many: int, connection: DroppingConnection
) -> None:
    """Each run yields an outcome for each payment, in order, and at last each is registered once."""
    await connection.open()
    payments = make_payments(many, prefix="DROP")
    ids: dict[str, str] = {}
    for run in range(3):
        if run < 2:
            connection.drop_at_random(seed=run)
        else:
            connection.drop_nothing()
            connection.clock.skip(MAX_TIME_IN_FLIGHT)  # what is in doubt cannot be registered any more
        before = count_rows(connection.sandbox)
        outcomes: list[tuple[NewCreditorPayment, Outcome]] = []
        async for each in connection.amili.creditor_payments.create_many(
            payments, concurrency=AT_ONCE, lookup_timeout=PATIENCE
        ):
            outcome = each.created or each.error
            assert isinstance(outcome, Outcome)
            outcomes.append((each.payment, outcome))
        await connection.proxy.settle()
        assert [payment for payment, _ in outcomes] == payments
        check_outcomes(outcomes, connection.sandbox, before=before)
        for payment, outcome in outcomes:
            if isinstance(outcome, CreatedPayment):
                assert ids.setdefault(payment.creditor_payment_reference, outcome.id) == outcome.id
    assert len(ids) == many
    assert count_rows(connection.sandbox) == Counter(ids.keys())


async def test_a_payment_is_sent_over_no_idle_connection(
    connection: DroppingConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that was idle for more than a second may be closing: a POST makes another, and a GET reuses it."""
    began, idle = time.monotonic(), 0.0
    monkeypatch.setattr("aiohttp.connector.monotonic", lambda: began + idle)
    await connection.open(clock=SystemClock())
    made: list[float] = []

    def note() -> bool:
        made.append(idle)
        return False

    connection.proxy.closes_new = note
    payments = connection.amili.creditor_payments
    for payment, seconds in zip(make_payments(4), (0.0, 1.5, 0.5, 1.5), strict=True):
        idle += seconds
        assert not (await payments.create(payment)).was_found
        assert await payments.find(payment) is not None
    assert made == [0.0, 1.5, 3.5]
    assert count_rows(connection.sandbox).total() == 4
