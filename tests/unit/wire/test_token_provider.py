"""The token provider: one refresh at a time, shared and shielded; a 401 invalidates the token that was rejected."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from math import inf, nan
from typing import Any

import pytest
from rich.pretty import pretty_repr

from amili_async._wire.announcer import Announcer
from amili_async._wire.tasks import cancel_all
from amili_async._wire.token_provider import TokenProvider, check_source
from amili_async.auth import Token
from amili_async.errors import AuthenticationError, ClientClosed, ConfigurationError, ServerFault
from amili_async.events import Event, TokenRefreshed, TokenRefreshFailed
from tests.support.clocks import MovedClock, settle


class Source:
    """A token source that returns only while the test holds its gate open."""

    def __init__(self, lifetime: float | None = None) -> None:
        self.lifetime = lifetime
        self.calls = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None

    async def __call__(self) -> Token:
        self.calls += 1
        number = self.calls
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return Token(value=f"token-{number}", lifetime=self.lifetime)


def make_provider(source: Source, clock: MovedClock | None = None, *observers: object) -> TokenProvider:
    return TokenProvider(source, clock=clock or MovedClock(), announce=Announcer(observers))  # type: ignore[arg-type]


async def test_a_fixed_token_is_returned_unchanged() -> None:
    """A str is the token."""
    provider = TokenProvider("fixed", clock=MovedClock(), announce=Announcer())
    assert await provider.get_valid_token() == "fixed"


async def test_a_rejected_fixed_token_raises() -> None:
    """There is no source of another one."""
    provider = TokenProvider("fixed", clock=MovedClock(), announce=Announcer())
    with pytest.raises(AuthenticationError):
        await provider.get(rejected=await provider.get())


async def test_a_callable_may_return_a_plain_str() -> None:
    """A source that returns a str is called once, until its token is rejected."""
    answers = iter(["one", "two"])

    async def source() -> str:
        return next(answers)

    provider = TokenProvider(source, clock=MovedClock(), announce=Announcer())
    first = await provider.get()
    assert (await provider.get()).value == "one"
    assert (await provider.get(rejected=first)).value == "two"


async def test_concurrent_callers_share_one_refresh() -> None:
    """A hundred concurrent callers cause one request."""
    source = Source()
    provider = make_provider(source)
    assert set(await asyncio.gather(*(provider.get_valid_token() for _ in range(100)))) == {"token-1"}
    assert source.calls == 1


async def test_rejections_of_the_same_token_cause_one_refresh_early_or_late() -> None:
    """Eight callers with the same rejected token, two of them after the refresh, share its successor."""
    source = Source()
    provider = make_provider(source)
    rejected = await provider.get()
    early = await asyncio.gather(*(provider.get(rejected=rejected) for _ in range(6)))
    late = [await provider.get(rejected=rejected) for _ in range(2)]
    assert {token.value for token in (*early, *late)} == {"token-2"}
    assert source.calls == 2


async def test_a_cancelled_caller_does_not_cancel_the_refresh() -> None:
    """The refresh continues for the other callers, and for the next one."""
    source = Source()
    source.gate.clear()
    provider = make_provider(source)
    cancelled, other = (asyncio.create_task(provider.get_valid_token()) for _ in range(2))
    await settle()
    cancelled.cancel()
    await settle()
    source.gate.set()
    assert await other == "token-1"
    assert cancelled.cancelled()
    assert source.calls == 1


async def test_a_failed_refresh_raises_in_every_caller_and_is_not_cached() -> None:
    """Each waiting caller gets the error; the next call starts another refresh."""
    source = Source()
    source.failure = ServerFault("down", status=503)
    source.gate.clear()  # otherwise each caller begins after the failure of the one before, if tasks are eager
    provider = make_provider(source)
    waiting = asyncio.gather(*(provider.get_valid_token() for _ in range(3)), return_exceptions=True)
    await settle()
    source.gate.set()
    assert [type(outcome) for outcome in await waiting] == [ServerFault] * 3
    source.failure = None
    assert await provider.get_valid_token() == "token-2"


async def test_a_token_is_refreshed_early_while_the_old_one_is_used() -> None:
    """Within the margin no caller waits: the old token is used until the new one arrives."""
    clock, source = MovedClock(), Source(lifetime=600.0)
    provider = make_provider(source, clock)
    await provider.get()
    clock.skip(545)
    source.gate.clear()
    assert await provider.get_valid_token() == "token-1"
    await settle()
    assert source.calls == 2
    source.gate.set()
    await settle()
    assert await provider.get_valid_token() == "token-2"


async def test_a_failed_early_refresh_keeps_the_old_token_and_is_not_repeated_at_once() -> None:
    """The old token stays in use until it expires; not every call starts another refresh."""
    events: list[Event] = []
    clock, source = MovedClock(), Source(lifetime=600.0)
    provider = make_provider(source, clock, events.append)
    await provider.get()
    source.failure = ServerFault("down", status=503)
    clock.skip(545)
    for _ in range(5):
        assert await provider.get_valid_token() == "token-1"
        await settle()
    assert source.calls == 2
    assert events == [TokenRefreshed(lifetime=600.0), TokenRefreshFailed(error="ServerFault", kept=True)]
    source.failure = None
    clock.skip(6)
    await provider.get_valid_token()
    await settle()
    assert await provider.get_valid_token() == "token-3"


async def test_an_expired_token_is_not_returned() -> None:
    """Once it has expired, every caller waits for the next one."""
    clock, source = MovedClock(), Source(lifetime=600.0)
    provider = make_provider(source, clock)
    await provider.get()
    clock.skip(601)
    assert await provider.get_valid_token() == "token-2"


async def test_a_token_that_lives_a_second_is_still_shared() -> None:
    """The margin shrinks with the lifetime: a short-lived token is not fetched anew for each call."""
    source = Source(lifetime=1.0)
    provider = make_provider(source)
    for _ in range(5):
        await provider.get()
    assert source.calls == 1


@pytest.mark.parametrize("answer", ["", "  ", None, 5, Token(value=""), "a\nb", "å", b"x", ["x"]])
async def test_a_source_that_returns_no_usable_token_raises(answer: object) -> None:
    """Blank and unsendable tokens are rejected, and what is no token, from an async source and a plain one."""

    async def source() -> object:
        return answer

    for each in (source, lambda: answer):
        provider = TokenProvider(each, clock=MovedClock(), announce=Announcer())  # type: ignore[arg-type]
        with pytest.raises(AuthenticationError, match="returned no token"):
            await provider.get_valid_token()


@pytest.mark.parametrize("lifetime", [0, -1.0, nan, "60", True, -inf, 10**400])
async def test_a_lifetime_that_is_no_time_raises(lifetime: Any) -> None:
    """An expired token and a wrong type are an error of ours."""
    provider = make_provider(Source(lifetime=lifetime))
    with pytest.raises(AuthenticationError, match="expired token, or a wrong lifetime"):
        await provider.get_valid_token()


class PlainSource:
    """A token source that is an object."""

    def __call__(self) -> Token:
        return Token(value="t")


class AsyncSource:
    """A token source that is an object whose call is async."""

    async def __call__(self) -> str:
        return "t"

    def plain(self) -> str:
        return "t"


async def fetch(value: str = "t") -> str:
    """A token source with an argument that has a default."""
    return value


@pytest.mark.parametrize(
    "source",
    [fetch, lambda: "t", lambda: fetch(), partial(fetch, "t"), PlainSource(), AsyncSource(), AsyncSource().plain],
    ids=range(7),
)
async def test_any_function_that_returns_a_token_is_a_source(source: Any) -> None:
    """Async or plain, a lambda, a partial, a method or an object: what it returns is awaited if it can be."""
    provider = TokenProvider(check_source(source), clock=MovedClock(), announce=Announcer())
    assert await provider.get_valid_token() == "t"


def yield_token() -> Iterator[str]:
    """A generator, by mistake."""
    yield "t"


async def yield_token_later() -> AsyncIterator[str]:
    """An async generator, by mistake."""
    yield "t"


@pytest.mark.parametrize(
    "source",
    [
        *("", " ", "a\r\nX: y", 5, None, b"bytes", Token(value="t")),
        *(PlainSource, AsyncSource, Token, str),
        *(yield_token, yield_token_later, lambda value: value),
    ],
    ids=range(14),
)
def test_only_a_token_or_a_callable_is_accepted_as_auth(source: object) -> None:
    """Anything else raises: neither a class nor a generator, and nothing that needs arguments."""
    with pytest.raises(ConfigurationError, match=r"^auth"):
        check_source(source)


async def test_closing_cancels_a_running_refresh() -> None:
    """No task is left, and a waiting caller gets `ClientClosed`, not a cancellation."""
    source = Source()
    source.gate.clear()
    provider = make_provider(source)
    waiter = asyncio.create_task(provider.get_valid_token())
    await settle()
    await cancel_all((provider,))
    with pytest.raises(ClientClosed):
        await waiter
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_no_repr_shows_a_token() -> None:
    """Neither that of a `Token`, nor of a cached one, nor of the provider."""
    provider = TokenProvider("s3cret", clock=MovedClock(), announce=Announcer())
    shown = f"{Token(value='s3cret')!r} {await provider.get()!r} {await provider.get()} {provider!r}"
    assert "s3cret" not in shown
    assert "s3cret" not in pretty_repr([Token(value="s3cret"), await provider.get()])
