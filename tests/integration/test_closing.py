"""Closing a client ends every call in flight at once, in each phase of a request, and without cancelling its caller."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from amili_async import AmiliClient, RateLimit, RetryPolicy
from amili_async.errors import AmiliError, ClientClosed, ConfigurationError, PaymentOutcomeUnknown
from amili_async.events import Event, RateLimiterPaused
from amili_async.sandbox import Fault
from tests.support.clocks import GUARD, MovedClock, on_clock, settle
from tests.support.hostile_scene import HostileScene
from tests.support.hostile_server import Exchange, Misdeed, drip, execute_then_send
from tests.support.operations import PAYMENT
from tests.support.starting import Connect, StartSandbox


async def read_first_batch(amili: AmiliClient) -> None:
    async for _ in amili.payout_specifications.extract().batches():
        break


CALLS: dict[str, Callable[[AmiliClient], Awaitable[Any]]] = {
    "get": lambda amili: amili.payouts.get("0" * 24),
    "page": lambda amili: amili.payout_specifications.page(),
    "count": lambda amili: amili.payouts.count(),
    "first": lambda amili: amili.payouts.stream().first(),
    "collect": lambda amili: amili.payouts.stream().collect(),
    "extract": read_first_batch,
    "for_each": lambda amili: amili.payouts.extract().for_each(lambda _: asyncio.sleep(0)),
    "for_each of a stream": lambda amili: amili.payouts.stream().for_each(lambda _: asyncio.sleep(0)),
    "sweep": lambda amili: amili.payouts.sweep(["0" * 24]),
    "find": lambda amili: amili.creditor_payments.find(PAYMENT),
    "create": lambda amili: amili.creditor_payments.create(PAYMENT),
}


async def hang(exchange: Exchange) -> None:
    """Read the request, and never answer."""
    await exchange.hang()


SILENCES: dict[str, Misdeed] = {
    "before the head": hang,
    "in the head": execute_then_send(lambda true: true.raw[:20], then="hang"),
    "after the head": execute_then_send(lambda true: true.head(length=len(true.body)), then="hang"),
    "in the body": execute_then_send(lambda true: true.raw[:-5], then="hang"),
    "a byte at a time": drip(0.05),
}


def check_end(task: "asyncio.Task[Any]", *, may_be_sent: bool) -> None:
    """The call ended with `ClientClosed`, and its task was not cancelled."""
    assert task.done()
    assert not task.cancelled()
    error = task.exception()
    if isinstance(error, PaymentOutcomeUnknown):
        assert may_be_sent
        error = error.__cause__
    cause = error if isinstance(error, ClientClosed) else getattr(error, "__cause__", None)
    assert isinstance(cause, ClientClosed), repr(error)


@pytest.mark.parametrize("silence", SILENCES)
@pytest.mark.parametrize("call", CALLS)
async def test_a_call_ends_at_once_while_the_server_is_silent(call: str, silence: str, scene: HostileScene) -> None:
    """Before, in and after the head and in the body: no timeout has to pass, and nothing is retried."""
    await scene.open()
    scene.server.plan(SILENCES[silence], times=None)
    task = asyncio.ensure_future(CALLS[call](scene.amili))
    async with asyncio.timeout(GUARD):
        while not scene.server.received:
            await settle(1)
    await settle(30)
    received = len(scene.server.received)
    await scene.amili.aclose()
    await settle(30)
    check_end(task, may_be_sent=True)
    assert len(scene.server.received) == received


async def test_a_call_ends_at_once_while_it_waits_for_its_next_attempt(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Neither `Retry-After` nor backoff delays the end, and a client that is opened again sends nothing for it."""
    sandbox, clock = await start_sandbox(), MovedClock()
    amili = await connect(sandbox, auth=sandbox.token(), clock=clock)
    for fault in (Fault.too_many_requests(retry_after=60), Fault.unavailable(), Fault(reset="after")):
        sandbox.fail(fault)
        task = asyncio.ensure_future(amili.payouts.count())
        async with asyncio.timeout(GUARD):
            while not clock.timers:
                await settle(1)
        await amili.aclose()
        await settle()
        check_end(task, may_be_sent=True)
        await amili.open()
        requests = len(sandbox.requests)
        await clock.move(1000)
        assert len(sandbox.requests) == requests


