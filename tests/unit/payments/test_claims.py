"""Claims on payments: taken before the look-up, renewed while unsent, kept for what was sent, never evaded."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from amili_async import PaymentOutcome
from amili_async.errors import (
    ConfigurationError,
    ConnectionFailed,
    PaymentNotSent,
    PaymentOutcomeUnknown,
    ServerFault,
    ValidationFailed,
)
from amili_async.payments import CreditorPayments
from amili_async.payments.claims import RENEWAL_INTERVAL, UNSENT_SECONDS
from amili_async.payments.create import MAX_TIME_IN_FLIGHT
from tests.support.claims import MemoryClaims
from tests.support.clocks import MovedClock, settle
from tests.support.payment_registry import POST, KeepingRegistry
from tests.support.payments import PAYMENTS, make_payment, make_payments


@pytest.fixture
def registry() -> KeepingRegistry:
    """What the processes of a test send to; each process would have a creator of its own. Time does not pass."""
    return KeepingRegistry(MovedClock())


@pytest.fixture
def claims(registry: KeepingRegistry) -> MemoryClaims:
    """The store that they share."""
    return MemoryClaims(registry.clock)


def errors_of(outcomes: list[PaymentOutcome]) -> Counter[str]:
    return Counter(type(outcome.error).__name__ for outcome in outcomes if outcome.error is not None)


async def test_two_runs_at_once_register_each_payment_once(registry: KeepingRegistry, claims: MemoryClaims) -> None:
    """The run that claimed a batch sends it; for the other run its payments are not sent, or found."""
    payments = make_payments(150)
    runs = await asyncio.gather(*(process(registry).collect(payments, claims=claims) for _ in range(2)))
    assert len(registry.rows) == len(payments)
    for outcomes in runs:
        assert set(errors_of(outcomes)) <= {"PaymentNotSent"}
    assert sum(outcome.created is not None for outcomes in runs for outcome in outcomes) >= len(payments)
    reasons = {str(outcome.error) for outcomes in runs for outcome in outcomes if outcome.error}
    assert all("another process has claimed it" in reason for reason in reasons)


def process(registry: KeepingRegistry) -> KeepingRegistry:
    """What another process with the same server has: the server's rows, and a memory of its own."""
    other = KeepingRegistry(registry.clock)
    other.rows = registry.rows
    return other


async def test_payments_are_claimed_looked_up_kept_and_sent_in_this_order(
    registry: KeepingRegistry, claims: MemoryClaims
) -> None:
    """One call claims a batch; one for each payment keeps its claim just before it leaves."""
    registry.on_lookup = lambda: claims.calls.append(("look up", 0))
    registry.on_send = lambda: claims.calls.append(("send", 1))
    await registry.collect(make_payments(2), claims=claims, width=1)
    named = [call for call in claims.calls if call != ("keep", 2)]
    assert named == [("take", 2), ("look up", 0), ("keep", 1), ("send", 1), ("look up", 0), ("keep", 1), ("send", 1)]
    assert claims.seconds_left() == [round(MAX_TIME_IN_FLIGHT)] * 2


async def test_a_key_is_that_of_creditor_and_reference_and_shows_neither(
    registry: KeepingRegistry, claims: MemoryClaims
) -> None:
    """32 hexadecimal digits, the same in every process and every version."""
    await registry.collect([make_payment(creditor_payment_reference="PAY-å")], claims=claims)
    assert [*claims.held] == ["980c275e06e9223f70fbacda413a429d"]


async def test_a_found_payment_is_found_also_if_another_process_has_claimed_it(
    registry: KeepingRegistry, claims: MemoryClaims
) -> None:
    """What is registered is no matter of claims; only what is not found is not sent."""
    first, second = make_payments(2)
    await registry.collect([first], claims=claims)
    await claims.take([*claims.held], owner="other", seconds=900)
    found, created = await process(registry).collect([first, second], claims=claims)
    assert found.created is not None
    assert found.created.was_found
    assert created.created is not None


@pytest.mark.parametrize("failing", ["take", "keep"])
async def test_if_the_store_fails_nothing_is_sent(
    failing: str, registry: KeepingRegistry, claims: MemoryClaims
) -> None:
    """Each payment is `PaymentNotSent`, with the class of the store's error; one that is registered is found."""
    registered, *others = make_payments(3)
    await registry.collect([registered])
    claims.failing = {failing}
    outcomes = await process(registry).collect([registered, *others], claims=claims)
    assert [outcome.created is not None for outcome in outcomes] == [True, False, False]
    assert errors_of(outcomes) == {"PaymentNotSent": 2}
    assert len(registry.rows) == 1
    for outcome in outcomes[1:]:
        assert "(OSError)" in str(outcome.error)
        assert "secret-host" not in str(outcome.error)
        assert isinstance(outcome.error and outcome.error.__cause__, OSError)


