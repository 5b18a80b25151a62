"""A list of payments: outcomes in order, none missing, and no registration in a second run."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from amili_async import NewCreditorPayment
from amili_async._wire.protocol import MAX_REQUEST_TARGET, Request, Response
from amili_async.errors import (
    ConfigurationError,
    ConnectionFailed,
    PaymentNotSent,
    PaymentOutcomeUnknown,
    ReferenceTaken,
    ServerFault,
    UnreadableResponse,
    ValidationFailed,
)
from amili_async.payments import CreditorPayments
from amili_async.payments.batch import MAX_CONSECUTIVE_UNKNOWN
from amili_async.payments.create import PaymentCreator
from amili_async.payments.lookup import PaymentLookup
from amili_async.payments.source import MAX_REFERENCES_PER_LOOKUP
from amili_async.policies import Priority
from tests.support.clocks import GUARD, settle
from tests.support.payment_registry import POST, KeepingRegistry
from tests.support.payments import PAYMENTS, make_payment


def make_list(count: int) -> list[NewCreditorPayment]:
    return [make_payment(creditor_payment_reference=f"REF-{n}", amount=n + 1) for n in range(count)]


@pytest.mark.parametrize("count", [0, 1, 3, 98, 99, 100, 350])
async def test_one_outcome_each_in_order_and_a_second_run_sends_nothing(count: int) -> None:
    """Every payment is registered once, has its outcome in its place, and is found by the second run."""
    registry, payments = KeepingRegistry(), make_list(count)
    for run in range(2):
        outcomes = await registry.collect(payments)
        assert [outcome.payment for outcome in outcomes] == payments
        assert all(outcome.error is None and outcome.created for outcome in outcomes)
        assert [outcome.created.was_found for outcome in outcomes if outcome.created] == [bool(run)] * count
        assert registry.posts == count
    references = [row["creditor_payment_reference"] for row in registry.rows]
    assert sorted(references) == sorted(f"REF-{n}" for n in range(count))


async def test_a_look_up_costs_one_request_for_a_hundred_payments() -> None:
    """350 payments cost four look-ups, and one more that verifies that look-ups work."""
    registry = KeepingRegistry()
    await registry.collect(make_list(350))
    assert registry.lookups == 5


async def test_a_failed_payment_does_not_affect_the_others() -> None:
    """Each failure is the outcome at its place; the payments around it are registered."""
    registry, payments = KeepingRegistry(), make_list(10)
    rejection = ValidationFailed("no", status=422, request=POST)
    registry.failures = {"REF-3": rejection, "REF-6": ConnectionFailed("cut", request=POST), "REF-8": KeyError("token")}
    outcomes = await registry.collect(payments)
    assert outcomes[3].error is rejection
    assert isinstance(outcomes[6].error, PaymentOutcomeUnknown)
    assert isinstance(outcomes[8].error, KeyError)
    assert [n for n, outcome in enumerate(outcomes) if outcome.created] == [0, 1, 2, 4, 5, 7, 9]
    assert all((outcome.created is None) == (outcome.error is not None) for outcome in outcomes)


async def test_a_duplicate_reference_is_sent_once() -> None:
    """The second payment with it is an error, also hundreds of payments later; another creditor's is not."""
    registry, payments = KeepingRegistry(), make_list(250)
    payments[1] = make_payment(creditor_payment_reference="REF-0", amount=77)
    payments[240] = make_payment(creditor_payment_reference="REF-0", amount=1)
    payments[241] = make_payment(creditor_payment_reference="REF-0", amount=1, creditor="0" * 24)
    outcomes = await registry.collect(payments)
    assert [n for n, outcome in enumerate(outcomes) if outcome.error] == [1, 240]
    assert all(isinstance(outcomes[n].error, ConfigurationError) for n in (1, 240))
    assert registry.posts == 248


async def test_a_reference_of_another_registered_payment_is_not_sent() -> None:
    """A payment that differs from the registered one with its reference is an error."""
    registry = KeepingRegistry()
    await registry.collect(make_list(3))
    changed = make_payment(creditor_payment_reference="REF-1", amount=99)
    (outcome,) = await registry.collect([changed])
    assert isinstance(outcome.error, ReferenceTaken)
    assert outcome.error.payment is changed
    assert registry.posts == 3


