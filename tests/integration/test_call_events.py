"""The events of calls to a server: which there are, how they are joined, and what their texts are."""

import asyncio
from contextlib import suppress

import pytest

from amili_async import AmiliClient, AmiliError, Event, RateLimit, field
from amili_async.errors import ClientClosed
from amili_async.events import AttemptFinished, AttemptStarted, CallFinished, CallStarted, PermitAcquired
from amili_async.sandbox import Fault, Sandbox
from tests.support import internals
from tests.support.call_events import Recorder
from tests.support.clocks import happens
from tests.support.payments import make_payment
from tests.support.starting import Connect, StartSandbox


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


async def make_calls(amili: AmiliClient, sandbox: Sandbox) -> None:
    """One call of each operation."""
    row = sandbox.rows("finance--payouts")[0]
    await amili.payouts.get(row["_id"])
    await amili.payouts.page()
    await amili.payouts.count(field("_id") == row["_id"])
    await amili.payouts.stream().collect()
    _ = [each async for each in amili.payouts.extract()]
    payment = make_payment()
    await amili.creditor_payments.create(payment)
    await amili.creditor_payments.find(payment)
    _ = [each async for each in amili.reconcile()]


async def test_each_operation_has_its_word_and_no_event_an_id(
    start_sandbox: StartSandbox, connect: Connect, recorder: Recorder
) -> None:
    """One word of the documented ones; the route of a record has `{id}`."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox, observers=[recorder])
    await make_calls(amili, sandbox)
    recorder.check()
    found = {(event.operation, event.request) for event in recorder.events if isinstance(event, CallStarted)}
    assert found == {
        ("token", "GET /authenticates/api-code"),
        ("get", "GET /finance--payouts/{id}"),
        ("page", "GET /finance--payouts"),
        ("count", "GET /finance--payouts"),
        ("stream", "GET /finance--payouts"),
        ("extract", "GET /finance--payouts"),
        ("create", "POST /creditor--payments"),
        ("find", "GET /creditor--payments"),
        ("reconcile", "GET /finance--payouts"),
        ("reconcile", "GET /finance--payout-specifications"),
    }
    ids = [row["_id"] for name in ("finance--payouts", "creditor--payments") for row in sandbox.rows(name)]
    assert [each for each in ids if each in repr(recorder.events)] == []
    requests = sum(isinstance(event, AttemptFinished) for event in recorder.events)
    assert requests == len(sandbox.requests)


async def test_a_token_request_is_a_call_of_the_call_that_needs_it(
    start_sandbox: StartSandbox, connect: Connect, recorder: Recorder
) -> None:
    """Of ten calls at once, the first one is its parent; a second attempt after a 401 is one of the same call."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox, observers=[recorder])
    await asyncio.gather(*(amili.payouts.page() for _ in range(10)))
    started = [event for event in recorder.events if isinstance(event, CallStarted)]
    (token,) = [event for event in started if event.operation == "token"]
    assert token.parent == started[0].call
    assert {event.parent for event in started if event is not token} == {0}
    recorder.events.clear()
    sandbox.fail(Fault(revoke=True), path="/finance--payouts")
    await amili.payouts.page()
    first, token = [event for event in recorder.events if isinstance(event, CallStarted)]
    assert token.parent == first.call
    attempts = [
        (event.attempt, event.status)
        for event in recorder.events
        if isinstance(event, AttemptFinished) and event.call == first.call
    ]
    assert attempts == [(1, 401), (2, 200)]
    recorder.check()


async def test_the_end_of_a_call_sums_it_up(start_sandbox: StartSandbox, connect: Connect, recorder: Recorder) -> None:
    """Attempts, waits and the error of a call that failed, and of one that was answered in the end."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox, auth=sandbox.token(), rate_limit=RateLimit(per_second=1), observers=[recorder])
    sandbox.fail(Fault.unavailable(), times=2)
    await amili.payouts.page()
    with suppress(AmiliError):
        await amili.payouts.get("0" * 24)
    answered, failed = [event for event in recorder.events if isinstance(event, CallFinished)]
    assert (answered.operation, answered.attempts, answered.error) == ("page", 3, None)
    assert (failed.operation, failed.attempts, failed.error) == ("get", 1, "NotFound")
    waits = [event.waited for event in recorder.events if isinstance(event, PermitAcquired)]
    assert answered.waited + failed.waited == pytest.approx(sum(waits))
    assert answered.seconds >= answered.waited > 0
    recorder.check()


async def test_a_permit_shows_what_is_left(start_sandbox: StartSandbox, connect: Connect, recorder: Recorder) -> None:
    """By the rate limiter, right after the permit was granted; `None` without a limit."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox, auth=sandbox.token(), rate_limit=RateLimit(), observers=[recorder])
    for _ in range(3):
        await amili.payouts.page()
    unlimited = await connect(sandbox, auth=sandbox.token(), observers=[recorder])
    await unlimited.payouts.page()
    assert [event.remaining for event in recorder.events if isinstance(event, PermitAcquired)] == [99, 98, 97, None]


async def test_calls_that_are_cancelled_or_closed_are_reported_as_finished(
    start_sandbox: StartSandbox, connect: Connect, recorder: Recorder
) -> None:
    """Once each, with `CancelledError` or `ClientClosed`; their attempts too."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox, auth=sandbox.token(), observers=[recorder])
    release = asyncio.Event()
    internals.hold_responses(sandbox, release.wait)
    cancelled, closed = (asyncio.create_task(amili.payouts.page()) for _ in range(2))
    await happens(lambda: len(sandbox.requests) == 2)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await amili.aclose()
    with pytest.raises(ClientClosed):
        await closed
    release.set()
    errors = [event.error for event in recorder.events if isinstance(event, CallFinished)]
    assert errors == ["CancelledError", "ClientClosed"]
    recorder.check()


async def test_what_an_observer_adds_for_a_trace_is_sent(start_sandbox: StartSandbox, connect: Connect) -> None:
    """With each attempt its own `traceparent`; the credential stays, whatever an observer adds."""

    def inject(event: Event) -> None:
        if isinstance(event, AttemptStarted):
            event.headers.update({"traceparent": f"00-{event.attempt}", "X-API-Key": "other", "X-Other": "x"})

    sandbox = await start_sandbox()
    amili = await connect(sandbox, auth=sandbox.token(), observers=[inject], headers={"Traceparent": "of the caller"})
    sandbox.fail(Fault.unavailable())
    await amili.payouts.page()
    assert [request.headers["traceparent"] for request in sandbox.requests] == ["00-1", "00-2"]
    assert {request.headers["x-api-key"] for request in sandbox.requests} != {"other"}
    assert not any("x-other" in request.headers for request in sandbox.requests)
