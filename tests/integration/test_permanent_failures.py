"""Failures that each attempt would meet again: proxies that refuse, certificates, and sessions that send twice."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from amili_async import AmiliClient
from amili_async.errors import AmiliError, ConnectionFailed, PaymentOutcomeUnknown
from amili_async.events import AttemptFinished, Event
from amili_async.sandbox import Fault
from tests.support.certificates import make_certificate
from tests.support.clocks import HastyClock, on_clock
from tests.support.operations import PAYMENT
from tests.support.payments import PAYMENTS
from tests.support.starting import Connect, StartSandbox


@asynccontextmanager
async def listen(answer: bytes | None, context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers each request with these bytes, or cuts it; its port, and the first lines that it read."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        if answer is not None:
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], received
    finally:
        server.close()


CALLS: dict[str, Callable[[AmiliClient], Any]] = {
    "GET": lambda amili: amili.payouts.count(),
    "POST": lambda amili: amili.creditor_payments.create(PAYMENT),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("status", "attempts"), [(407, 1), (403, 1), (502, 5), (None, 5)])
async def test_a_proxy_that_refuses_the_tunnel(call: str, status: int | None, attempts: int) -> None:
    """Nothing was sent, so a payment is certainly not registered; the error has the proxy's status."""
    answer = None if status is None else b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status
    async with (
        listen(answer) as (port, received),
        aiohttp.ClientSession(proxy=f"http://127.0.0.1:{port}") as session,
        on_clock(HastyClock())("https://api.example.com", auth="token", session=session) as amili,
    ):
        with pytest.raises(ConnectionFailed) as caught:
            await CALLS[call](amili)
    assert (caught.value.was_sent, caught.value.was_not_processed) == (False, True)
    assert len(received) == attempts
    assert all(line.startswith(b"CONNECT ") for line in received)
    if status is not None:
        assert f"the proxy answered {status}" in str(caught.value)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("host", "is_expired", "is_known", "why"),
    [
        ("localhost", False, False, "self-signed certificate; .* SSL_CERT_FILE"),
        ("localhost", True, True, "certificate has expired"),
        ("another.example", False, True, "Hostname mismatch"),
    ],
)
async def test_a_certificate_that_is_not_trusted(
    call: str, host: str, is_expired: bool, is_known: bool, why: str, tmp_path: Path
) -> None:
    """One attempt, with nothing sent; the error states why, and what to do about an unknown authority."""
    context = make_certificate(tmp_path, host=host, is_expired=is_expired)
    trusted = ssl.create_default_context(cafile=tmp_path / "certificate.pem" if is_known else None)
    connector = aiohttp.TCPConnector(ssl=trusted)
    events: list[Event] = []
    async with listen(b"", context) as (port, received), aiohttp.ClientSession(connector=connector) as session:
        options: dict[str, Any] = {"auth": "token", "session": session, "observers": [events.append]}
        async with AmiliClient(f"https://localhost:{port}", **options) as amili:
            with pytest.raises(ConnectionFailed, match=rf"the server's certificate is not trusted: {why}") as caught:
                await CALLS[call](amili)
    assert (caught.value.was_sent, caught.value.transient, caught.value.attempts) == (False, False, 1)
    assert sum(isinstance(event, AttemptFinished) for event in events) == 1
    assert received == []


async def resend(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A middleware as callers write them: three attempts of whatever fails."""
    for _ in range(2):
        try:
            response = await handler(request)
        except aiohttp.ClientError:
            continue
        if response.status < 500:
            return response
        response.release()
    return await handler(request)


@pytest.mark.parametrize("fault", [Fault(reset="after"), Fault.unavailable()])
async def test_a_borrowed_session_that_retries_sends_a_payment_once(
    fault: Fault, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """The payment is found, or its outcome is unknown; a second one is never sent."""
    sandbox = await start_sandbox(payments=0)
    async with aiohttp.ClientSession(middlewares=(resend,)) as session:
        amili = await connect(sandbox, auth=sandbox.token(), session=session)
        sandbox.fail(fault, method="POST", times=None)
        try:
            await amili.creditor_payments.create(PAYMENT, lookup_timeout=1)
        except AmiliError as error:
            assert isinstance(error, PaymentOutcomeUnknown)  # noqa: PT017 - either is right
        assert sum(request.method == "POST" for request in sandbox.requests) == 1
        assert len(sandbox.rows(PAYMENTS)) <= 1
        sandbox.stop_failing()
        assert await amili.payouts.count() == 5
        await amili.aclose()