@pytest.mark.parametrize("failure", [ServerFault("", status=503), KeyError("of the token source")])
async def test_a_payment_that_cannot_be_looked_up_is_not_sent(failure: Exception) -> None:
    """Each payment of a failed look-up is `PaymentNotSent` with the cause; the next hundred is looked up."""
    registry, payments = KeepingRegistry(), make_list(150)

    def fail_once() -> None:
        if registry.lookups == 1:
            raise failure

    registry.on_lookup = fail_once
    outcomes = await registry.collect(payments)
    for outcome in outcomes[:MAX_REFERENCES_PER_LOOKUP]:
        assert isinstance(outcome.error, PaymentNotSent)
        assert outcome.error.__cause__ is failure
        assert outcome.error.was_not_processed
    assert all(outcome.created for outcome in outcomes[MAX_REFERENCES_PER_LOOKUP:])
    assert registry.posts == 150 - MAX_REFERENCES_PER_LOOKUP


async def test_nothing_more_is_sent_if_look_ups_do_not_work() -> None:
    """If the first registered payment is not found by its reference, the rest of the list is not sent."""
    registry = KeepingRegistry()
    registry.shows_rows = False
    outcomes = await registry.collect(make_list(120))
    assert outcomes[0].created
    assert all(isinstance(outcome.error, PaymentNotSent) for outcome in outcomes[1:])
    assert registry.posts == 1


async def test_a_failed_first_payment_verifies_nothing() -> None:
    """Payments are sent one at a time until one is registered and found."""
    registry = KeepingRegistry()
    registry.failures = {f"REF-{n}": ValidationFailed("no", status=422, request=POST) for n in (0, 1)}
    outcomes = await registry.collect(make_list(6))
    assert [outcome.error is None for outcome in outcomes] == [False, False, True, True, True, True]
    registry.shows_rows = False
    others = [make_payment(creditor_payment_reference=f"B-{n}") for n in range(3)]
    registry.failures = {"B-0": ValidationFailed("no", status=422, request=POST)}
    outcomes = await registry.collect(others)
    assert [type(outcome.error) for outcome in outcomes] == [ValidationFailed, type(None), PaymentNotSent]


async def test_a_server_that_ignores_the_filter_is_detected() -> None:
    """Rows that do not match the filter fail the look-up, and nothing is sent."""
    registry = KeepingRegistry()
    await registry.collect(make_list(1))
    registry.is_honest = False
    (outcome,) = await registry.collect(make_list(2)[1:])
    assert isinstance(outcome.error, PaymentNotSent)
    assert isinstance(outcome.error.__cause__, UnreadableResponse)


@pytest.mark.parametrize("letter", ["x", "å", "😀", '"'])
async def test_long_references_are_looked_up_in_several_requests(letter: str) -> None:
    """No request line is too long, however many bytes a reference takes in it."""
    registry = KeepingRegistry()
    payments = [make_payment(creditor_payment_reference=f"{n:03}{letter * 252}") for n in range(90)]
    outcomes = await registry.collect(payments)
    assert all(outcome.created for outcome in outcomes)
    assert registry.longest <= MAX_REQUEST_TARGET


async def test_an_error_of_the_iterable_is_raised_last() -> None:
    """The payments before it are registered and their outcomes delivered first."""
    registry = KeepingRegistry()

    def read() -> Iterator[NewCreditorPayment]:
        yield from make_list(5)
        raise KeyError("row 6")

    outcomes, error = await registry.take_all(read())
    assert isinstance(error, KeyError)
    assert len(outcomes) == registry.posts == 5


async def test_an_item_of_another_type_ends_the_list() -> None:
    """It raises at its place, after the outcomes of the payments before it."""
    registry = KeepingRegistry()
    outcomes, error = await registry.take_all([*make_list(2), {"amount": 5}])
    assert isinstance(error, ConfigurationError)
    assert len(outcomes) == registry.posts == 2


async def test_an_iterable_is_consumed_on_demand() -> None:
    """A consumer of one outcome of an endless list has sent few payments."""
    registry = KeepingRegistry()

    def read() -> Iterator[NewCreditorPayment]:
        n = 0
        while True:
            yield make_payment(creditor_payment_reference=f"REF-{n}")
            n += 1

    outcomes = registry.run(read(), width=3).outcomes()
    await anext(outcomes)
    await outcomes.aclose()
    assert 1 <= registry.posts <= 7
    assert registry.context.running == set()


async def test_after_ten_unknown_outcomes_in_a_row_nothing_more_is_sent() -> None:
    """If no request gets a response, the rest of the list is `PaymentNotSent`."""
    registry = KeepingRegistry()
    payments = make_list(40)
    registry.failures = {each.creditor_payment_reference: ConnectionFailed("cut", request=POST) for each in payments}
    outcomes = await registry.collect(payments)
    unknown = [outcome for outcome in outcomes if isinstance(outcome.error, PaymentOutcomeUnknown)]
    assert len(unknown) == registry.posts == MAX_CONSECUTIVE_UNKNOWN
    assert all(isinstance(outcome.error, PaymentNotSent) for outcome in outcomes[MAX_CONSECUTIVE_UNKNOWN:])
    assert "the last 10" in str(outcomes[-1].error)


