"""The client itself: options that it rejects, where it can be created, how it opens and closes."""

import asyncio
import inspect
import logging
from collections.abc import Sequence
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from amili_async import SANDBOX_URL, AmiliClient, RateLimit, RetryPolicy
from amili_async.errors import ClientClosed, ConfigurationError
from amili_async.events import Event, Observer
from amili_async.observers import LogEvents
from amili_async.sandbox import Sandbox
from tests.support import internals
from tests.support.clocks import GUARD
from tests.support.logs import no_handlers


class PlainLimiter:
    """The methods of a rate limiter, none of them async."""

    limit = remaining = resets_at = waiting = in_flight = None

    def acquire(self, priority: object) -> None:
        """Wait for nothing."""

    release_unused = on_response = on_no_response = on_rate_limited = forecast = acquire
    add_observer = remove_observer = acquire


class AsyncLimiter:
    """The methods of a rate limiter, all of them async."""

    limit = None

    async def acquire(self, priority: object) -> None:
        """Wait for nothing."""

    release_unused = on_response = on_no_response = on_rate_limited = forecast = acquire
    add_observer = remove_observer = acquire


ODD_TIMES: list[Any] = [nan, inf, -1, True, "30", None, 10**400, {}, 1j]
ODD_HEADERS: list[Any] = [
    [],
    "",
    [("X-Tenant", "north")],
    *({name: "s3cret"} for name in (5, "", "X Tenant", "X-Tenant:", "X\n", "X-API-Key", "authorization", "Cookie")),
    *({name: "s3cret"} for name in ("Host", "content-length", "Accept", "Transfer-Encoding")),
    *({"X-Tenant": value} for value in (5, None, b"s3cret", "s3cret\r\nX: y", "s3cret\n", "s3cret\0", "s3crét")),
]
ODD_COUNTS: list[Any] = [nan, inf, True, "100", 10.0, None, 10**400]
ODD_LIMITS: list[Any] = [RateLimit, RetryPolicy(), {"per_minute": 50}, 50, "50", nan, True, []]


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
        *((SANDBOX_URL, {"timeout": timeout}) for timeout in ODD_TIMES),
        *((SANDBOX_URL, {"headers": headers}) for headers in ODD_HEADERS),
        *((SANDBOX_URL, {"max_wait": wait}) for wait in ODD_TIMES if wait is not None),
        *((SANDBOX_URL, {"page_size": size}) for size in ODD_COUNTS),
        *((SANDBOX_URL, {"concurrency": size}) for size in ODD_COUNTS),
        (SANDBOX_URL, {"auth": ""}),
        (SANDBOX_URL, {"retry": None}),
        (SANDBOX_URL, {"observers": print}),
        (SANDBOX_URL, {"observers": [1]}),
        (SANDBOX_URL, {"observers": [LogEvents]}),
        (SANDBOX_URL, {"observers": [AsyncLimiter().acquire]}),
        (SANDBOX_URL, {"observers": "print"}),
        *((SANDBOX_URL, {"rate_limit": limit}) for limit in [*ODD_LIMITS, PlainLimiter(), AsyncLimiter()]),
        (SANDBOX_URL, {"retry": {"attempts": 3}}),
        (SANDBOX_URL, {"retry": 3}),
        *((SANDBOX_URL, {"session": session}) for session in (5, "https://api.example.com", object())),
        *((SANDBOX_URL, {name: "no"}) for name in ("trust_env", "allow_http")),
        (SANDBOX_URL, {"auth": None}),
        (SANDBOX_URL, {"auth": "line\r\nbreak"}),
    ],
)
def test_options_that_cannot_work_raise_in_the_constructor(url: str, options: dict[str, Any]) -> None:
    """Outside any event loop, and before anything is sent."""
    with pytest.raises(ConfigurationError):
        AmiliClient(url, **({"auth": "token"} | options))


