"""What the server advises in `Retry-After` and `X-RateLimit-*` is a hint: an odd one neither hurries nor stops us."""

import pytest

from amili_async.errors import ServerFault
from amili_async.events import Event, RetryScheduled
from amili_async.sandbox import Fault
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