async def test_a_payment_ends_at_once_while_it_waits_for_its_next_lookup(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Its outcome is unknown then, and the reopened client makes no further look-up for it."""
    sandbox, clock = await start_sandbox(payments=0), MovedClock()
    amili = await connect(sandbox, auth=sandbox.token(), clock=clock)
    sandbox.fail(Fault(reset="before"), method="POST")
    task = asyncio.ensure_future(amili.creditor_payments.create(PAYMENT))
    async with asyncio.timeout(GUARD):
        while not clock.timers:
            await settle(1)
    requests = len(sandbox.requests)
    await amili.aclose()
    await settle()
    assert isinstance(task.exception(), PaymentOutcomeUnknown)
    await amili.open()
    await clock.move(1000)
    assert len(sandbox.requests) == requests


async def test_calls_of_a_caller_that_was_cancelled_before_end_in_the_same_way(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A worker that once caught a cancellation gets an error of the package, whatever it waits for."""
    sandbox = await start_sandbox()
    sandbox.fail(Fault(hang=True), times=None)
    for call in CALLS.values():
        amili = await connect(sandbox, retry=RetryPolicy(attempts=1))

        async def work(amili: AmiliClient = amili, call: Callable[[AmiliClient], Awaitable[Any]] = call) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await call(amili)

        task = asyncio.ensure_future(work())
        await settle(1)
        task.cancel()
        await settle(30)
        await amili.aclose()
        await settle(30)
        assert task.done()
        assert isinstance(task.exception(), AmiliError)


# Owners


async def test_a_second_owner_of_an_open_client_is_rejected(start_sandbox: StartSandbox) -> None:
    """The first exit would close it for both; the error tells how to share it, and the first owner is unaffected."""
    sandbox = await start_sandbox()
    async with AmiliClient(sandbox.url, auth=sandbox.token(), rate_limit=None) as amili:
        with pytest.raises(ConfigurationError, match=r"^the client is open already: .* share"):
            async with amili:
                pass
        assert await amili.payouts.count() == 5
    async with amili:
        assert await amili.payouts.count() == 5


@pytest.mark.parametrize("closes_first", [True, False])
async def test_closing_one_client_leaves_a_shared_rate_limiter_open(
    closes_first: bool, start_sandbox: StartSandbox
) -> None:
    """A rate limiter is borrowed, also that of the first client: the calls of another that wait in it go on."""
    sandbox, clock = await start_sandbox(), MovedClock()
    client, token = on_clock(clock), sandbox.token()
    first = client(sandbox.url, auth=token, rate_limit=RateLimit(per_second=1))
    second = client(sandbox.url, auth=token, rate_limit=first.rate_limiter)
    closing, other = (first, second) if closes_first else (second, first)
    async with other:
        async with closing:
            await closing.payouts.count()
            waiting = asyncio.ensure_future(closing.payouts.count())
            theirs = asyncio.ensure_future(other.payouts.count())
            await settle()
            assert first.rate_limiter.waiting == 2
        await settle()
        check_end(waiting, may_be_sent=False)
        assert not theirs.done()
        async with asyncio.timeout(GUARD):
            while not theirs.done():
                await clock.move(1)
        assert theirs.result() == 5


async def test_each_client_of_a_rate_limiter_has_its_events_while_it_is_open(start_sandbox: StartSandbox) -> None:
    """The pause after a 429 concerns all clients of the key; one that is closed gets no events."""
    sandbox = await start_sandbox()
    seen: tuple[list[Event], list[Event]] = ([], [])
    first = AmiliClient(sandbox.url, auth=sandbox.token(), observers=[seen[0].append])
    limiter = first.rate_limiter
    async with first, AmiliClient(sandbox.url, auth="x", rate_limit=limiter, observers=[seen[1].append]) as second:
        await first.payouts.count()
        limiter.on_rate_limited(1.0)
        await second.aclose()
        limiter.on_rate_limited(2.0)
    paused = [[event.seconds for event in events if isinstance(event, RateLimiterPaused)] for events in seen]
    assert paused == [[pytest.approx(1.0), pytest.approx(2.0, abs=0.1)], [pytest.approx(1.0)]]


async def test_a_borrowed_session_of_another_loop_is_rejected_when_the_client_is_opened() -> None:
    """The error is raised before anything is sent, and names the argument."""

    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    session = await asyncio.to_thread(lambda: asyncio.run(make()))
    with pytest.raises(ConfigurationError, match=r"^session was created in another event loop"):
        await AmiliClient(auth="token", session=session).open()
    await session.close()
