"""Each way in which the sandbox can be told to fail, as a client sees it."""

import asyncio
import errno
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from amili_async.sandbox import Fault, Sandbox

PAYMENT = {
    "creditor": "674dbeb208847b9501cc9138",
    "case": "68678eda88b9226bb78d7169",
    "currency": "SEK",
    "amount": 100,
    "bank_transaction_date": "Fri, 04 Jul 2025 16:20:41 GMT",
    "origin": "creditor_system",
}
PAYMENTS = "creditor--payments"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A small sandbox without a limit."""
    async with Sandbox(payouts=2, specifications=10, payments=3, rate_limit=None) as sandbox:
        yield sandbox


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that uses each connection once, so that it resends nothing by itself."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


async def ask(
    http: aiohttp.ClientSession, sandbox: Sandbox, path: str = f"/{PAYMENTS}", *, method: str = "GET", **options: Any
) -> tuple[int, Any, bytes]:
    """Status, headers and body."""
    headers = {"X-API-Key": sandbox.token()}
    async with http.request(method, sandbox.url + path, headers=headers, **options) as response:
        return response.status, response.headers, await response.read()


async def settle(sandbox: Sandbox) -> None:
    """Wait until no request is open."""
    for _ in range(200):
        if not sandbox.in_flight:
            return
        await asyncio.sleep(0.005)
    pytest.fail("a request is still open")


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
async def test_a_status_is_answered_once(
    http: aiohttp.ClientSession, sandbox: Sandbox, fault: Fault, status: int, kind: str, header: str | None
) -> None:
    """The planned answer comes for one request, the true one for the next."""
    sandbox.fail(fault)
    got, headers, _ = await ask(http, sandbox)
    assert (got, headers["Content-Type"], headers.get("Retry-After")) == (status, kind, header)
    assert (await ask(http, sandbox))[0] == 200


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
async def test_a_payment_is_stored_or_not_whatever_the_client_sees(
    http: aiohttp.ClientSession, sandbox: Sandbox, fault: Fault, stored: int
) -> None:
    """Before, after and instead: only some faults let the request be carried out."""
    sandbox.fail(fault)
    try:
        status, *_ = await ask(http, sandbox, method="POST", json=PAYMENT)
        assert status == fault.status
    except aiohttp.ClientError:
        assert fault.status is None
    assert len(sandbox.rows(PAYMENTS)) == 3 + stored


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_reset_is_a_reset(http: aiohttp.ClientSession, sandbox: Sandbox, moment: Any) -> None:
    """The client gets no byte and no orderly end, and the journal no status."""
    sandbox.fail(Fault(reset=moment))
    with pytest.raises(aiohttp.ClientOSError) as caught:
        await ask(http, sandbox, method="POST", json=PAYMENT)  # a GET would be sent again by the client itself
    assert caught.value.errno == errno.ECONNRESET
    assert [request.status for request in sandbox.requests] == [None]


async def test_a_cut_body_ends_early(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """All is announced and a part is sent."""
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
    ids=["nothing", "in a header", "in a false status line"],
)
async def test_a_cut_head_ends_early(sandbox: Sandbox, fault: Fault, part: bytes) -> None:
    """So many bytes come, then an orderly end."""
    sandbox.fail(fault)
    host, port = sandbox.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /{PAYMENTS} HTTP/1.1\r\nHost: x\r\nX-API-Key: {sandbox.token()}\r\n\r\n".encode())
    assert await reader.read() == part
    writer.close()
    assert [request.status for request in sandbox.requests] == [None]


async def test_a_cut_within_the_headers_is_no_answer(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """A client does not take a status line for an answer."""
    sandbox.fail(Fault(cut_head=40))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await ask(http, sandbox, method="POST", json=PAYMENT)


async def test_a_hang_can_come_after_the_fact(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """The payment is stored while the client still waits, and nothing comes."""
    sandbox.fail(Fault(hang=True, carried_out=True))
    is_carried_out = asyncio.Event()
    sandbox.before_each_request(lambda _: is_carried_out.set())
    waiting = asyncio.create_task(ask(http, sandbox, method="POST", json=PAYMENT))
    await asyncio.wait_for(is_carried_out.wait(), 10)
    assert (len(sandbox.rows(PAYMENTS)), sandbox.in_flight) == (4, 1)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await settle(sandbox)
    assert len(sandbox.rows(PAYMENTS)) == 4


@pytest.mark.parametrize("fault", [Fault(hang=True), Fault(cut=9, hang=True), Fault(cut_head=9, hang=True)])
async def test_a_hang_lasts_until_the_client_leaves(
    http: aiohttp.ClientSession, sandbox: Sandbox, fault: Fault
) -> None:
    """Nothing comes; when the client has gone away the request is no longer open."""
    sandbox.fail(fault)
    with pytest.raises(TimeoutError):
        await ask(http, sandbox, timeout=aiohttp.ClientTimeout(total=0.02))
    await settle(sandbox)


async def test_a_delay_comes_before_the_answer(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """A client that gives up meanwhile has its request carried out all the same."""
    sandbox.fail(Fault(delay=0.02))
    with pytest.raises(TimeoutError):
        await ask(http, sandbox, method="POST", json=PAYMENT, timeout=aiohttp.ClientTimeout(total=0.01))
    await settle(sandbox)
    assert len(sandbox.rows(PAYMENTS)) == 4


async def test_a_revocation_meets_the_request_itself(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """The token that came with the request is the first to be refused."""
    sandbox.fail(Fault(revoke=True))
    assert [(await ask(http, sandbox))[0] for _ in range(2)] == [401, 200]


async def test_a_plan_chooses_its_requests(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """By method, by resource, by prefix, a number of times, after some have passed."""
    payouts, specifications = "/finance--payouts", "/finance--payout-specifications"
    sandbox.fail(Fault(status=503), path="finance--payouts", times=2, after=1)
    sandbox.fail(Fault(status=502), path="/finance--payout-", method="get", times=None)
    sandbox.fail(Fault(status=500), method="POST")
    assert [(await ask(http, sandbox, payouts))[0] for _ in range(4)] == [200, 503, 503, 200]
    assert [(await ask(http, sandbox, specifications))[0] for _ in range(3)] == [502, 502, 502]
    assert [(await ask(http, sandbox, method="POST", json=PAYMENT))[0] for _ in range(2)] == [500, 201]
    sandbox.stop_failing()
    assert (await ask(http, sandbox, specifications))[0] == 200


async def test_faults_queue_up(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """One request meets one fault, in the order in which they were planned."""
    for status in (503, 429):
        sandbox.fail(Fault(status=status))
    assert [(await ask(http, sandbox))[0] for _ in range(3)] == [503, 429, 200]


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
def test_senseless_faults_are_refused(fields: dict[str, Any]) -> None:
    """What cannot happen together cannot be planned."""
    with pytest.raises(ValueError, match=r"carries|need|hangs has|negative"):
        Fault(**fields)


async def test_a_gateway_page_is_no_json(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """A client that reads JSON from a 503 must fail to."""
    sandbox.fail(Fault.unavailable())
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads((await ask(http, sandbox))[2])
