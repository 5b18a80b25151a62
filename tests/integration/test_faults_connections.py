"""Connections that lead elsewhere, are refused, or are kept too long, and what is sent on them.

The law: a credential goes to the host that the caller named and to no other, and an answer belongs to one request.
"""

import socket
from contextlib import AsyncExitStack

import aiohttp
import pytest

from amili_async import RetryPolicy
from amili_async.errors import ApiError, ConnectionFailed, PaymentOutcomeUnknown, TimedOut
from amili_async.sandbox import Fault
from tests.support.clocks import settle
from tests.support.hostile_scene import ATTEMPTS, HostileScene
from tests.support.hostile_server import HostileServer, redirect
from tests.support.operations import CREATE, EXTRACT, GET, READING, STREAM, TOKEN_PATH, WHOLE, Fails, Operation, name_of
from tests.support.payments import PAYMENTS
from tests.support.starting import Connect, StartSandbox

# Elsewhere


@pytest.mark.parametrize("operation", [GET, STREAM, EXTRACT, CREATE], ids=name_of)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_nobody_is_sent_elsewhere(
    status: int, operation: Operation, scene: HostileScene, resources: AsyncExitStack
) -> None:
    """A redirect to another host ends in an error; that host is never contacted, so the key stays here."""
    await scene.open()
    elsewhere = await resources.enter_async_context(HostileServer(scene.sandbox))
    scene.server.plan(redirect(status, f"{elsewhere.url}/{operation.path}"), method=operation.method)
    within = PaymentOutcomeUnknown if operation is CREATE else None
    await scene.hold(operation, Fails(ApiError, {"status": status, "attempts": 1}, within=within))
    assert elsewhere.connections == 0
    assert scene.sandbox.rows(PAYMENTS) == [] or operation is CREATE


@pytest.mark.parametrize("operation", READING, ids=name_of)
async def test_a_token_endpoint_elsewhere_is_not_asked(
    operation: Operation, scene: HostileScene, resources: AsyncExitStack
) -> None:
    """Nor does the signed request for a token travel."""
    await scene.open(uses_key=True)
    elsewhere = await resources.enter_async_context(HostileServer(scene.sandbox))
    scene.sandbox.revoke_tokens()
    scene.server.plan(redirect(307, f"{elsewhere.url}{TOKEN_PATH}"), path=TOKEN_PATH)
    await scene.hold(operation, Fails(ApiError, {"status": 307, "attempts": 1, "request": f"GET {TOKEN_PATH}"}))
    assert elsewhere.connections == 0


# Before anything is sent


@pytest.mark.parametrize("operation", [*READING, CREATE], ids=name_of)
async def test_where_nobody_listens_nothing_was_sent(operation: Operation, scene: HostileScene) -> None:
    """A refused connection is tried again, also for a payment, and is no unknown outcome."""
    await scene.open()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    scene.redirect_client(address)
    await scene.hold(
        operation, Fails(ConnectionFailed, {"was_sent": False, "was_not_processed": True, "attempts": ATTEMPTS})
    )


@pytest.mark.parametrize("operation", [GET, CREATE], ids=name_of)
async def test_a_host_that_does_not_take_the_connection(operation: Operation, scene: HostileScene) -> None:
    """Where the connection cannot be made in time, nothing was sent."""
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
    """No secret is sent to whoever cannot show a certificate."""
    await scene.open()
    scene.sandbox.requests.clear()
    scene.redirect_client(scene.sandbox.url.replace("http:", "https:"))
    ending = Fails(ConnectionFailed, {"was_sent": False, "was_not_processed": True, "attempts": ATTEMPTS})
    await scene.hold(operation, ending)


# Connections that are kept


LATE_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("last_words", [b"", LATE_TIMEOUT], ids=["silently", "with a 408"])
@pytest.mark.parametrize("operation", [*READING, CREATE], ids=name_of)
async def test_idle_connections_that_the_server_has_closed(
    operation: Operation, last_words: bytes, scene: HostileScene
) -> None:
    """They are not used again: nothing fails, and nothing is sent twice."""
    await scene.open()
    await scene.hold(STREAM, WHOLE)
    scene.server.received.clear()
    assert scene.server.send_unrequested(last_words, then_close=True) >= 1
    await settle(100)
    await scene.hold(operation, WHOLE)
    assert len({each.raw for each in scene.server.received}) == len(scene.server.received)


@pytest.mark.parametrize("operation", READING, ids=name_of)
async def test_connections_that_the_server_closes_in_the_moment_of_use(
    operation: Operation, scene: HostileScene
) -> None:
    """What reads is whole all the same."""
    await scene.open()
    await scene.hold(STREAM, WHOLE)
    scene.server.send_unrequested(b"", then_close=True)
    await scene.hold(operation, WHOLE)


@pytest.mark.parametrize("operation", [*READING, CREATE], ids=name_of)
async def test_an_answer_that_nobody_asked_for_is_nobodys(operation: Operation, scene: HostileScene) -> None:
    """What came on an idle connection is not taken for the answer to the next request."""
    await scene.open(uses_key=True)
    false = b'{"_items": [], "_meta": {"page": 1, "max_results": 10, "total": 0}, "_id": "674dbeb208847b9501cc9138"}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(false)
    assert scene.server.send_unrequested(head + false, then_close=False) == 1
    await settle(100)
    await scene.hold(operation, WHOLE)
    assert len(scene.sandbox.rows(PAYMENTS)) == (operation is CREATE)


async def test_a_borrowed_session_keeps_what_its_owner_put_into_it(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Its middlewares see each request once, and a reset is not followed by a request that nobody counted."""
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