@pytest.mark.parametrize("headers", ODD_HEADERS, ids=repr)
def test_an_error_about_headers_shows_no_value(headers: Any) -> None:
    """A value may be a secret, also one under a name that is rejected."""
    with pytest.raises(ConfigurationError, match="headers") as caught:
        AmiliClient(auth="token", headers=headers)
    assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("retry", 3),
        ("timeout", 0),
        ("max_wait", -1),
        ("page_size", 101),
        ("concurrency", 0),
        ("headers", {"Host": "x"}),
    ],
)
def test_a_view_rejects_what_the_client_rejects(option: str, value: Any) -> None:
    """Before anything is sent; an option that the whole client has is unknown to a view."""
    client = AmiliClient(auth="token")
    options: dict[str, Any] = {option: value}
    with pytest.raises(ConfigurationError, match=option):
        client.with_options(**options)
    options = {"rate_limit": None}
    with pytest.raises(TypeError, match="rate_limit"):
        client.with_options(**options)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:80/amili/", SANDBOX_URL])
def test_https_anywhere_and_http_on_loopback_are_accepted(url: str) -> None:
    """The credential is never sent unencrypted over a network."""
    assert "closed" in repr(AmiliClient(url, auth="token"))


async def test_reprs_show_no_credential() -> None:
    """Neither the client nor its parts."""
    client = AmiliClient(auth="s3cret-token")
    parts = [client, client.auth, client.payouts, client.payouts.stream(), *vars(client).values()]
    assert "s3cret" not in " ".join(map(repr, parts))


def test_a_client_belongs_to_one_event_loop() -> None:
    """In another loop it raises an error that names the cause."""
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
        ({"AMILI_API_CODE": "code", "AMILI_PRIVATE_KEY": "a", "AMILI_PRIVATE_KEY_FILE": "b"}, "both set"),
        ({"AMILI_API_CODE": "code", "AMILI_PRIVATE_KEY": "SECRET"}, "private_key cannot be read"),
        ({"AMILI_TOKEN": "token", "AMILI_TIMEOUT": "SECRET"}, "AMILI_TIMEOUT must be a number"),
        ({"AMILI_TOKEN": "token", "AMILI_TIMEOUT": "nan"}, "AMILI_TIMEOUT must be a number"),
        ({"AMILI_TOKEN": "token", "AMILI_RATE_PER_MINUTE": "1.5"}, "AMILI_RATE_PER_MINUTE must be a whole number"),
        ({"AMILI_TOKEN": "token", "AMILI_RATE_PER_SECOND": "0"}, "AMILI_RATE_PER_SECOND must be a whole number"),
        ({"AMILI_TOKEN": "token", "AMILI_CA_FILE": "/nowhere"}, "AMILI_CA_FILE: it cannot be read"),
        ({"AMILI_TOKEN": "token", "AMILI_CA_FILE": __file__}, "AMILI_CA_FILE: it is no PEM file"),
        ({"AMILI_TOKEN": "token", "AMILI_LOG": "SECRET"}, "AMILI_LOG must be debug or info"),
    ],
)
def test_from_env_names_the_variable_that_cannot_work(environ: dict[str, str], missing: str) -> None:
    """The error names the variable, and does not show what it holds."""
    with pytest.raises(ConfigurationError, match=missing) as caught:
        AmiliClient.from_env(environ)
    assert "SECRET" not in str(caught.value)


def test_from_env_reads_limits_and_the_timeout() -> None:
    """A limit that is not set keeps its default."""
    client = AmiliClient.from_env({"AMILI_TOKEN": "token", "AMILI_RATE_PER_MINUTE": "40", "AMILI_TIMEOUT": "2.5"})
    assert client.rate_limiter.limit == RateLimit(per_minute=40)
    assert internals.seconds_per_attempt(client) == 2.5


