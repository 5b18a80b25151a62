"""What a client does to a server that is plainly down, and how both come back.

The law: an outage costs one try for each call and the reserve of retries once, whoever makes the calls; and a reserve
that is spent fills again with what succeeds, without anybody's doing.
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
from amili_async.events import AttemptFinished, Event, PaymentLookedFor, RetryScheduled
from amili_async.sandbox import Fault, Sandbox
from tests.integration.conftest import Connect, StartSandbox
from tests.support.clocks import HastyClock
from tests.support.operations import GUARD, PAGE_SIZE, PAYMENT, PAYMENTS, ROWS, SPECIFICATIONS, TOKEN_PATH

RESERVE = RetryPolicy().retry_budget
TRIES = RetryPolicy().attempts
DOWN = Fault.unavailable()


@dataclass
class Told:
    """What the client told its observer."""

    events: list[Event] = field(default_factory=list)

    @property
    def tries(self) -> list[AttemptFinished]:
        """Every request that it sent, or tried to."""
        return [event for event in self.events if isinstance(event, AttemptFinished)]

    @property
    def retries(self) -> int:
        """How many of them were not the first of their call."""
        return sum(isinstance(event, RetryScheduled) for event in self.events)


@pytest.fixture
def told() -> Told:
    """To be given to the client."""
    return Told()


@pytest.fixture
async def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    """A server that is up."""
    return await start_sandbox(**ROWS)


@pytest.fixture
async def amili(sandbox: Sandbox, connect: Connect, told: Told) -> AmiliClient:
    """A client with the default policy and a token in hand, whose first requests are not counted."""
    client = await connect(sandbox, page_size=PAGE_SIZE, observers=[told.events.append])
    await client.auth.get_valid_token()
    sandbox.requests.clear()
    told.events.clear()
    return client


async def call(amili: AmiliClient) -> AmiliError | None:
    """One call; the error in which it ends."""
    try:
        async with asyncio.timeout(GUARD):
            await amili.payouts.count()
    except AmiliError as error:
        return error
    return None


async def call_often(amili: AmiliClient, times: int) -> list[AmiliError | None]:
    """Calls one after the other."""
    return [await call(amili) for _ in range(times)]


def tries_of(errors: list[Any]) -> list[int]:
    """How often each call was tried, all having failed."""
    assert all(isinstance(error, ServerFault | ConnectionFailed) for error in errors)
    return [error.attempts for error in errors]


async def test_an_outage_costs_a_try_a_call_and_the_reserve_once(
    amili: AmiliClient, sandbox: Sandbox, clock: HastyClock
) -> None:
    """The first calls are tried as often as the policy says, the rest once and without waiting."""
    sandbox.fail(DOWN, times=None)
    patient = RESERVE // (TRIES - 1)
    first = await call_often(amili, patient)
    assert tries_of(first) == [TRIES] * patient
    since = clock.now()
    rest = await call_often(amili, 100 - patient)
    assert tries_of(rest) == [1] * (100 - patient)
    assert clock.now() == since
    assert len(sandbox.requests) == 100 + RESERVE


async def test_callers_at_once_share_the_reserve(amili: AmiliClient, sandbox: Sandbox) -> None:
    """A hundred concurrent calls make no more requests than a hundred in a row."""
    sandbox.fail(DOWN, times=None)
    errors = await asyncio.gather(*(call(amili) for _ in range(100)))
    assert sum(tries_of(list(errors))) == len(sandbox.requests) == 100 + RESERVE


async def test_a_host_that_refuses_connections(amili: AmiliClient, sandbox: Sandbox, told: Told) -> None:
    """Nobody listens: the same bound holds for connections that cannot be made."""
    port = int(sandbox.url.rsplit(":", 1)[1])
    await sandbox.aclose()
    errors = await call_often(amili, 100)
    assert all(isinstance(error, ConnectionFailed) and not error.was_sent for error in errors)
    assert sum(tries_of(errors)) == len(told.tries) == 100 + RESERVE
    sandbox._address = ("127.0.0.1", port)
    await sandbox.start()
    assert await call(amili) is None


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_host_that_resets_connections(moment: Any, amili: AmiliClient, sandbox: Sandbox) -> None:
    """The server sees no more requests than that, although the transport would send some again by itself."""
    sandbox.fail(Fault(reset=moment), times=None)
    errors = await call_often(amili, 100)
    assert sum(tries_of(errors)) == 100 + RESERVE
    assert len(sandbox.requests) == 100 + RESERVE


async def test_it_recovers_by_itself(amili: AmiliClient, sandbox: Sandbox, told: Told) -> None:
    """Once the server is back every call succeeds at its first try, and two of them earn a retry."""
    sandbox.fail(DOWN, times=None)
    await call_often(amili, 50)
    sandbox.stop_failing()
    sandbox.requests.clear()

    assert await call(amili) is None
    sandbox.fail(DOWN)
    assert tries_of([await call(amili)]) == [1]  # half of a retry is none
    assert await call_often(amili, 1) == [None]
    sandbox.fail(DOWN)
    assert await call(amili) is None  # the second half
    sandbox.fail(DOWN)
    assert tries_of([await call(amili)]) == [1]
    assert len(sandbox.requests) == 6


async def test_the_reserve_fills_up_to_its_brim(amili: AmiliClient, sandbox: Sandbox) -> None:
    """However long all went well, the next outage costs the reserve once."""
    for _ in range(2):
        assert await call_often(amili, 2 * RESERVE + 20) == [None] * (2 * RESERVE + 20)
        sandbox.requests.clear()
        sandbox.fail(DOWN, times=None)
        await call_often(amili, 50)
        assert len(sandbox.requests) == 50 + RESERVE
        sandbox.stop_failing()


async def test_a_short_outage_is_not_noticed(amili: AmiliClient, sandbox: Sandbox, told: Told) -> None:
    """What the reserve can bear, nobody sees: ten callers, each of whose first tries fails."""
    sandbox.fail(DOWN, times=10)
    assert await asyncio.gather(*(call(amili) for _ in range(10))) == [None] * 10
    assert told.retries == 10


async def test_waits_that_the_server_asked_for_are_free(amili: AmiliClient, sandbox: Sandbox) -> None:
    """A server that limits is not down: its 429s leave the reserve as it was."""
    for _ in range(2 * RESERVE):
        sandbox.fail(Fault.too_many_requests(retry_after=2))
        assert await call(amili) is None
    sandbox.requests.clear()
    sandbox.fail(DOWN, times=None)
    await call_often(amili, 50)
    assert len(sandbox.requests) == 50 + RESERVE


async def test_refusals_cost_nothing(amili: AmiliClient, sandbox: Sandbox) -> None:
    """What will not change by asking again neither takes from the reserve nor adds to it."""
    sandbox.fail(Fault(status=404), times=100)
    await call_often(amili, 100)
    assert len(sandbox.requests) == 100
    sandbox.fail(DOWN, times=None)
    await call_often(amili, 50)
    assert len(sandbox.requests) == 150 + RESERVE


@pytest.mark.parametrize("reserve", [0, 1, 7])
async def test_the_reserve_is_the_callers_choice(reserve: int, sandbox: Sandbox, connect: Connect) -> None:
    """With none there are no retries at all."""
    amili = await connect(sandbox, retry=RetryPolicy(retry_budget=reserve), auth=sandbox.token())
    sandbox.fail(DOWN, times=None)
    await call_often(amili, 30)
    assert len(sandbox.requests) == 30 + reserve


async def test_two_clients_have_a_reserve_each(amili: AmiliClient, sandbox: Sandbox, connect: Connect) -> None:
    """One that is new to the outage does not know of it."""
    other = await connect(sandbox, auth=sandbox.token())
    sandbox.fail(DOWN, times=None)
    await call_often(amili, 30)
    assert tries_of([await call(other)]) == [TRIES]


# Walks


async def read(amili: AmiliClient, taken: list[str]) -> AmiliError | None:
    """A whole stream; the error in which it ends."""
    try:
        async with asyncio.timeout(GUARD):
            async for record in amili.payout_specifications.stream():
                taken.append(record.id)  # noqa: PERF401 - what came before an error counts
    except AmiliError as error:
        return error
    return None


async def test_streams_at_once_share_the_reserve(amili: AmiliClient, sandbox: Sandbox, told: Told) -> None:
    """The server goes down under eight streams: they end with the error, and all their retries are the reserve."""
    ids = sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))
    sandbox.fail(DOWN, times=None, after=8 + 5)
    taken: list[list[str]] = [[] for _ in range(8)]
    errors = await asyncio.gather(*(read(amili, each) for each in taken))
    assert sum(isinstance(error, ServerFault) for error in errors) >= 6  # five more pages are whole for one at most
    for each, error in zip(taken, errors, strict=True):
        assert each == (ids if error is None else ids[: len(each)])
    assert told.retries <= RESERVE
    pages = 8 * 4
    assert len(sandbox.requests) <= pages + RESERVE
    assert sum(attempt.attempt == 1 for attempt in told.tries) <= pages

    sandbox.stop_failing()
    taken = [[] for _ in range(8)]
    assert await asyncio.gather(*(read(amili, each) for each in taken)) == [None] * 8
    assert taken == [ids] * 8


async def test_a_stream_begun_in_an_outage_costs_one_request(amili: AmiliClient, sandbox: Sandbox) -> None:
    """Its first page fails fast, and nothing is fetched ahead of it."""
    sandbox.fail(DOWN, times=None)
    await call_often(amili, 50)
    sandbox.requests.clear()
    assert isinstance(await read(amili, []), ServerFault)
    assert len(sandbox.requests) == 1


async def test_an_extraction_outlives_an_outage(amili: AmiliClient, sandbox: Sandbox) -> None:
    """Interrupted again and again while the server is down, it has every record once in the end."""
    taken: list[str] = []
    causes: set[type[BaseException | None]] = set()
    checkpoint = None
    sandbox.fail(DOWN, times=60, after=2)
    for _ in range(100):
        extraction = amili.payout_specifications.extract(checkpoint=checkpoint)
        try:
            async with asyncio.timeout(GUARD):
                async for batch in extraction.batches():
                    taken.extend(record.id for record in batch)
            break
        except ExtractionInterrupted as error:
            causes.add(type(error.__cause__))
            checkpoint = error.checkpoint
    assert sorted(taken) == sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))
    assert extraction.checkpoint.is_finished
    assert causes == {ServerFault}


# Tokens and payments


async def test_a_token_endpoint_that_is_down(amili: AmiliClient, sandbox: Sandbox) -> None:
    """Each call asks once for the token that it lacks, and sends nothing else."""
    sandbox.revoke_tokens()
    sandbox.fail(DOWN, times=None, path=TOKEN_PATH)
    tries_of(await call_often(amili, 100))
    paths = [request.path for request in sandbox.requests]
    assert paths.count(TOKEN_PATH) == 100 + RESERVE
    assert len(paths) == 100 + RESERVE + 1  # the request that found the token out

    sandbox.requests.clear()
    tries_of(list(await asyncio.gather(*(call(amili) for _ in range(50)))))
    assert len(sandbox.requests) == 1  # callers at once share one exchange

    sandbox.stop_failing()
    assert await call_often(amili, 3) == [None] * 3


async def test_payments_in_an_outage(amili: AmiliClient, sandbox: Sandbox, told: Told) -> None:
    """Each is sent once; the looks for it are requests of their own, and only they draw on the reserve."""
    sandbox.fail(DOWN, times=None)
    payments = [replace(PAYMENT, creditor_payment_reference=f"REF-{number}") for number in range(20)]
    for payment in payments:
        with pytest.raises(PaymentOutcomeUnknown):
            async with asyncio.timeout(GUARD):
                await amili.creditor_payments.create(payment, patience=5)
    looks = sum(event.looks for event in told.events if isinstance(event, PaymentLookedFor))
    assert sum(request.method == "POST" for request in sandbox.requests) == 20
    assert len(sandbox.requests) == 20 + looks + RESERVE
    assert sandbox.rows(PAYMENTS) == []

    sandbox.stop_failing()
    for payment in payments:
        assert await amili.creditor_payments.find(payment) is None
        await amili.creditor_payments.create(payment)
    assert len(sandbox.rows(PAYMENTS)) == 20
