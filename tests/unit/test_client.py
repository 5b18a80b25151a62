"""The client itself: what it refuses, where it can be made, how it opens and closes."""

import asyncio
import inspect
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from amili_async import SANDBOX_URL, AmiliClient, ApiCodeCredentials, RateLimit
from amili_async.errors import AmiliError, ConfigurationError
from amili_async.policies import Priority, Quota
from amili_async.sandbox import Fault, Sandbox
from tests.support.clocks import HastyClock


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("http://api.example.com", {}),
        ("ftp://api.example.com", {}),
        ("api.example.com", {}),
        ("https://user:pass@api.example.com", {}),
        (SANDBOX_URL, {"page_size": 0}),
        (SANDBOX_URL, {"page_size": 101}),
        (SANDBOX_URL, {"concurrency": 0}),
        (SANDBOX_URL, {"timeout": 0}),
        (SANDBOX_URL, {"timeout": float("nan")}),
        (SANDBOX_URL, {"auth": ""}),
        (SANDBOX_URL, {"retry": None}),
        (SANDBOX_URL, {"observers": print}),
        (SANDBOX_URL, {"observers": [1]}),
        (SANDBOX_URL, {"rate_limit": RateLimit}),
        (SANDBOX_URL, {"auth": None}),
        (SANDBOX_URL, {"auth": "line\r\nbreak"}),
    ],
)
def test_what_cannot_work_is_refused_when_the_client_is_made(url: str, options: dict[str, Any]) -> None:
    """Outside any event loop, and before anything is sent."""
    with pytest.raises(ConfigurationError):
        AmiliClient(url, **({"auth": "token"} | options))


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:80/amili/", SANDBOX_URL])
def test_https_anywhere_and_http_on_loopback_are_accepted(url: str) -> None:
    """The credential never travels in the open."""
    assert "closed" in repr(AmiliClient(url, auth="token"))


async def test_reprs_show_no_credential() -> None:
    """Neither the client nor its parts."""
    client = AmiliClient(auth="s3cret-token")
    parts = [client, client.auth, client.payouts, client.payouts.stream(), *vars(client).values()]
    assert "s3cret" not in " ".join(map(repr, parts))


async def test_opening_and_closing_twice_does_nothing_more() -> None:
    """Both can be called again, and a closed client can be opened anew."""
    async with Sandbox(payouts=2, specifications=0, payments=0) as sandbox:
        client = AmiliClient(sandbox.url, auth=sandbox.token())
        assert await client.open() is await client.open()
        assert await client.payouts.count() == 2
        await client.aclose()
        await client.aclose()
        async with client:
            assert await client.payouts.count() == 2


async def test_a_borrowed_session_is_used_and_not_closed() -> None:
    """Who opened it closes it; one that is closed already is refused."""
    async with Sandbox(payouts=2, specifications=0, payments=0) as sandbox:
        async with aiohttp.ClientSession() as session:
            async with AmiliClient(sandbox.url, auth=sandbox.token(), session=session) as amili:
                assert await amili.payouts.count() == 2
            assert not session.closed
        with pytest.raises(ConfigurationError):
            await AmiliClient(sandbox.url, auth="token", session=session).open()


async def test_a_pool_of_one_connection_and_a_large_error_do_not_hang() -> None:
    """The response is released before the next try, whatever its size."""
    async with (
        Sandbox(payouts=2, specifications=0, payments=0) as sandbox,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
        AmiliClient(sandbox.url, auth=sandbox.token(), session=session, clock=HastyClock()) as amili,
    ):
        sandbox.fail(Fault(status=503, body=b"<p>" + b"x" * 5_000_000), times=2)
        async with asyncio.timeout(5):
            assert await amili.payouts.count() == 2


def test_a_client_belongs_to_one_event_loop() -> None:
    """Used from another, it says so instead of dying of a closed loop."""
    client = AmiliClient(auth="token")

    async def use() -> None:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await client.payouts.count()
        with pytest.raises(ConfigurationError, match="another event loop"):
            await client.open()

    first = asyncio.new_event_loop()
    first.run_until_complete(client.open())
    asyncio.run(use())
    first.run_until_complete(client.aclose())
    first.close()


