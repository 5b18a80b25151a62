"""Registration of payments against the sandbox: what is sent, what is rejected, and what is never sent twice."""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from amili_async import AmiliClient, PaymentOutcome, RateLimit
from amili_async.errors import (
    AuthenticationError,
    ClientClosed,
    ConfigurationError,
    ConnectionFailed,
    PaymentNotCompleted,
    PaymentNotSent,
    PaymentOutcomeUnknown,
    RateLimited,
    ReferenceTaken,
    ServerFault,
    TimedOut,
    UnreadableResponse,
    ValidationFailed,
)
from amili_async.events import Event, PaymentRegistered
from amili_async.payments.create import MAX_TIME_IN_FLIGHT
from amili_async.sandbox import Fault, Sandbox
from tests.support import internals
from tests.support.clocks import HastyClock, PassingTime, happens, is_python_loop, settle
from tests.support.leaving_early import WAYS, hold_a_while, hold_until
from tests.support.payments import CASE, CREDITOR, PAYMENTS, make_payment, make_payments
from tests.support.starting import Connect, StartSandbox

TOKEN_PATH = "/authenticates/api-code"


def count_posts(sandbox: Sandbox) -> int:
    return sum(request.method == "POST" for request in sandbox.requests)


async def test_a_payment_is_registered_and_can_be_read_back(start_sandbox: StartSandbox, connect: Connect) -> None:
    """The API's list has the payment that was sent, exact to the öre."""
    sandbox = await start_sandbox(payments=0)
    amili = await connect(sandbox)
    created = await amili.creditor_payments.create(make_payment())
    assert (created.request_status, created.payment_status) == ("OK", "completed")
    payment = await amili.creditor_payments.get(created.id)
    assert payment.amount == Decimal("100.50")
    assert payment.bank_transaction_date == datetime(2025, 7, 4, 16, 20, 41, tzinfo=UTC)
    assert payment.creditor_payment_reference == "PAY-REF-001"
    sent = msgspec.json.decode(next(request.body for request in sandbox.requests if request.method == "POST"))
    assert sent == {
        "creditor": CREDITOR,
        "amount": 100.5,
        "bank_transaction_date": "Fri, 04 Jul 2025 16:20:41 GMT",
        "case": CASE,
        "creditor_payment_reference": "PAY-REF-001",
        "currency": "SEK",
        "origin": "creditor_system",
    }


async def test_a_payment_by_invoice_number_is_registered(start_sandbox: StartSandbox, connect: Connect) -> None:
    """The invoice number is sent instead of the case."""
    sandbox = await start_sandbox(payments=0)
    amili = await connect(sandbox)
    created = await amili.creditor_payments.create(make_payment(case=None, invoice_number="INV-2025-0001"))
    assert (await amili.creditor_payments.get(created.id)).invoice_number == "INV-2025-0001"


async def test_fields_that_the_api_rejects_are_named(start_sandbox: StartSandbox, connect: Connect) -> None:
    """The error of a 422 names the fields in its text and has the server's messages as an attribute."""
    sandbox = await start_sandbox(payments=0)
    amili = await connect(sandbox)
    body = {"_status": "ERR", "_issues": {"case": "is closed"}, "_error": {"code": 422, "message": "Insertion failure"}}
    sandbox.fail(Fault(status=422, body=body), method="POST")
    with pytest.raises(ValidationFailed, match="fields: case") as caught:
        await amili.creditor_payments.create(make_payment())
    assert caught.value.issues == {"case": ("is closed",)}
    assert sandbox.rows(PAYMENTS) == []


