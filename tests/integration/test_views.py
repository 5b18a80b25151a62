"""A view of a client, made by `with_options()`: what it shares with the client, and what it has of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from amili_async import AmiliClient, RateLimit, RetryPolicy
from amili_async.errors import (
    BudgetExhausted,
    ClientClosed,
    ConfigurationError,
    PaymentOutcomeUnknown,
    ServerFault,
    TimedOut,
)
from amili_async.events import Event, PermitAcquired, RateLimiterPaused
from amili_async.sandbox import Fault
from tests.support import internals
from tests.support.clocks import happens
from tests.support.operations import PAYMENT
from tests.support.starting import Connect, StartSandbox


async def test_client_and_views_share_one_token_and_one_rate_limiter(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """However many views there are, one token is fetched, and each permit is of the same limiter."""
    events: list[Event] = []
    sandbox = await start_sandbox()
    amili = await connect(sandbox, rate_limit=RateLimit(), observers=[events.append])
    views = [amili, amili.with_options(page_size=10), amili.with_options(timeout=5).with_options(max_wait=1)]
    await asyncio.gather(*(view.payouts.count() for view in views))
    assert {id(view.rate_limiter) for view in views} == {id(amili.rate_limiter)}
    assert {id(view.auth) for view in views} == {id(amili.auth)}
    assert [request.path for request in sandbox.requests].count("/authenticates/api-code") == 1
    assert amili.rate_limiter.remaining == 96
    assert len([event for event in events if isinstance(event, PermitAcquired)]) == 4


async def test_each_option_of_a_view_replaces_that_of_the_client(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Those that are not given stay, also those of a view of which a view is made; the client's stay as they are."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox, page_size=50, headers={"X-Tenant": "north", "user-agent": "ledger/1"})
    view = amili.with_options(page_size=10).with_options(headers={"X-Team": "finance"})
    plain = amili.with_options(headers=None)
    for client in (amili, view, plain):
        await client.payout_specifications.page()
    first, second, third = sandbox.requests[-3:]
    assert [request.query["max_results"] for request in (first, second, third)] == ["50", "10", "50"]
    assert (first.headers["x-tenant"], first.headers["user-agent"]) == ("north", "ledger/1")
    assert second.headers["x-team"] == "finance"
    assert "x-tenant" not in second.headers
    assert "x-tenant" not in third.headers
    assert second.headers["user-agent"].startswith("amili-async/")
    assert "north" not in f"{amili!r} {view!r}"


async def test_a_view_waits_no_longer_than_its_max_wait(start_sandbox: StartSandbox, connect: Connect) -> None:
    """With the minute used up its calls fail at once, and those of the client wait."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox, auth=sandbox.token(), rate_limit=RateLimit(per_minute=2))
    view = amili.with_options(max_wait=2)
    assert [await view.payouts.count() for _ in range(2)] == [5, 5]
    with pytest.raises(BudgetExhausted):
        await view.payouts.count()
    assert await amili.payouts.count() == 5


