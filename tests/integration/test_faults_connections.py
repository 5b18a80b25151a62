"""Redirected, rejected and stale connections, and what is sent on them.

Invariant: a credential is sent only to the host that the caller named, and a response belongs to one request.
"""

import socket
from contextlib import AsyncExitStack

import aiohttp
import pytest

from amili_async import RetryPolicy
from amili_async.errors import ApiError, ConnectionFailed, PaymentOutcomeUnknown, TimedOut
from amili_async.sandbox import Fault
from tests.support import internals
from tests.support.clocks import happens
from tests.support.hostile_scene import ATTEMPTS, HostileScene
from tests.support.hostile_server import HostileServer, redirect
from tests.support.operations import CREATE, EXTRACT, GET, READING, STREAM, TOKEN_PATH, WHOLE, Fails, Operation, name_of
from tests.support.payments import PAYMENTS
from tests.support.ports import reserve_port
from tests.support.starting import Connect, StartSandbox

# Redirects


@pytest.mark.parametrize("operation", [GET, STREAM, EXTRACT, CREATE], ids=name_of)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(
    status: int, operation: Operation, scene: HostileScene, resources: AsyncExitStack
) -> None:
    """A redirect to another host raises; that host is never contacted, so it never receives the key."""
    await scene.open()
    other = await resources.enter_async_context(HostileServer(scene.sandbox))
    scene.server.plan(redirect(status, f"{other.url}/{operation.path}"), method=operation.method)
    within = PaymentOutcomeUnknown if operation is CREATE else None
    await scene.hold(operation, Fails(ApiError, {"status": status, "attempts": 1}, within=within))
    assert other.connections == 0
    assert scene.sandbox.rows(PAYMENTS) == [] or operation is CREATE


@pytest.mark.parametrize("operation", READING, ids=name_of)
async def test_no_redirect_of_a_token_request_is_followed(
    operation: Operation, scene: HostileScene, resources: AsyncExitStack
) -> None:
    """The signed token request is not sent to another host either."""
    await scene.open(uses_key=True)
    other = await resources.enter_async_context(HostileServer(scene.sandbox))
    scene.sandbox.revoke_tokens()
    scene.server.plan(redirect(307, f"{other.url}{TOKEN_PATH}"), path=TOKEN_PATH)
    await scene.hold(operation, Fails(ApiError, {"status": 307, "attempts": 1, "request": f"GET {TOKEN_PATH}"}))
    assert other.connections == 0


# Before a request is sent


@pytest.mark.parametrize("operation", [*READING, CREATE], ids=name_of)
async def test_a_refused_connection_sent_nothing(operation: Operation, scene: HostileScene) -> None:
    """A refused connection is retried, also for a payment, whose outcome is certain."""
    await scene.open()
    with reserve_port() as port:
        scene.redirect_client(f"http://127.0.0.1:{port}")
        await scene.hold(
            operation, Fails(ConnectionFailed, {"was_sent": False, "was_not_processed": True, "attempts": ATTEMPTS})
        )


@pytest.mark.parametrize("operation", [GET, CREATE], ids=name_of)
async def test_a_host_that_does_not_accept_the_connection(operation: Operation, scene: HostileScene) -> None:
    """A connection that is not made in time sent nothing."""
    await scene.open(time_passes=True, retry=RetryPolicy(attempts=2))
    full = socket.socket()
    waiting = [socket.socket() for _ in range(4)]
    try:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        scene.redirect_client(f"http://127.0.0.1:{full.getsockname()[1]}")
        await scene.hold(operation, Fails(TimedOut, {"was_sent": False, "was_not_processed": True, "attempts": 2}))
    finally:
        for each in [full, *waiting]:
            each.close()


@pytest.mark.parametrize("operation", [GET, CREATE], ids=name_of)
async def test_a_server_that_does_not_speak_tls(operation: Operation, scene: HostileScene) -> None:
    """No credential is sent to a server without a certificate."""
    await scene.open()
    scene.sandbox.requests.clear()
    scene.redirect_client(scene.sandbox.url.replace("http:", "https:"))
    ending = Fails(ConnectionFailed, {"was_sent": False, "was_not_processed": True, "attempts": ATTEMPTS})
    await scene.hold(operation, ending)


# Idle connections


LATE_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("last_words", [b"", LATE_TIMEOUT], ids=["silently", "with a 408"])
@pytest.mark.parametrize("operation", [*READING, CREATE], ids=name_of)
async def test_idle_connections_that_the_server_has_closed(
    operation: Operation, last_words: bytes, scene: HostileScene
) -> None:
    """They are not reused: nothing fails, and nothing is sent twice."""
    await scene.open()
    await scene.hold(STREAM, WHOLE)
    scene.server.received.clear()
    assert scene.server.send_unrequested(last_words, then_close=True) >= 1
    await happens(lambda: not internals.has_usable_idle_connections(scene.amili))
    await scene.hold(operation, WHOLE)
    assert len({each.raw for each in scene.server.received}) == len(scene.server.received)


@pytest.mark.parametrize("operation", READING, ids=name_of)
async def test_connections_that_the_server_closes_as_they_are_reused(operation: Operation, scene: HostileScene) -> None:
    """A read still delivers everything."""
    await scene.open()
    await scene.hold(STREAM, WHOLE)
    scene.server.send_unrequested(b"", then_close=True)
    await scene.hold(operation, WHOLE)


@pytest.mark.parametrize("is_borrowed", [False, True], ids=["own session", "borrowed session"])
@pytest.mark.parametrize("operation", [*READING, CREATE], ids=name_of)
async def test_an_unrequested_response_is_ignored(
    operation: Operation, is_borrowed: bool, scene: HostileScene, resources: AsyncExitStack
) -> None:
    """Bytes received on an idle connection are not taken for the response to the next request."""
    session = await resources.enter_async_context(aiohttp.ClientSession()) if is_borrowed else None
    await scene.open(uses_key=True, session=session)
    false = b'{"_items": [], "_meta": {"page": 1, "max_results": 10, "total": 0}, "_id": "674dbeb208847b9501cc9138"}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(false)
    assert scene.server.send_unrequested(head + false, then_close=False) == 1
    await happens(lambda: not internals.has_usable_idle_connections(scene.amili))
    await scene.hold(operation, WHOLE)
    assert len(scene.sandbox.rows(PAYMENTS)) == (operation is CREATE)


async def test_a_borrowed_session_keeps_its_middlewares(start_sandbox: StartSandbox, connect: Connect) -> None:
    """They receive each request once, and a reset is not followed by an uncounted request."""
    sandbox = await start_sandbox()
    seen: list[str] = []

    async def note(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        seen.append(request.method)
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=(note,)) as borrowed:
        amili = await connect(sandbox, session=borrowed, auth=sandbox.token(), retry=RetryPolicy(attempts=1))
        await amili.payouts.count()
        sandbox.fail(Fault(reset="before"))
        with pytest.raises(ConnectionFailed):
            await amili.payouts.count()
    assert (seen, len(sandbox.requests)) == (["GET", "GET"], 2)