@pytest.mark.parametrize(
    ("fault", "is_registered"),
    [
        (Fault(reset="before"), 0),
        (Fault(reset="after"), 1),
        (Fault(cut=10), 1),
        (Fault.unavailable(), 0),
        (Fault.server_error(carried_out=True), 1),
        (Fault(status=201, body="<html>done</html>", carried_out=True), 1),
        (Fault(status=201, body="{}", carried_out=True), 1),
    ],
    ids=["reset before", "reset after", "cut", "503", "500 after", "HTML", "no id"],
)
async def test_a_payment_with_an_unknown_outcome_is_looked_up_and_never_sent_again(
    fault: Fault, is_registered: int, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """After a failure of which the server may have processed the request there is one POST, and a look-up."""
    sandbox = await start_sandbox(payments=0)
    amili = await connect(sandbox)
    sandbox.fail(fault, method="POST")
    payment = make_payment()
    if is_registered:
        created = await amili.creditor_payments.create(payment)
        assert (created.id, created.was_found) == (sandbox.rows(PAYMENTS)[0]["_id"], True)
    else:
        with pytest.raises(PaymentOutcomeUnknown) as caught:
            await amili.creditor_payments.create(payment)
        assert (caught.value.payment, caught.value.reference) == (payment, "PAY-REF-001")
        assert caught.value.__cause__ is not None
        assert "PAY-REF-001" not in f"{caught.value} {caught.value!r}"
        assert await amili.creditor_payments.find(payment) is None
    assert (count_posts(sandbox), len(sandbox.rows(PAYMENTS))) == (1, is_registered)


async def test_a_timeout_of_the_response_is_an_unknown_outcome(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A payment that was sent and has no response in time raises `PaymentOutcomeUnknown`."""
    sandbox = await start_sandbox(payments=0)
    amili = await connect(sandbox, timeout=30.0 if is_python_loop() else 2.0)
    await amili.auth.get_valid_token()
    sandbox.fail(Fault(hang=True), method="POST")
    creating = asyncio.ensure_future(amili.creditor_payments.create(make_payment(), lookup_timeout=0.2))
    await happens(lambda: count_posts(sandbox))
    time = PassingTime()
    time.start()
    with pytest.raises(PaymentOutcomeUnknown) as caught:
        await creating
    time.stop()
    assert isinstance(caught.value.__cause__, TimedOut)
    assert count_posts(sandbox) == 1


async def test_a_429_is_retried_since_the_server_did_nothing(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Rejected by the rate limit, the payment is sent once more, and registered once."""
    sandbox = await start_sandbox(payments=0)
    amili = await connect(sandbox)
    sandbox.fail(Fault.too_many_requests(), method="POST")
    await amili.creditor_payments.create(make_payment())
    assert (count_posts(sandbox), len(sandbox.rows(PAYMENTS))) == (2, 1)


async def test_a_revoked_token_costs_a_refresh_and_one_registration(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """After a 401 the payment is sent once more with a new token, and registered once."""
    sandbox = await start_sandbox(payments=0)
    amili = await connect(sandbox)
    await amili.auth.get_valid_token()
    sandbox.revoke_tokens()
    await amili.creditor_payments.create(make_payment())
    assert (count_posts(sandbox), len(sandbox.rows(PAYMENTS))) == (2, 1)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(status=401), AuthenticationError),
        (Fault.unavailable(), ServerFault),
        (Fault(reset="after"), ConnectionFailed),
        (Fault.too_many_requests(retry_after=9999), RateLimited),
    ],
    ids=["401", "503", "reset", "429"],
)
async def test_a_failure_to_get_a_token_is_not_an_unknown_outcome(
    fault: Fault, error: type[Exception], start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Without a token the payment is not sent, and the error is that of the token exchange."""
    sandbox = await start_sandbox(payments=0)
    amili = await connect(sandbox)
    sandbox.fail(fault, times=None, path=TOKEN_PATH)
    with pytest.raises(error):
        await amili.creditor_payments.create(make_payment())
    assert count_posts(sandbox) == 0


async def test_a_failed_connection_is_not_an_unknown_outcome(start_sandbox: StartSandbox, connect: Connect) -> None:
    """If no connection can be made, nothing is sent."""
    sandbox = await start_sandbox(payments=0)
    amili = await connect(sandbox, auth="token")
    await sandbox.aclose()
    with pytest.raises(ConnectionFailed) as caught:
        await amili.creditor_payments.create(make_payment())
    assert not caught.value.was_sent
    assert caught.value.attempts == 5


async def test_a_list_is_registered_once_however_often_it_is_run(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Outcomes are in order, one each; the second run finds all, with one request per hundred."""
    sandbox = await start_sandbox(payments=0)
    hold_until(sandbox, 8, after=1, method="POST")
    amili = await connect(sandbox)
    payments = [make_payment(creditor_payment_reference=f"REF-{n}", amount=n + 1) for n in range(250)]
    first = [outcome async for outcome in amili.creditor_payments.create_many(payments, concurrency=8)]
    assert [outcome.payment for outcome in first] == payments
    assert sandbox.most_in_flight in {8, 9}  # the next look-up runs concurrently
    sandbox.requests.clear()
    second = [outcome async for outcome in amili.creditor_payments.create_many(payments)]
    assert len(sandbox.requests) == 3
    for before, after in zip(first, second, strict=True):
        assert before.created is not None
        assert after.created is not None
        assert (before.created.id, after.created.was_found) == (after.created.id, True)
    assert len(sandbox.rows(PAYMENTS)) == 250


@pytest.mark.parametrize("leave", WAYS)
async def test_leaving_a_list_early_leaves_nothing_behind(
    leave: Callable[[AsyncIterable[Any], AmiliClient], Awaitable[None]],
    start_sandbox: StartSandbox,
    connect: Connect,
    clock: HastyClock,
) -> None:
    """Nothing more is sent, no task is left (the fixture asserts it), and later runs settle what was in flight."""
    sandbox = await start_sandbox(payments=0)
    internals.hold_responses(sandbox, hold_a_while)
    amili = await connect(sandbox)
    payments = [make_payment(creditor_payment_reference=f"REF-{n}") for n in range(100)]
    outcomes = amili.creditor_payments.create_many(payments, concurrency=4)
    await leave(outcomes, amili)
    await outcomes.aclose()
    assert count_posts(sandbox) < 50
    errors = [outcome.error async for outcome in amili.creditor_payments.create_many(payments)]
    assert {type(error) for error in errors} <= {type(None), PaymentOutcomeUnknown}
    assert len(sandbox.rows(PAYMENTS)) == sum(error is None for error in errors) >= 100 - 4
    clock.skip(MAX_TIME_IN_FLIGHT)
    assert [outcome.error async for outcome in amili.creditor_payments.create_many(payments)] == [None] * 100
    assert len(sandbox.rows(PAYMENTS)) == 100


async def test_a_closed_client_ends_a_list(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Iterating over outcomes of a closed client raises."""
    sandbox = await start_sandbox(payments=0)
    amili = await connect(sandbox)
    payments = [make_payment(creditor_payment_reference=f"REF-{n}") for n in range(100)]
    outcomes = amili.creditor_payments.create_many(payments)
    assert (await anext(outcomes)).created
    await amili.aclose()
    with pytest.raises(ClientClosed):
        await anext(outcomes)


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"lookup_timeout": -1}, {"payments": 5}])
async def test_a_list_is_checked_at_the_call(
    options: dict[str, Any], start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Bad options raise before anything is sent, and before the first outcome is awaited."""
    sandbox = await start_sandbox(payments=0)
    amili = await connect(sandbox)
    with pytest.raises(ConfigurationError):
        amili.creditor_payments.create_many(**({"payments": []} | options))
    assert list(sandbox.requests) == []


async def test_a_warning_in_a_201_is_visible(start_sandbox: StartSandbox, connect: Connect) -> None:
    """The status and its reason are on the payment, observers receive it, and `raise_for_status` raises."""
    events: list[Event] = []
    sandbox = await start_sandbox(payments=0)
    amili = await connect(sandbox, observers=[events.append])
    made_now = internals.make_current_id(amili)
    body = {"_id": made_now, "_status": "OK", "status": "warning", "status_reason_locale": "creditor_payment.overpaid"}
    sandbox.fail(Fault(status=201, body=body, carried_out=True), method="POST")
    created = await amili.creditor_payments.create(make_payment())
    assert (created.status, created.status_reason_locale) == ("warning", "creditor_payment.overpaid")
    with pytest.raises(PaymentNotCompleted):
        created.raise_for_status()
    assert [event.status for event in events if isinstance(event, PaymentRegistered)] == ["warning"]


async def test_payments_registered_twice_by_two_processes_are_reported(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Two concurrent runs can register twice, as documented; the next run sends nothing, and has the ids of both."""
    sandbox = await start_sandbox(payments=0)
    payments = [make_payment(creditor_payment_reference=f"REF-{n}") for n in range(30)]
    clients = [await connect(sandbox, auth=sandbox.token()) for _ in range(2)]

    async def hold() -> None:
        await happens(lambda: sum(request.method == "GET" for request in sandbox.requests) >= len(clients))

    internals.hold_responses(sandbox, hold, which=lambda request: request.method == "POST")

    async def run(amili: AmiliClient) -> list[PaymentOutcome]:
        return [outcome async for outcome in amili.creditor_payments.create_many(payments)]

    for outcomes in await asyncio.gather(*map(run, clients)):
        assert all(outcome.created for outcome in outcomes)
    rows: dict[str, list[str]] = {}
    for row in sandbox.rows(PAYMENTS):
        rows.setdefault(row["creditor_payment_reference"], []).append(row["_id"])
    assert {len(ids) for ids in rows.values()} >= {2}  # both looked up before either sent
    sandbox.requests.clear()
    for outcome in await run(clients[0]):
        ids = rows[outcome.payment.creditor_payment_reference]
        if len(ids) == 1:
            assert outcome.created is not None
        else:
            assert isinstance(outcome.error, ReferenceTaken)
            assert sorted(outcome.error.matches) == sorted(ids)
    assert count_posts(sandbox) == 0


@pytest.mark.parametrize("age", ["1", "86400", "soon"])
async def test_a_cached_look_up_proves_nothing(age: str, start_sandbox: StartSandbox, connect: Connect) -> None:
    """A payment whose look-up a cache answered is not sent, and the error names the cache; every GET forbids one."""
    sandbox = await start_sandbox(payments=0)
    amili = await connect(sandbox)
    sandbox.fail(Fault(headers={"Age": age}), times=None, method="GET", path=f"/{PAYMENTS}")
    outcomes = [outcome async for outcome in amili.creditor_payments.create_many([make_payment()])]
    (error,) = [outcome.error for outcome in outcomes]
    assert isinstance(error, PaymentNotSent)
    assert "answered from a cache" in str(error)
    with pytest.raises(UnreadableResponse, match="answered from a cache"):
        await amili.creditor_payments.find(make_payment())
    assert count_posts(sandbox) == 0
    sandbox.fail(Fault(reset="after"), method="POST")
    with pytest.raises(PaymentOutcomeUnknown):
        await amili.creditor_payments.create(make_payment(), lookup_timeout=2)
    with pytest.raises(PaymentNotSent, match="answered from a cache"):
        await amili.creditor_payments.create(make_payment(), lookup_timeout=2)
    sandbox.stop_failing()
    sandbox.fail(Fault(headers={"Age": "0"}), times=None, method="GET", path=f"/{PAYMENTS}")
    assert (await amili.creditor_payments.create(make_payment())).was_found
    assert {request.headers["cache-control"] for request in sandbox.requests if request.method == "GET"} == {"no-cache"}
    assert count_posts(sandbox) == 1


async def time_out(amili: AmiliClient, sandbox: Sandbox) -> None:
    """Leave `create()` by a timeout around it."""
    with pytest.raises(TimeoutError):  # noqa: PT012 - the timeout raises it
        async with asyncio.timeout(None) as timeout:
            creating = asyncio.ensure_future(amili.creditor_payments.create(make_payment()))
            await happens(lambda: count_posts(sandbox))
            timeout.reschedule(0)
            await creating


async def remain_unknown(amili: AmiliClient, sandbox: Sandbox) -> None:
    """Let `create()` look the payment up before it is committed."""
    creating = asyncio.ensure_future(amili.creditor_payments.create(make_payment(), lookup_timeout=0))
    await happens(lambda: count_posts(sandbox))
    internals.drop_connections(sandbox)
    with pytest.raises(PaymentOutcomeUnknown):
        await creating


async def cancel_the_list(amili: AmiliClient, sandbox: Sandbox) -> None:
    """Leave `create_many()` by a cancellation."""
    creating = asyncio.ensure_future(anext(amili.creditor_payments.create_many([make_payment()])))
    await happens(lambda: count_posts(sandbox))
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating


@pytest.mark.parametrize("leave", [time_out, remain_unknown, cancel_the_list])
@pytest.mark.parametrize("again", ["create", "create_many"])
async def test_a_payment_that_is_committed_late_is_not_sent_again(
    leave: Callable[[AmiliClient, Sandbox], Awaitable[None]],
    again: str,
    start_sandbox: StartSandbox,
    connect: Connect,
) -> None:
    """However the first call ends, the next ones of the same client look the payment up until they find it."""
    sandbox = await start_sandbox(payments=0)
    is_committed = asyncio.Event()
    internals.hold_responses(sandbox, is_committed.wait, which=lambda request: request.method == "POST")
    amili = await connect(sandbox)
    await leave(amili, sandbox)
    assert (count_posts(sandbox), sandbox.rows(PAYMENTS)) == (1, [])

    async def register() -> Any:
        if again == "create":
            return await amili.creditor_payments.create(make_payment(), lookup_timeout=1)
        (outcome,) = [each async for each in amili.creditor_payments.create_many([make_payment()], lookup_timeout=1)]
        if outcome.error is not None:
            raise outcome.error
        return outcome.created

    with pytest.raises(PaymentOutcomeUnknown):
        await register()
    is_committed.set()
    await happens(lambda: sandbox.rows(PAYMENTS))
    assert (await register()).was_found
    assert (count_posts(sandbox), len(sandbox.rows(PAYMENTS))) == (1, 1)


@pytest.mark.parametrize("rate_limit", [None, RateLimit()])
@pytest.mark.parametrize("taken", [1, 5])
async def test_nothing_is_sent_after_the_loop_was_left(
    taken: int, rate_limit: RateLimit | None, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """With the generator still referenced no payment is sent until an outcome is awaited again."""
    sandbox = await start_sandbox(payments=0)
    amili = await connect(sandbox, rate_limit=rate_limit)
    payments = make_payments(40)
    outcomes = amili.creditor_payments.create_many(payments)
    received = []
    async for outcome in outcomes:
        received.append(outcome)
        if len(received) == taken:
            break
    await happens(lambda: not (internals.running_calls(amili) or sandbox.in_flight))  # what was sent is answered
    sent = count_posts(sandbox)
    assert taken <= sent <= (1 if taken == 1 else taken + 20)
    await asyncio.sleep(0.2)
    await settle()
    assert count_posts(sandbox) == sent
    received += [outcome async for outcome in outcomes]
    assert [outcome.payment for outcome in received] == payments
    assert all(outcome.created for outcome in received)
    assert count_posts(sandbox) == 40


async def test_a_list_that_was_cut_off_does_not_look_finished(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A loop that continues after a timeout around `anext` gets an error, not the end of the list."""
    sandbox = await start_sandbox(payments=0)
    amili = await connect(sandbox)
    outcomes = amili.creditor_payments.create_many(make_payments(40))
    assert (await anext(outcomes)).created
    sandbox.fail(Fault(hang=True), times=None)
    with pytest.raises(TimeoutError):  # the look-up is complete, so no other payment has been sent
        await asyncio.wait_for(anext(outcomes), 0.1)
    for _ in range(2):
        with pytest.raises(ClientClosed, match="cut off by CancelledError"):
            await anext(outcomes)
    await outcomes.aclose()