async def test_a_view_has_a_timeout_and_a_retry_policy_of_its_own(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """The error names the view's timeout; the client attempts five times, the view once."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox, auth=sandbox.token())
    await amili.payouts.count()  # a connection is there, so that the time is not spent on making one
    sandbox.fail(Fault(hang=True))
    with pytest.raises(TimedOut, match=r"within 0\.05 s"):
        await amili.with_options(timeout=0.05, retry=RetryPolicy(attempts=1)).payouts.count()
    sandbox.stop_failing()  # the request may have ended before it was sent
    view = amili.with_options(retry=RetryPolicy(attempts=1))
    sandbox.fail(Fault.unavailable(), times=6)
    for client, attempts in ((view, 1), (amili, 5)):
        with pytest.raises(ServerFault) as caught:
            await client.payouts.count()
        assert caught.value.attempts == attempts


async def test_client_and_views_share_the_retry_budget(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Of a budget of three a view uses two, whatever its own policy is, so that one is left to the client."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox, auth=sandbox.token(), retry=RetryPolicy(retry_budget=3))
    view = amili.with_options(retry=RetryPolicy(attempts=3, retry_budget=100))
    sandbox.fail(Fault.unavailable(), times=None)
    for client, attempts in ((view, 3), (amili, 2)):
        with pytest.raises(ServerFault) as caught:
            await client.payouts.count()
        assert caught.value.attempts == attempts


OPENINGS: dict[str, Callable[[AmiliClient], Awaitable[Any]]] = {
    "open": lambda view: view.open(),
    "aclose": lambda view: view.aclose(),
    "async with": lambda view: view.__aenter__(),
}


@pytest.mark.parametrize("how", OPENINGS)
async def test_a_view_cannot_be_opened_or_closed(how: str, start_sandbox: StartSandbox, connect: Connect) -> None:
    """Its end would be that of all others; it is open while the client is."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    view = amili.with_options(max_wait=1)
    with pytest.raises(ConfigurationError, match="a view of a client cannot be opened or closed"):
        await OPENINGS[how](view)
    assert await view.payouts.count() == await amili.payouts.count()
    await amili.aclose()
    with pytest.raises(ConfigurationError, match="not open"):
        await view.payouts.count()


async def test_a_view_may_be_made_before_the_client_is_opened(start_sandbox: StartSandbox) -> None:
    """The views of a program can be made where it is configured."""
    sandbox = await start_sandbox()
    amili = AmiliClient(sandbox.url, auth=sandbox.token(), rate_limit=None)
    view = amili.with_options(page_size=5)
    assert repr(view) == f"AmiliClient({sandbox.url!r}, closed, a view)"
    async with amili:
        assert await view.payouts.count() == 5


async def test_closing_the_client_ends_the_calls_of_its_views(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Each raises `ClientClosed`, whatever it waits for."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox, auth=sandbox.token())
    sandbox.fail(Fault(hang=True), times=None)
    call = asyncio.ensure_future(amili.with_options(page_size=5).payouts.count())
    await happens(lambda: internals.running_calls(amili))
    await amili.aclose()
    with pytest.raises(ClientClosed):
        await call


async def test_a_pause_is_reported_once_to_the_observers_of_client_and_views(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """They share their observers too."""
    events: list[Event] = []
    sandbox = await start_sandbox()
    amili = await connect(sandbox, rate_limit=RateLimit(), observers=[events.append])
    amili.with_options(max_wait=1).with_options(page_size=5).rate_limiter.on_rate_limited(1.0)
    assert len([event for event in events if isinstance(event, RateLimiterPaused)]) == 1


async def test_client_and_views_never_send_the_same_payment_twice(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """What one of them is registering, the other does not send; what one has registered, the other knows."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    view = amili.with_options(timeout=5)
    results = await asyncio.gather(
        *(each.creditor_payments.create(PAYMENT) for each in (amili, view)), return_exceptions=True
    )
    assert [type(result).__name__ for result in results] == ["CreatedPayment", "PaymentNotSent"]
    again = await view.creditor_payments.create(PAYMENT)
    assert (again.was_found, again.id) == (True, getattr(results[0], "id", None))
    assert [request.method for request in sandbox.requests].count("POST") == 1


async def test_a_payment_in_doubt_is_looked_up_by_a_view(start_sandbox: StartSandbox, connect: Connect) -> None:
    """The client's response was lost: a view finds the payment instead of sending it again."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    sandbox.fail(Fault(reset="after"), path="/creditor--payments")
    with pytest.raises(PaymentOutcomeUnknown):
        await amili.creditor_payments.create(PAYMENT, lookup_timeout=0)
    assert (await amili.with_options(timeout=5).creditor_payments.create(PAYMENT)).was_found
    assert [request.method for request in sandbox.requests].count("POST") == 1
