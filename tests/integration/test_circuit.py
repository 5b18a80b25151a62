"""The load that a client puts on a server that is down, and how both recover.

Invariant: an outage costs one attempt for each call, and the retry budget once for the whole client. A spent retry
budget refills with each success.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from amili_async import AmiliClient, RetryPolicy
from amili_async.errors import (
    AmiliError,
    ConnectionFailed,
    ExtractionInterrupted,
    PaymentOutcomeUnknown,
    ServerFault,
)
from amili_async.events import AttemptFinished, Event, PaymentLookedUp, RetryScheduled
from amili_async.payments.create import MAX_TIME_IN_FLIGHT
from amili_async.sandbox import Fault, Sandbox
from tests.support import internals
from tests.support.clocks import GUARD, HastyClock
from tests.support.operations import PAGE_SIZE, PAYMENT, ROWS, SPECIFICATIONS, TOKEN_PATH
from tests.support.payments import PAYMENTS
from tests.support.ports import reserve_port
from tests.support.starting import Connect, StartSandbox

RETRIES = RetryPolicy().retry_budget
ATTEMPTS = RetryPolicy().attempts
DOWN = Fault.unavailable()


@dataclass
class Recorder:
    """An observer that keeps every event."""

    events: list[Event] = field(default_factory=list)

    @property
    def attempts(self) -> list[AttemptFinished]:
        """Every attempt, sent or not."""
        return [event for event in self.events if isinstance(event, AttemptFinished)]

    @property
    def retries(self) -> int:
        """How many attempts were not the first of their call."""
        return sum(isinstance(event, RetryScheduled) for event in self.events)


@pytest.fixture
def recorder() -> Recorder:
    """The observer of the client."""
    return Recorder()


@pytest.fixture
async def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    """A server that works."""
    return await start_sandbox(**ROWS)


@pytest.fixture
async def amili(sandbox: Sandbox, connect: Connect, recorder: Recorder) -> AmiliClient:
    """A client with the default policy and a token, whose first requests are not counted."""
    client = await connect(sandbox, page_size=PAGE_SIZE, observers=[recorder.events.append])
    await client.auth.get_valid_token()
    sandbox.requests.clear()
    recorder.events.clear()
    return client


async def call(amili: AmiliClient) -> AmiliError | None:
    """Make one call and return the error that it raises."""
    try:
        async with asyncio.timeout(GUARD):
            await amili.payouts.count()
    except AmiliError as error:
        return error
    return None


async def call_often(amili: AmiliClient, times: int) -> list[AmiliError | None]:
    """Make calls one after the other."""
    return [await call(amili) for _ in range(times)]


def attempts_of(errors: list[Any]) -> list[int]:
    """The attempts of each call, all of which failed."""
    assert all(isinstance(error, ServerFault | ConnectionFailed) for error in errors)
    return [error.attempts for error in errors]


async def test_an_outage_costs_one_attempt_a_call_and_the_retry_budget_once(
    amili: AmiliClient, sandbox: Sandbox, clock: HastyClock
) -> None:
    """The first calls make as many attempts as the policy allows, the rest one, without waiting."""
    sandbox.fail(DOWN, times=None)
    patient = RETRIES // (ATTEMPTS - 1)
    first = await call_often(amili, patient)
    assert attempts_of(first) == [ATTEMPTS] * patient
    since = clock.now()
    rest = await call_often(amili, 100 - patient)
    assert attempts_of(rest) == [1] * (100 - patient)
    assert clock.now() == since
    assert len(sandbox.requests) == 100 + RETRIES


async def test_concurrent_callers_share_the_retry_budget(amili: AmiliClient, sandbox: Sandbox) -> None:
    """A hundred concurrent calls make no more requests than a hundred in a row."""
    sandbox.fail(DOWN, times=None)
    errors = await asyncio.gather(*(call(amili) for _ in range(100)))
    assert sum(attempts_of(list(errors))) == len(sandbox.requests) == 100 + RETRIES


async def test_a_host_that_refuses_connections(amili: AmiliClient, sandbox: Sandbox, recorder: Recorder) -> None:
    """No process listens: the same bound holds for connections that cannot be made."""
    port = int(sandbox.url.rsplit(":", 1)[1])
    await sandbox.aclose()
    with reserve_port(port):
        errors = await call_often(amili, 100)
        assert all(isinstance(error, ConnectionFailed) and not error.was_sent for error in errors)
        assert sum(attempts_of(errors)) == len(recorder.attempts) == 100 + RETRIES
        internals.set_port(sandbox, port)
        await sandbox.start()
        assert await call(amili) is None


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_host_that_resets_connections(moment: Any, amili: AmiliClient, sandbox: Sandbox) -> None:
    """The server receives no more requests than that, although the transport would resend some."""
    sandbox.fail(Fault(reset=moment), times=None)
    errors = await call_often(amili, 100)
    assert sum(attempts_of(errors)) == 100 + RETRIES
    assert len(sandbox.requests) == 100 + RETRIES


async def test_the_client_recovers_without_help(amili: AmiliClient, sandbox: Sandbox, recorder: Recorder) -> None:
    """Once the server is back, every call succeeds at its first attempt, and two successes earn a retry."""
    sandbox.fail(DOWN, times=None)
    await call_often(amili, 50)
    sandbox.stop_failing()
    sandbox.requests.clear()

    assert await call(amili) is None
    sandbox.fail(DOWN)
    assert attempts_of([await call(amili)]) == [1]  # half a retry is none
    assert await call_often(amili, 1) == [None]
    sandbox.fail(DOWN)
    assert await call(amili) is None  # the second half
    sandbox.fail(DOWN)
    assert attempts_of([await call(amili)]) == [1]
    assert len(sandbox.requests) == 6


async def test_the_retry_budget_refills_up_to_its_limit(amili: AmiliClient, sandbox: Sandbox) -> None:
    """However many calls succeed in between, the next outage costs the retry budget once."""
    for _ in range(2):
        assert await call_often(amili, 2 * RETRIES + 20) == [None] * (2 * RETRIES + 20)
        sandbox.requests.clear()
        sandbox.fail(DOWN, times=None)
        await call_often(amili, 50)
        assert len(sandbox.requests) == 50 + RETRIES
        sandbox.stop_failing()


async def test_a_short_outage_is_not_noticed(amili: AmiliClient, sandbox: Sandbox, recorder: Recorder) -> None:
    """Ten callers whose first attempts fail succeed within the retry budget."""
    sandbox.fail(DOWN, times=10)
    assert await asyncio.gather(*(call(amili) for _ in range(10))) == [None] * 10
    assert recorder.retries == 10


async def test_waits_that_the_server_requests_are_free(amili: AmiliClient, sandbox: Sandbox) -> None:
    """A server that limits is not down: its 429s leave the retry budget unchanged."""
    for _ in range(2 * RETRIES):
        sandbox.fail(Fault.too_many_requests(retry_after=2))
        assert await call(amili) is None
    sandbox.requests.clear()
    sandbox.fail(DOWN, times=None)
    await call_often(amili, 50)
    assert len(sandbox.requests) == 50 + RETRIES


async def test_error_responses_cost_no_retry(amili: AmiliClient, sandbox: Sandbox) -> None:
    """An error that is not transient neither uses the retry budget nor refills it."""
    sandbox.fail(Fault(status=404), times=100)
    await call_often(amili, 100)
    assert len(sandbox.requests) == 100
    sandbox.fail(DOWN, times=None)
    await call_often(amili, 50)
    assert len(sandbox.requests) == 150 + RETRIES


@pytest.mark.parametrize("retries", [0, 1, 7])
async def test_the_caller_chooses_the_retry_budget(retries: int, sandbox: Sandbox, connect: Connect) -> None:
    """Without a retry budget there are no retries."""
    amili = await connect(sandbox, retry=RetryPolicy(retry_budget=retries), auth=sandbox.token())
    sandbox.fail(DOWN, times=None)
    await call_often(amili, 30)
    assert len(sandbox.requests) == 30 + retries


async def test_each_client_has_its_own_retry_budget(amili: AmiliClient, sandbox: Sandbox, connect: Connect) -> None:
    """A second client has all its retries while the first has none."""
    other = await connect(sandbox, auth=sandbox.token())
    sandbox.fail(DOWN, times=None)
    await call_often(amili, 30)
    assert attempts_of([await call(other)]) == [ATTEMPTS]


# Streams and extractions


async def read(amili: AmiliClient, records: list[str]) -> AmiliError | None:
    """Read a whole stream and return the error that it raises."""
    try:
        async with asyncio.timeout(GUARD):
            async for record in amili.payout_specifications.stream():
                records.append(record.id)  # noqa: PERF401 - records before an error count
    except AmiliError as error:
        return error
    return None


async def test_concurrent_streams_share_the_retry_budget(
    amili: AmiliClient, sandbox: Sandbox, recorder: Recorder
) -> None:
    """The server fails under eight streams: they raise its error, and share one retry budget."""
    ids = sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))
    sandbox.fail(DOWN, times=None, after=8 + 5)
    records: list[list[str]] = [[] for _ in range(8)]
    errors = await asyncio.gather(*(read(amili, each) for each in records))
    assert sum(isinstance(error, ServerFault) for error in errors) >= 6  # five more pages complete one stream at most
    for each, error in zip(records, errors, strict=True):
        assert each == (ids if error is None else ids[: len(each)])
    assert recorder.retries <= RETRIES
    pages = 8 * 4
    assert len(sandbox.requests) <= pages + RETRIES
    assert sum(attempt.attempt == 1 for attempt in recorder.attempts) <= pages

    sandbox.stop_failing()
    records = [[] for _ in range(8)]
    assert await asyncio.gather(*(read(amili, each) for each in records)) == [None] * 8
    assert records == [ids] * 8


async def test_a_stream_started_in_an_outage_costs_one_request(amili: AmiliClient, sandbox: Sandbox) -> None:
    """Its first page fails fast, and no page is prefetched."""
    sandbox.fail(DOWN, times=None)
    await call_often(amili, 50)
    sandbox.requests.clear()
    assert isinstance(await read(amili, []), ServerFault)
    assert len(sandbox.requests) == 1


async def test_an_extraction_outlives_an_outage(amili: AmiliClient, sandbox: Sandbox) -> None:
    """Interrupted several times while the server is down, it delivers every record once."""
    records: list[str] = []
    causes: set[type[BaseException | None]] = set()
    checkpoint = None
    sandbox.fail(DOWN, times=60, after=2)
    for _ in range(100):
        extraction = amili.payout_specifications.extract(checkpoint=checkpoint)
        try:
            async with asyncio.timeout(GUARD):
                async for batch in extraction.batches():
                    records.extend(record.id for record in batch)
            break
        except ExtractionInterrupted as error:
            causes.add(type(error.__cause__))
            checkpoint = error.checkpoint
    assert sorted(records) == sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))
    assert extraction.checkpoint.is_finished
    assert causes == {ServerFault}


# Tokens and payments


async def test_a_token_endpoint_that_is_down(amili: AmiliClient, sandbox: Sandbox) -> None:
    """Each call requests the token that it lacks once, and sends nothing else."""
    sandbox.revoke_tokens()
    sandbox.fail(DOWN, times=None, path=TOKEN_PATH)
    attempts_of(await call_often(amili, 100))
    paths = [request.path for request in sandbox.requests]
    assert paths.count(TOKEN_PATH) == 100 + RETRIES
    assert len(paths) == 100 + RETRIES + 1  # the request that was answered with 401

    sandbox.requests.clear()
    attempts_of(list(await asyncio.gather(*(call(amili) for _ in range(50)))))
    assert len(sandbox.requests) == 1  # concurrent callers share one exchange

    sandbox.stop_failing()
    assert await call_often(amili, 3) == [None] * 3


async def test_payments_in_an_outage(
    amili: AmiliClient, sandbox: Sandbox, recorder: Recorder, clock: HastyClock
) -> None:
    """Each payment is sent once; its look-ups are separate requests, and only they use the retry budget."""
    sandbox.fail(DOWN, times=None)
    payments = [replace(PAYMENT, creditor_payment_reference=f"REF-{number}") for number in range(20)]
    for payment in payments:
        with pytest.raises(PaymentOutcomeUnknown):
            async with asyncio.timeout(GUARD):
                await amili.creditor_payments.create(payment, lookup_timeout=5)
    lookups = sum(event.lookups for event in recorder.events if isinstance(event, PaymentLookedUp))
    assert sum(request.method == "POST" for request in sandbox.requests) == 20
    assert len(sandbox.requests) == 20 + lookups + RETRIES
    assert sandbox.rows(PAYMENTS) == []

    sandbox.stop_failing()
    clock.skip(MAX_TIME_IN_FLIGHT)
    for payment in payments:
        assert await amili.creditor_payments.find(payment) is None
        await amili.creditor_payments.create(payment)
    assert len(sandbox.rows(PAYMENTS)) == 20
