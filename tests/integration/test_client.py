"""The client on a real server: opening, closing, borrowed sessions, and a rate limiter of the caller's own."""

import asyncio

import aiohttp
import pytest

from amili_async import AmiliClient, ApiCodeCredentials
from amili_async.errors import ApiError, ClientClosed, ConfigurationError
from amili_async.policies import Priority, Quota, RateLimiter
from amili_async.sandbox import Fault, Sandbox
from tests.support.clocks import GUARD, HastyClock, happens, on_clock
from tests.support.hostile_scene import HostileScene
from tests.support.hostile_server import send_raw, zip_wrongly
from tests.support.operations import ROWS


async def test_opening_or_closing_twice_has_no_effect() -> None:
    """Both may be called again, and a closed client can be reopened."""
    async with Sandbox(payouts=2, specifications=0, payments=0) as sandbox:
        client = AmiliClient(sandbox.url, auth=sandbox.token())
        assert await client.open() is await client.open()
        assert await client.payouts.count() == 2
        await client.aclose()
        await client.aclose()
        async with client:
            assert await client.payouts.count() == 2


async def test_a_borrowed_session_is_used_and_not_closed() -> None:
    """The owner closes it; a session that is already closed is rejected."""
    async with Sandbox(payouts=2, specifications=0, payments=0) as sandbox:
        async with aiohttp.ClientSession() as session:
            async with AmiliClient(sandbox.url, auth=sandbox.token(), session=session) as amili:
                assert await amili.payouts.count() == 2
            assert not session.closed
        with pytest.raises(ConfigurationError):
            await AmiliClient(sandbox.url, auth="token", session=session).open()


async def test_a_borrowed_session_that_does_not_decompress_reads_compressed_pages(scene: HostileScene) -> None:
    """The client decompresses its responses, whatever the owner's other requests do."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        await scene.open(session=session)
        scene.server.plan(zip_wrongly(lambda packed: packed), times=None)
        rows = await scene.amili.payout_specifications.stream().collect()
        assert len(rows) == ROWS["specifications"]
        async with session.get(f"{scene.server.url}/finance--payouts") as response:
            assert (await response.read()).startswith(b"\x1f\x8b")


@pytest.mark.parametrize(
    "headers", [b"Content-Length: 0\r\n", b"ETag: W/1\r\nAge: 7\r\nContent-Type: application/json\r\n"]
)
async def test_a_304_names_the_cache_that_sent_it(headers: bytes, scene: HostileScene) -> None:
    """No condition is sent, so only a cache or proxy can answer so: the text does not speak of redirects."""
    await scene.open()
    scene.server.plan(send_raw(b"HTTP/1.1 304 Not Modified\r\n" + headers + b"\r\n"), times=None)
    with pytest.raises(ApiError, match="304: no condition was sent, so a cache or proxy answered") as caught:
        await scene.amili.payouts.page()
    assert (caught.value.status, caught.value.attempts) == (304, 1)
    (request,) = scene.server.received
    assert b"\r\nif-" not in request.raw.lower()


async def test_a_pool_of_one_connection_and_a_large_error_do_not_hang() -> None:
    """A response of any size is released before the next attempt."""
    async with (
        Sandbox(payouts=2, specifications=0, payments=0) as sandbox,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
        on_clock(HastyClock())(sandbox.url, auth=sandbox.token(), session=session) as amili,
    ):
        sandbox.fail(Fault(status=503, body=b"<p>" + b"x" * 5_000_000), times=2)
        async with asyncio.timeout(GUARD):
            assert await amili.payouts.count() == 2


async def test_a_rate_limiter_of_the_caller_replaces_the_default_one() -> None:
    """Anything with the methods of RateLimiter, such as one shared between processes, is used for each request."""

    class Journal(RateLimiter):
        limit = None

        def __init__(self) -> None:
            self.calls: list[str] = []

        async def acquire(self, priority: Priority, *, max_wait: float | None = None) -> None:
            self.calls.append(f"acquire {priority.name} within {max_wait}")

        def release_unused(self) -> None:
            self.calls.append("give back")

        def on_response(self, quota: Quota | None = None) -> None:
            self.calls.append("settle")

        def on_no_response(self, seconds: float) -> None:
            self.calls.append("no response")

        def on_rate_limited(self, seconds: float | None) -> float:
            return seconds or 0.0

    journal = Journal()
    async with Sandbox(payouts=2, specifications=0, payments=0) as sandbox:
        auth = ApiCodeCredentials(sandbox.api_code, sandbox.private_key)
        async with AmiliClient(sandbox.url, auth=auth, rate_limit=journal, max_wait=5) as amili:
            await amili.payouts.count()
    assert journal.calls == ["acquire TOKEN within 5.0", "settle", "acquire SINGLE within 5.0", "settle"]


async def test_closing_while_calls_wait_for_a_connection_ends_them() -> None:
    """Closing the client cancels no caller: each call in flight raises `ClientClosed`."""
    async with Sandbox(payouts=2, specifications=0, payments=0, rate_limit=None) as sandbox:
        client = on_clock(HastyClock())(sandbox.url, auth=sandbox.token(), rate_limit=None)
        await client.open()
        sandbox.fail(Fault(hang=True), times=None)
        calls = [asyncio.create_task(client.payouts.count()) for _ in range(105)]
        await happens(lambda: sandbox.in_flight == 100)
        await client.aclose()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, ClientClosed) for outcome in outcomes), {type(outcome) for outcome in outcomes}