async def test_a_store_that_hangs_counts_as_one_that_fails(
    registry: KeepingRegistry, claims: MemoryClaims, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time limit the payments are not sent."""
    monkeypatch.setattr("amili_async.payments.claims.CLAIM_TIMEOUT", 0.001)

    async def hang(*_: Any, **__: Any) -> frozenset[str]:
        await asyncio.get_running_loop().create_future()
        return frozenset()

    monkeypatch.setattr(claims, "take", hang)
    (outcome,) = await registry.collect([make_payment()], claims=claims)
    assert "(TimeoutError)" in str(outcome.error)
    assert registry.posts == 0


async def test_a_claim_that_expired_before_the_payment_left_is_not_sent(
    registry: KeepingRegistry, claims: MemoryClaims
) -> None:
    """A process that was stopped for longer than its claims live has lost them, even if no other process has them."""
    registry.on_lookup = lambda: claims.clock.skip(UNSENT_SECONDS + 1)
    (outcome,) = await registry.collect([make_payment()], claims=claims)
    assert isinstance(outcome.error, PaymentNotSent)
    assert "its claim expired" in str(outcome.error)
    assert registry.posts == 0


CERTAIN = [
    ValidationFailed("no", status=422, request=POST),
    ConnectionFailed("refused", request=POST, was_sent=False),
    ConfigurationError("closed"),
]


@pytest.mark.parametrize("failure", CERTAIN, ids=lambda failure: type(failure).__name__)
async def test_a_claim_is_given_up_where_certainly_nothing_was_sent(
    failure: Exception, registry: KeepingRegistry, claims: MemoryClaims
) -> None:
    """Another process may send the payment at once."""
    registry.failures = {"REF-0000": failure}
    (outcome,) = await registry.collect(make_payments(1), claims=claims)
    assert outcome.error is failure
    assert claims.held == {}


async def test_a_claim_on_a_payment_in_doubt_is_kept() -> None:
    """For 15 minutes no process sends it, this one included; then it is looked up, and sent if it is not found."""
    registry = KeepingRegistry()  # whose clock lets the pauses between look-ups pass
    claims = MemoryClaims(registry.clock)
    registry.failures = {"REF-0000": ConnectionFailed("cut", request=POST)}
    payments = make_payments(1)
    (outcome,) = await registry.collect(payments, claims=claims)
    assert isinstance(outcome.error, PaymentOutcomeUnknown)
    assert claims.seconds_left()[0] > UNSENT_SECONDS
    registry.failures = {}
    (again,) = await registry.collect(payments, claims=claims)
    (elsewhere,) = await process(registry).collect(payments, claims=claims)
    assert (type(again.error), type(elsewhere.error)) == (PaymentOutcomeUnknown, PaymentNotSent)
    assert registry.posts == 1
    claims.clock.skip(MAX_TIME_IN_FLIGHT)
    (later,) = await process(registry).collect(payments, claims=claims)
    assert later.created is not None


async def test_after_a_failed_look_up_the_claims_are_given_up(registry: KeepingRegistry, claims: MemoryClaims) -> None:
    """Nothing of the batch is sent, so a second run need not wait for the claims of the first."""

    def fail() -> None:
        raise ServerFault("down", status=503)

    registry.on_lookup = fail
    outcomes = await registry.collect(make_payments(3), claims=claims)
    assert errors_of(outcomes) == {"PaymentNotSent": 3}
    assert claims.held == {}


async def test_a_repeated_reference_does_not_end_the_claim_of_the_first(
    registry: KeepingRegistry, claims: MemoryClaims
) -> None:
    """The error of the second payment is about the list; the claim belongs to the first one."""
    outcomes = await registry.collect([make_payment()] * 2, claims=claims)
    assert errors_of(outcomes) == {"ConfigurationError": 1}
    assert claims.seconds_left() == [round(MAX_TIME_IN_FLIGHT)]
    assert registry.posts == 1


async def test_unsent_claims_are_renewed_while_the_run_lives_and_expire_soon_after_a_kill() -> None:
    """A list takes longer than ten seconds; a process that is killed no longer renews."""
    clock = MovedClock()
    registry, claims = KeepingRegistry(clock), MemoryClaims(clock)
    outcomes = registry.run(make_payments(30), claims=claims, width=1).outcomes()
    await anext(outcomes)
    await clock.move(10 * UNSENT_SECONDS)
    unsent = claims.seconds_left()[:29]
    assert min(unsent) >= UNSENT_SECONDS - RENEWAL_INTERVAL - 1
    assert max(unsent) <= UNSENT_SECONDS
    claims.dead = {owner for owner, _ in claims.held.values()}
    await clock.move(15)
    assert len(await claims.take([*claims.held], owner="another", seconds=10)) == 29
    await outcomes.aclose()


async def test_a_failed_renewal_is_attempted_again() -> None:
    """One answer that is lost costs no claim."""
    clock = MovedClock()
    registry, claims = KeepingRegistry(clock), MemoryClaims(clock)
    outcomes = registry.run(make_payments(30), claims=claims, width=1).outcomes()
    await anext(outcomes)
    claims.failing = {"keep"}
    await clock.move(RENEWAL_INTERVAL)
    claims.failing = set()
    await clock.move(2 * UNSENT_SECONDS)
    assert len([outcome async for outcome in outcomes if outcome.created]) == 29


async def test_leaving_the_loop_gives_up_what_was_not_sent(registry: KeepingRegistry, claims: MemoryClaims) -> None:
    """Another process may send the rest at once; what was sent stays claimed."""
    outcomes = registry.run(make_payments(50), claims=claims, width=2).outcomes()
    for _ in range(3):
        await anext(outcomes)
    await outcomes.aclose()
    sent = registry.posts
    assert 3 <= sent < 50
    assert len(claims.held) == sent
    assert min(claims.seconds_left()) > MAX_TIME_IN_FLIGHT - 10


async def test_a_payment_kept_while_the_consumer_leaves_is_given_up(
    registry: KeepingRegistry, claims: MemoryClaims
) -> None:
    """Its claim was prolonged to 15 minutes, but it did not leave."""
    outcomes = registry.run(make_payments(20), claims=claims, width=10).outcomes()
    await anext(outcomes)
    for _ in range(5):
        await anext(outcomes)
        await settle()
    await outcomes.aclose()
    assert len(claims.held) == registry.posts


async def test_one_payment_is_claimed_looked_up_and_sent(registry: KeepingRegistry, claims: MemoryClaims) -> None:
    """`create(claims=)` costs one look-up more than without, and finds what another process has registered."""
    payments = CreditorPayments(PAYMENTS, registry.context)
    created = await payments.create(make_payment(), claims=claims)
    assert (created.was_found, registry.posts, registry.lookups) == (False, 1, 1)
    assert claims.seconds_left() == [round(MAX_TIME_IN_FLIGHT)]
    elsewhere = CreditorPayments(PAYMENTS, process(registry).context)
    assert (await elsewhere.create(make_payment(), claims=claims)).was_found
    registry.rows.clear()
    with pytest.raises(PaymentNotSent, match="another process has claimed it"):
        await elsewhere.create(make_payment(creditor_payment_reference="PAY-REF-001"), claims=claims)


async def test_one_payment_that_fails_raises_its_error(registry: KeepingRegistry, claims: MemoryClaims) -> None:
    """A rejection is raised unchanged, and the claim given up."""
    registry.failures = {"REF-0000": CERTAIN[0]}
    payments = CreditorPayments(PAYMENTS, registry.context)
    with pytest.raises(ValidationFailed) as caught:
        await payments.create(make_payments(1)[0], claims=claims)
    assert caught.value is CERTAIN[0]
    assert claims.held == {}


async def test_a_cancelled_create_keeps_the_claim_of_what_it_sent(
    registry: KeepingRegistry, claims: MemoryClaims
) -> None:
    """The server may register the payment after the caller's timeout."""
    registry.gate, sent = asyncio.Event(), asyncio.Event()
    registry.on_send = sent.set
    payments = CreditorPayments(PAYMENTS, registry.context)
    creating = asyncio.create_task(payments.create(make_payment(), claims=claims))
    await sent.wait()
    creating.cancel()
    await asyncio.gather(creating, return_exceptions=True)
    assert claims.seconds_left()[0] > MAX_TIME_IN_FLIGHT - 10


def test_a_store_without_the_methods_is_rejected(registry: KeepingRegistry) -> None:
    """What cannot work is a `ConfigurationError` at the call."""
    with pytest.raises(ConfigurationError, match="must have an async method take"):
        CreditorPayments(PAYMENTS, registry.context).create_many([], claims=object())  # type: ignore[arg-type]
