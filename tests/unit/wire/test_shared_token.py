"""The shared token source: one client fetches for all, a rejected token is replaced once, and a store may fail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from amili_async._wire.announcer import Announcer
from amili_async._wire.shared_token import LOCK_SECONDS, MAX_POLLS, POLL_INTERVAL, STORE_TIMEOUT, SharedTokenSource
from amili_async._wire.token_provider import TokenProvider
from amili_async.auth import Token
from amili_async.errors import AuthenticationError
from amili_async.events import Event, TokenStoreFailed
from tests.support.clocks import HastyClock, MovedClock, settle


class MemoryStore:
    """A store in the process, whose lock expires by a clock; any of its methods can be made to fail."""

    def __init__(self, clock: MovedClock) -> None:
        self.clock = clock
        self.token: Token | None = None
        self.locked_until = 0.0
        self.failing: frozenset[str] = frozenset()
        self.calls: list[str] = []

    async def load(self) -> Token | None:
        self._called("load")
        return self.token

    async def save(self, token: Token) -> None:
        self._called("save")
        self.token = token

    @asynccontextmanager
    async def lock(self, seconds: float) -> AsyncIterator[bool]:
        self._called("lock")
        is_ours = self.clock.now() >= self.locked_until
        if is_ours:
            self.locked_until = self.clock.now() + seconds
        yield is_ours
        if is_ours:
            self._called("unlock")
            self.locked_until = 0.0

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.failing:
            raise OSError("secret-host:6379")


class Fetches:
    """Counts the tokens that it returns, each of which takes some iterations of the loop."""

    def __init__(self) -> None:
        self.count = 0
        self.failure: Exception | None = None

    async def __call__(self) -> Token:
        await settle(3)
        self.count += 1
        if self.failure is not None:
            raise self.failure
        return Token(value=f"token-{self.count}", lifetime=600)


def make_provider(store: MemoryStore, fetch: Fetches, events: list[Event] | None = None) -> TokenProvider:
    """What a client of its own process has."""
    announce = Announcer([] if events is None else [events.append])
    source = SharedTokenSource(fetch, store, clock=store.clock, announce=announce)
    return TokenProvider(source, clock=store.clock, announce=announce)


async def test_eight_clients_fetch_one_token() -> None:
    """All begin at once: one gets the lock, and the others take what it saved."""
    store, fetch = MemoryStore(HastyClock()), Fetches()
    tokens = await asyncio.gather(*(make_provider(store, fetch).get_valid_token() for _ in range(8)))
    assert (tokens, fetch.count) == (["token-1"] * 8, 1)


async def test_a_rejected_token_is_replaced_once_for_all() -> None:
    """After a revocation the first client fetches, and each other one takes the new token after its own 401."""
    store, fetch = MemoryStore(HastyClock()), Fetches()
    providers = [make_provider(store, fetch) for _ in range(8)]
    rejected = [await provider.get() for provider in providers]
    renewed = await asyncio.gather(
        *(provider.get(rejected=token) for provider, token in zip(providers, rejected, strict=True))
    )
    assert ({token.value for token in renewed}, fetch.count) == ({"token-2"}, 2)


async def test_a_token_near_its_expiry_is_refreshed_by_one_client() -> None:
    """The early refresh of the second client finds the token of the first."""
    clock = MovedClock()
    store, fetch = MemoryStore(clock), Fetches()
    providers = [make_provider(store, fetch) for _ in range(2)]
    assert [await provider.get_valid_token() for provider in providers] == ["token-1"] * 2
    await clock.move(545)
    for provider in providers:
        await provider.get_valid_token()
        await settle(20)
    assert [await provider.get_valid_token() for provider in providers] == ["token-2"] * 2
    assert fetch.count == 2


@pytest.mark.parametrize("failing", ["lock", "load", "save", "unlock"])
async def test_a_store_that_fails_is_reported_and_never_prevents_a_fetch(failing: str) -> None:
    """Whatever method fails, the client has a token; the event names the error's class alone."""
    store, fetch, events = MemoryStore(HastyClock()), Fetches(), list[Event]()
    store.failing = frozenset([failing])
    assert await make_provider(store, fetch, events).get_valid_token() == "token-1"
    assert [event for event in events if isinstance(event, TokenStoreFailed)] == [TokenStoreFailed(error="OSError")]