@pytest.mark.parametrize(("value", "level"), [("info", logging.INFO), ("DEBUG", logging.DEBUG)])
async def test_from_env_logs_at_the_level_of_the_variable(
    value: str, level: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each event once, beside the caller's own observers, on stderr where nothing handles logs."""
    seen: list[Event] = []
    async with Sandbox(payouts=1, specifications=1, payments=0) as sandbox:
        environ = {"AMILI_TOKEN": sandbox.token(), "AMILI_BASE_URL": sandbox.url, "AMILI_LOG": value}
        with no_handlers() as logger:
            more: Sequence[Observer] = (LogEvents(),)
            for observers in ((seen.append,), (seen.append, *more)):
                async with AmiliClient.from_env(environ, observers=observers) as amili:
                    await amili.payouts.page()
                assert capsys.readouterr().err.count("CallFinished") == 1
            assert logger.level == level
    assert sum(type(event).__name__ == "CallFinished" for event in seen) == 2


def test_from_env_logs_nothing_without_the_variable() -> None:
    """Neither an observer nor a handler is added; observers that are none are rejected as ever."""
    with no_handlers() as logger:
        AmiliClient.from_env({"AMILI_TOKEN": "token", "AMILI_LOG": ""})
        assert logger.handlers == []
        for log in ("", "info"):
            with pytest.raises(ConfigurationError, match="observers must be a list"):
                AmiliClient.from_env({"AMILI_TOKEN": "token", "AMILI_LOG": log}, observers=print)  # type: ignore[arg-type]


REDIS = {"AMILI_REDIS_URL": "redis://:canary@localhost:1", "AMILI_TOKEN": "token"}


def test_from_env_shares_the_rate_limit_under_a_name_of_the_key() -> None:
    """The name that the variable gives; a tenth of the limit is kept from streams, as by a shared limiter's default."""
    client = AmiliClient.from_env(REDIS | {"AMILI_RATE_LIMITER_NAME": "ours", "AMILI_RATE_PER_MINUTE": "40"})
    assert repr(client.rate_limiter) == "RedisRateLimiter('ours', closed)"
    assert client.rate_limiter.limit == RateLimit(per_minute=40, reserve=4)


def test_from_env_derives_the_name_from_server_and_api_code() -> None:
    """The same for the same key on the same server, and it shows neither; a token source has no such name."""
    key = Sandbox().private_key
    variables = {name: value for name, value in REDIS.items() if name != "AMILI_TOKEN"} | {"AMILI_PRIVATE_KEY": key}

    def name_of(code: str, **options: Any) -> str:
        return repr(AmiliClient.from_env(variables | {"AMILI_API_CODE": code}, **options).rate_limiter)

    names = [
        name_of("code"),
        name_of("code", base_url=SANDBOX_URL),
        name_of("other"),
        name_of("code", base_url="http://localhost:1"),
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    assert "code" not in "".join(names)
    token = repr(AmiliClient.from_env(REDIS).rate_limiter)
    assert "token" not in token

    async def source() -> str:
        return "token"

    with pytest.raises(ConfigurationError, match="AMILI_RATE_LIMITER_NAME is not set"):
        AmiliClient.from_env(REDIS, auth=source)


def test_a_misspelt_variable_is_a_warning() -> None:
    """With the name that it resembles; a variable of another purpose is none."""
    with pytest.warns(UserWarning, match="AMILI_PRIVATE_KEYFILE is not read: did you mean AMILI") as seen:
        AmiliClient.from_env({"AMILI_TOKEN": "token", "AMILI_PRIVATE_KEYFILE": "x", "AMILI_TEST_SERVERS": "y"})
    assert len(seen) == 1
    assert seen[0].filename == __file__


def test_no_signature_shows_the_environment() -> None:
    """help() of from_env shows no variable of the process."""
    assert inspect.signature(AmiliClient.from_env).parameters["environ"].default is None


async def test_a_token_source_may_close_the_client() -> None:
    """The refresh that closing cancels is the task that closes, and nothing hangs."""

    async def source() -> str:
        await client.aclose()
        return "token"

    client = AmiliClient(auth=source)
    await client.open()
    with pytest.raises(ClientClosed, match="closed while this call waited for a token"):
        await asyncio.wait_for(client.auth.get_valid_token(), GUARD)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_from_env_lets_overrides_win(tmp_path: Path) -> None:
    """Arguments override the environment, and with auth no variable is needed."""
    client = AmiliClient.from_env({"AMILI_BASE_URL": "http://example.com"}, base_url=SANDBOX_URL, auth="token")
    assert SANDBOX_URL in repr(client)
    limited = AmiliClient.from_env({"AMILI_TOKEN": "token"}, rate_limit=RateLimit(per_second=5))
    assert SANDBOX_URL in repr(limited)
