"""What the server advises in `Retry-After` and `X-RateLimit-*` is a hint: an odd one neither hurries nor stops us."""

import asyncio
from math import inf

import pytest

from amili_async import RateLimit
from amili_async.errors import ServerFault
from amili_async.events import Event, RetryScheduled
from amili_async.sandbox import Fault
from tests.support.clocks import HastyClock
from tests.support.starting import Connect, StartSandbox


@pytest.mark.parametrize("retry_after", ["0", "0.0", "Thu, 01 Jan 1970 00:00:00 GMT", "-5", "soon"])
async def test_a_retry_after_of_no_time_leaves_our_own_backoff(
    retry_after: str, start_sandbox: StartSandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is down and demands no wait gets its five attempts in seconds, not in milliseconds."""
    monkeypatch.setattr("random.uniform", lambda least, most: most)
    events: list[Event] = []
    sandbox = await start_sandbox()
    amili = await connect(sandbox, observers=[events.append])
    await amili.payouts.count()
    sandbox.fail(Fault.unavailable(retry_after=retry_after), times=5)
    with pytest.raises(ServerFault) as caught:
        await amili.payouts.count()
    assert caught.value.attempts == 5
    assert [event.wait for event in events if isinstance(event, RetryScheduled)] == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize("unit", ["a day ahead", "milliseconds", "another clock"])
async def test_an_odd_reset_pauses_for_an_hour_at_most(
    unit: str, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """After an hour a request is sent, whose response ends the pause for all the calls that wait."""
    resets = {"a day ahead": 86_400, "milliseconds": 60_000, "another clock": int(clock.wall()) + 10_800}
    sandbox = await start_sandbox()
    amili = await connect(sandbox, rate_limit=RateLimit(max_pause=inf))
    sandbox.fail(
        Fault(headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(resets[unit])}), path="/finance--payouts"
    )
    await amili.payouts.count()
    paused_at = clock.now()
    assert await asyncio.gather(*(amili.payouts.count() for _ in range(5))) == [5] * 5
    assert 3600 <= clock.now() - paused_at < 3610