async def test_a_store_without_lock_is_not_called_again() -> None:
    """A store that is down costs one failed call, not one for each of its methods."""
    store = MemoryStore(HastyClock())
    store.failing = frozenset(["lock"])
    await make_provider(store, Fetches()).get_valid_token()
    assert store.calls == ["lock"]


async def test_a_store_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time limit the client fetches by itself."""
    store, fetch, events = MemoryStore(HastyClock()), Fetches(), list[Event]()
    monkeypatch.setattr("amili_async._wire.shared_token.STORE_TIMEOUT", 0.001)

    async def hang() -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(store, "load", hang)
    assert await make_provider(store, fetch, events).get_valid_token() == "token-1"
    assert TokenStoreFailed(error="TimeoutError") in events
    assert STORE_TIMEOUT < LOCK_SECONDS


async def test_the_next_client_fetches_when_the_lock_of_a_dead_one_expires() -> None:
    """A process that was killed while it fetched holds the lock for 45 seconds; then one other fetches for all."""
    clock = MovedClock()
    store, fetch = MemoryStore(clock), Fetches()
    store.locked_until = clock.now() + LOCK_SECONDS
    waiting = [asyncio.create_task(make_provider(store, fetch).get_valid_token()) for _ in range(8)]
    await clock.move(LOCK_SECONDS - 1)
    assert fetch.count == 0
    await clock.move(2)
    assert (await asyncio.gather(*waiting), fetch.count) == (["token-1"] * 8, 1)


async def test_a_lock_that_is_never_free_is_not_waited_for_without_end() -> None:
    """After a minute and a half the client fetches without the lock."""
    clock = MovedClock()
    store, fetch = MemoryStore(clock), Fetches()
    store.locked_until = clock.now() + 1e9
    waiting = asyncio.create_task(make_provider(store, fetch).get_valid_token())
    await clock.move(MAX_POLLS * POLL_INTERVAL + 1)
    assert await waiting == "token-1"


async def test_a_fetch_that_fails_releases_the_lock_and_saves_nothing() -> None:
    """Its error is raised; the next client tries at once."""
    store, fetch = MemoryStore(HastyClock()), Fetches()
    fetch.failure = AuthenticationError("rejected")
    with pytest.raises(AuthenticationError, match="rejected"):
        await make_provider(store, fetch).get_valid_token()
    fetch.failure = None
    assert await make_provider(store, fetch).get_valid_token() == "token-2"
    assert store.calls.count("save") == 1


async def test_what_is_no_token_is_neither_saved_nor_taken() -> None:
    """A source's token that fits no header is not stored, and a stored one counts as a failure of the store."""
    store, events = MemoryStore(HastyClock()), list[Event]()
    announce = Announcer([events.append])
    source = SharedTokenSource(lambda: "bad\n", store, clock=store.clock, announce=announce)
    with pytest.raises(AuthenticationError):
        await source()
    assert store.token is None
    store.token = Token(value="bad\n")
    assert await make_provider(store, Fetches(), events).get_valid_token() == "token-1"
    assert TokenStoreFailed(error="AuthenticationError") in events


async def test_a_client_that_closes_releases_the_lock() -> None:
    """The cancelled fetch of one client does not make the others wait."""
    store, fetch = MemoryStore(HastyClock()), Fetches()
    source = SharedTokenSource(fetch, store, clock=store.clock, announce=Announcer())
    fetching = asyncio.create_task(source())
    await asyncio.sleep(0)
    assert store.locked_until
    fetching.cancel()
    await asyncio.gather(fetching, return_exceptions=True)
    assert not store.locked_until