async def test_scattered_unknown_outcomes_do_not_stop_a_list() -> None:
    """Each known outcome resets the count."""
    registry = KeepingRegistry()
    payments = make_list(60)
    lost = [each for number, each in enumerate(payments) if number % 6]
    registry.failures = {each.creditor_payment_reference: ConnectionFailed("cut", request=POST) for each in lost}
    outcomes = await registry.collect(payments, width=1)
    assert [outcome.created is not None for outcome in outcomes] == [number % 6 == 0 for number in range(60)]
    assert registry.posts == 60


async def test_two_concurrent_runs_of_one_client_register_each_payment_once() -> None:
    """A payment that the other run registered is found; one that it is registering at this moment is not sent."""
    registry = KeepingRegistry()
    payments = make_list(30)
    runs = await asyncio.gather(registry.collect(payments), registry.collect(payments[::-1]))
    assert len(registry.rows) == registry.posts == len(payments)
    for outcome in (*runs[0], *runs[1]):
        assert outcome.created is not None or isinstance(outcome.error, PaymentNotSent)


async def test_rows_without_a_creditor_are_found() -> None:
    """The API documents no creditor in its responses: a second run registers nothing twice all the same."""
    registry = KeepingRegistry()
    await registry.collect(make_list(12))
    for row in registry.rows:
        del row["creditor"]
    again = KeepingRegistry()
    again.rows = registry.rows
    outcomes = await again.collect(make_list(12))
    assert again.posts == 0
    assert all(outcome.created is not None and outcome.created.was_found for outcome in outcomes)


async def test_known_outcomes_do_not_wait_for_the_next_look_up() -> None:
    """The outcomes of the first hundred are delivered while the look-up of the second is waiting."""
    registry = KeepingRegistry()
    gate = asyncio.Event()
    stall = registry.call

    async def call(request: Request) -> Response:
        if request.method == "GET" and registry.posts > 50:
            await gate.wait()
        return await stall(request)

    registry.context = replace(registry.context, call=call)
    registry.lookup = PaymentLookup(PAYMENTS, registry.context)
    outcomes = registry.run(make_list(150)).outcomes()
    first = [await asyncio.wait_for(anext(outcomes), GUARD) for _ in range(MAX_REFERENCES_PER_LOOKUP)]
    assert all(outcome.created is not None for outcome in first)
    waiting = asyncio.ensure_future(anext(outcomes))
    await settle()
    assert not waiting.done()
    gate.set()
    assert (await waiting).created is not None
    assert len([outcome async for outcome in outcomes]) == 150 - MAX_REFERENCES_PER_LOOKUP - 1


async def test_look_ups_have_the_priority_of_single_calls() -> None:
    """`find()` and the look-ups of a list wait for no stream: a caller waits for them, and money is in doubt."""
    registry = KeepingRegistry()
    priorities: set[Priority] = set()
    answer = registry.call

    async def call(request: Request) -> Response:
        priorities.add(request.priority)
        return await answer(request)

    registry.context = replace(registry.context, call=call)
    registry.lookup = PaymentLookup(PAYMENTS, registry.context)
    await registry.collect(make_list(3))
    await CreditorPayments(PAYMENTS, registry.context).find(make_payment())
    assert priorities == {Priority.SINGLE}


async def test_a_payment_that_waits_for_its_permit_is_not_sent_unless_an_outcome_is_awaited() -> None:
    """The consumer may leave its loop while payments are in the queue; they are sent when it asks again."""
    registry = KeepingRegistry()
    answer = registry.call
    permits = {f"REF-{n}": asyncio.Event() for n in range(12)}
    permits["REF-0"].set()

    async def wait_for_a_permit(request: Request) -> Response:
        if request.method == "POST":
            await permits[json.loads(request.body or b"")["creditor_payment_reference"]].wait()
        return await answer(request)

    registry.context = replace(registry.context, call=wait_for_a_permit)
    registry.creator = PaymentCreator(PAYMENTS, registry.context, registry.lookup)
    outcomes = registry.run(make_list(12)).outcomes()
    assert (await anext(outcomes)).created
    second = asyncio.ensure_future(anext(outcomes))
    await settle()
    assert (registry.posts, second.done()) == (1, False)
    permits["REF-1"].set()
    assert (await second).created
    for permit in permits.values():
        permit.set()
    await settle()
    assert registry.posts == 2
    assert len([outcome async for outcome in outcomes if outcome.created]) == 10
    assert registry.posts == 12
