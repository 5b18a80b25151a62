"""Each fault of the sandbox, as a client observes it."""

import asyncio
import errno
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from amili_async.sandbox import Fault, Sandbox
from tests.support.clocks import GUARD
from tests.support.payments import CASE, CREDITOR

PAYMENT = {
    "creditor": CREDITOR,
    "case": CASE,
    "currency": "SEK",
    "amount": 100,
    "bank_transaction_date": "Fri, 04 Jul 2025 16:20:41 GMT",
    "origin": "creditor_system",
}
PAYMENTS = "creditor--payments"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A small sandbox without a rate limit."""
    async with Sandbox(payouts=2, specifications=10, payments=3, rate_limit=None) as sandbox:
        yield sandbox


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A session that uses each connection once, because aiohttp resends a GET on a stale one."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


async def send(
    http: aiohttp.ClientSession, sandbox: Sandbox, path: str = f"/{PAYMENTS}", *, method: str = "GET", **options: Any
) -> tuple[int, Any, bytes]:
    """Status, headers and body."""
    headers = {"X-API-Key": sandbox.token()}
    async with http.request(method, sandbox.url + path, headers=headers, **options) as response:
        return response.status, response.headers, await response.read()


async def wait_until_idle(sandbox: Sandbox) -> None:
    """Wait until no request is open."""
    async with asyncio.timeout(GUARD):
        while sandbox.in_flight:  # noqa: ASYNC110 - the sandbox has no event for a departure
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("fault", "status", "kind", "header"),
    [
        (Fault.too_many_requests(retry_after=3), 429, "application/json", "3"),
        (Fault.too_many_requests(), 429, "application/json", None),
        (Fault.unavailable(retry_after=7), 503, "text/html; charset=utf-8", "7"),
        (Fault.server_error(), 500, "text/html; charset=utf-8", None),
        (Fault(status=403), 403, "application/json", None),
        (Fault(status=200, body={"token": "x"}), 200, "application/json", None),
        (Fault(status=502, body="<html>"), 502, "text/html; charset=utf-8", None),
    ],
)
async def test_a_false_status_is_sent_once(
    http: aiohttp.ClientSession, sandbox: Sandbox, fault: Fault, status: int, kind: str, header: str | None
) -> None:
    """One request gets the planned answer, the next one the true answer."""
    sandbox.fail(fault)
    got, headers, _ = await send(http, sandbox)
    assert (got, headers["Content-Type"], headers.get("Retry-After")) == (status, kind, header)
    assert (await send(http, sandbox))[0] == 200


@pytest.mark.parametrize(
    ("fault", "stored"),
    [
        (Fault(reset="before"), 0),
        (Fault(reset="after"), 1),
        (Fault(status=502), 0),
        (Fault.server_error(carried_out=True), 1),
        (Fault(cut=5), 1),
        (Fault(cut_head=5), 1),
    ],
)
async def test_a_payment_is_stored_only_where_the_fault_carries_it_out(
    http: aiohttp.ClientSession, sandbox: Sandbox, fault: Fault, stored: int
) -> None:
    """Only some faults carry the request out, whatever the client observes."""
    sandbox.fail(fault)
    try:
        status, *_ = await send(http, sandbox, method="POST", json=PAYMENT)
        assert status == fault.status
    except aiohttp.ClientError:
        assert fault.status is None
    assert len(sandbox.rows(PAYMENTS)) == 3 + stored


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_reset_is_a_tcp_reset(http: aiohttp.ClientSession, sandbox: Sandbox, moment: Any) -> None:
    """The client gets no byte and ECONNRESET, and the journal no status."""
    sandbox.fail(Fault(reset=moment))
    with pytest.raises(aiohttp.ClientOSError) as caught:
        await send(http, sandbox, method="POST", json=PAYMENT)  # aiohttp resends a GET by itself
    assert caught.value.errno == errno.ECONNRESET
    assert [request.status for request in sandbox.requests] == [None]


async def test_a_cut_body_ends_early(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """The headers announce all of the body, and a part of it is sent."""
    sandbox.fail(Fault(cut=20))
    async with http.get(f"{sandbox.url}/{PAYMENTS}", headers={"X-API-Key": sandbox.token()}) as response:
        assert int(response.headers["Content-Length"]) > 1000
        assert await response.content.readexactly(20) == b'{"_items":[{"_id":"6'
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


@pytest.mark.parametrize(
    ("fault", "part"),
    [
        (Fault(cut_head=0), b""),
        (Fault(cut_head=30), b"HTTP/1.1 200 OK\r\nContent-Type:"),
        (Fault(cut_head=13, status=502), b"HTTP/1.1 502 "),
    ],
    ids=["empty", "in a header", "in a false status line"],
)
async def test_a_cut_head_ends_early(sandbox: Sandbox, fault: Fault, part: bytes) -> None:
    """The given number of bytes is sent, then the connection closes."""
    sandbox.fail(fault)
    host, port = sandbox.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /{PAYMENTS} HTTP/1.1\r\nHost: x\r\nX-API-Key: {sandbox.token()}\r\n\r\n".encode())
    assert await reader.read() == part
    writer.close()
    assert [request.status for request in sandbox.requests] == [None]


async def test_a_cut_in_the_headers_is_not_an_answer(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """A client does not accept a status line without the other headers as an answer."""
    sandbox.fail(Fault(cut_head=40))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await send(http, sandbox, method="POST", json=PAYMENT)


async def test_a_hang_can_follow_the_request_carried_out(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """The payment is stored while the client still waits, and no byte is sent."""
    sandbox.fail(Fault(hang=True, carried_out=True))
    is_carried_out = asyncio.Event()
    sandbox.before_each_request(lambda _: is_carried_out.set())
    waiting = asyncio.create_task(send(http, sandbox, method="POST", json=PAYMENT))
    await asyncio.wait_for(is_carried_out.wait(), GUARD)
    assert (len(sandbox.rows(PAYMENTS)), sandbox.in_flight) == (4, 1)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await wait_until_idle(sandbox)
    assert len(sandbox.rows(PAYMENTS)) == 4


@pytest.mark.parametrize("fault", [Fault(hang=True), Fault(cut=9, hang=True), Fault(cut_head=9, hang=True)])
async def test_a_hang_lasts_until_the_client_disconnects(
    http: aiohttp.ClientSession, sandbox: Sandbox, fault: Fault
) -> None:
    """No answer is sent; the request closes when the client disconnects."""
    sandbox.fail(fault)
    with pytest.raises(TimeoutError):
        await send(http, sandbox, timeout=aiohttp.ClientTimeout(total=0.02))
    await wait_until_idle(sandbox)


async def test_a_delay_precedes_the_answer(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """The request of a client that leaves during the delay is still carried out."""
    sandbox.fail(Fault(delay=0.02))
    waiting = asyncio.create_task(send(http, sandbox, method="POST", json=PAYMENT))
    while not sandbox.in_flight:  # noqa: ASYNC110 - the sandbox has no event for an arrival
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await wait_until_idle(sandbox)
    assert len(sandbox.rows(PAYMENTS)) == 4


async def test_a_revocation_applies_to_the_request_itself(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """The token of the request is already rejected."""
    sandbox.fail(Fault(revoke=True))
    assert [(await send(http, sandbox))[0] for _ in range(2)] == [401, 200]


async def test_a_plan_selects_its_requests(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """A fault is planned by method, resource or prefix, for a number of requests, after some of them."""
    payouts, specifications = "/finance--payouts", "/finance--payout-specifications"
    sandbox.fail(Fault(status=503), path="finance--payouts", times=2, after=1)
    sandbox.fail(Fault(status=502), path="/finance--payout-", method="get", times=None)
    sandbox.fail(Fault(status=500), method="POST")
    assert [(await send(http, sandbox, payouts))[0] for _ in range(4)] == [200, 503, 503, 200]
    assert [(await send(http, sandbox, specifications))[0] for _ in range(3)] == [502, 502, 502]
    assert [(await send(http, sandbox, method="POST", json=PAYMENT))[0] for _ in range(2)] == [500, 201]
    sandbox.stop_failing()
    assert (await send(http, sandbox, specifications))[0] == 200


async def test_faults_are_queued(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """One fault applies to one request, in the order of planning."""
    for status in (503, 429):
        sandbox.fail(Fault(status=status))
    assert [(await send(http, sandbox))[0] for _ in range(3)] == [503, 429, 200]


@pytest.mark.parametrize(
    "fields",
    [
        {"reset": "before", "status": 500},
        {"reset": "after", "cut": 3},
        {"reset": "after", "hang": True},
        {"body": "x"},
        {"carried_out": True},
        {"carried_out": True, "cut": 3},
        {"carried_out": True, "cut": 3, "hang": True},
        {"carried_out": True, "cut_head": 3, "hang": True},
        {"carried_out": True, "reset": "after"},
        {"cut": 3, "cut_head": 3},
        {"reset": "after", "cut_head": 3},
        {"hang": True, "status": 500},
        {"delay": -1},
        {"cut": -1},
        {"cut_head": -1},
    ],
)
def test_contradictory_faults_raise(fields: dict[str, Any]) -> None:
    """Fields that exclude each other are a ValueError that names them."""
    with pytest.raises(ValueError, match=r"must be absent|needs|exclude each other|must not be negative"):
        Fault(**fields)


async def test_a_gateway_page_is_not_json(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """The body of a 503 is HTML, which a JSON decoder rejects."""
    sandbox.fail(Fault.unavailable())
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads((await send(http, sandbox))[2])