async def test_a_budget_of_the_callers_own_takes_the_place_of_ours() -> None:
    """Anything that keeps to RateLimiter, such as one shared between processes, is asked before each request."""

    class Journal:
        def __init__(self) -> None:
            self.told: list[str] = []

        async def acquire(self, priority: Priority) -> None:
            self.told.append(f"acquire {priority.name}")

        def release_unused(self) -> None:
            self.told.append("give back")

        def on_response(self, quota: Quota | None = None) -> None:
            self.told.append("settle")

        def on_rate_limited(self, seconds: float | None) -> float:
            return seconds or 0.0

        def close(self) -> None:
            self.told.append("close")

    journal = Journal()
    async with Sandbox(payouts=2, specifications=0, payments=0) as sandbox:
        auth = ApiCodeCredentials(sandbox.api_code, sandbox.private_key)
        async with AmiliClient(sandbox.url, auth=auth, rate_limit=journal) as amili:
            await amili.payouts.count()
    assert journal.told == ["acquire TOKEN", "settle", "acquire SINGLE", "settle", "close"]


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({}, "AMILI_TOKEN"),
        ({"AMILI_API_CODE": "code"}, "AMILI_PRIVATE_KEY_FILE"),
        ({"AMILI_PRIVATE_KEY_FILE": "/nowhere"}, "AMILI_API_CODE"),
        ({"AMILI_API_CODE": "code", "AMILI_PRIVATE_KEY_FILE": "/nowhere"}, "AMILI_PRIVATE_KEY_FILE cannot be read"),
        ({"AMILI_API_CODE": "code", "AMILI_PRIVATE_KEY_FILE": "\0"}, "AMILI_PRIVATE_KEY_FILE cannot be read"),
        ({"AMILI_API_CODE": "code", "AMILI_TOKEN": "token"}, "both set"),
        ({"AMILI_TOKEN": "token", "AMILI_BASE_URL": "http://example.com"}, "https"),
    ],
)
def test_from_env_names_what_is_missing(environ: dict[str, str], missing: str) -> None:
    """A mistake in the environment is one clear sentence."""
    with pytest.raises(ConfigurationError, match=missing):
        AmiliClient.from_env(environ)


def test_the_environment_stands_in_no_signature() -> None:
    """help() of from_env shows no variable of the process."""
    assert inspect.signature(AmiliClient.from_env).parameters["environ"].default is None


async def test_closing_while_calls_wait_for_a_connection_tells_them_so() -> None:
    """Nobody is cancelled by a client that is closed: each call that was under way gets an error."""
    async with Sandbox(payouts=2, specifications=0, payments=0, rate_limit=None) as sandbox:
        client = AmiliClient(sandbox.url, auth=sandbox.token(), rate_limit=None, clock=HastyClock())
        await client.open()
        sandbox.fail(Fault(hang=True), times=None)
        calls = [asyncio.create_task(client.payouts.count()) for _ in range(105)]
        await asyncio.sleep(0.05)
        await client.aclose()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, AmiliError) for outcome in outcomes), {type(outcome) for outcome in outcomes}


async def test_a_token_source_may_close_the_client() -> None:
    """Who gives up while fetching a token closes the client from within what the closing ends, and nothing hangs."""

    async def source() -> str:
        await client.aclose()
        return "token"

    client = AmiliClient(auth=source)
    await client.open()
    with pytest.raises(ConfigurationError, match="closed while this call waited for a token"):
        await asyncio.wait_for(client.auth.get_valid_token(), 5)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_from_env_lets_overrides_win(tmp_path: Path) -> None:
    """Arguments count for more than the environment, and with auth given no variable is needed."""
    client = AmiliClient.from_env({"AMILI_BASE_URL": "http://example.com"}, base_url=SANDBOX_URL, auth="token")
    assert SANDBOX_URL in repr(client)
    limited = AmiliClient.from_env({"AMILI_TOKEN": "token"}, rate_limit=RateLimit(per_second=5))
    assert SANDBOX_URL in repr(limited)
