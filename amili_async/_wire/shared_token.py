"""A token source that takes its tokens from a store that processes share, so that one process fetches for all.

Invariant: the client requests a token only when the last one is of no more use: rejected, or near its expiry. So a
stored token that differs from the last one is taken, and otherwise the process that gets the store's lock fetches. A
store that fails never prevents a fetch.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TypeVar

from amili_async._wire.announcer import Announcer
from amili_async._wire.clock import Clock
from amili_async._wire.tasks import not_picklable
from amili_async._wire.token_provider import call_source, check_token
from amili_async.auth import Token, TokenSource, TokenStore
from amili_async.events import TokenStoreFailed

T = TypeVar("T")

LOCK_SECONDS = 45.0
"""Seconds after which a process that fetches counts as dead: more than one attempt and the wait for its permit."""
POLL_INTERVAL = 0.05
"""Seconds between two looks at the store while another process fetches."""
MAX_POLLS = 1800
"""Looks after which the token is fetched without the lock: in 90 seconds two processes can have died."""
STORE_TIMEOUT = 2.0
"""Seconds that the store may take for one answer."""


@not_picklable
class SharedTokenSource:
    """A token source that calls *source* only if no other process has saved a new token in *store*."""

    def __init__(self, source: TokenSource, store: TokenStore, *, clock: Clock, announce: Announcer) -> None:
        self._source, self._store = source, store
        self._clock, self._announce = clock, announce
        self._last: Token | None = None

    async def __call__(self) -> Token:
        polls_left = MAX_POLLS
        while (token := await self._take_or_fetch(must_fetch=polls_left == 0)) is None:
            await self._clock.sleep(POLL_INTERVAL)
            polls_left -= 1
        self._last = token
        return token

    async def _take_or_fetch(self, *, must_fetch: bool) -> Token | None:
        """The stored token if it is new, else one that is fetched; `None` while another process fetches it."""
        # Loaded after the lock, even where another process holds it: it may have saved its token between the two.
        async with self._lock() as is_ours:
            stored = None if is_ours is None else await self._within_limits(self._load(), None)
            if stored is not None and (self._last is None or stored.value != self._last.value):
                return stored
            if is_ours is False and not must_fetch:
                return None
            token = check_token(await call_source(self._source))
            if is_ours is not None:
                await self._within_limits(self._store.save(token), None)
            return token

    @asynccontextmanager
    async def _lock(self) -> AsyncIterator[bool | None]:
        """Whether this process has the lock; `None` if the store failed."""
        lock = self._store.lock(LOCK_SECONDS)
        is_ours = await self._within_limits(lock.__aenter__(), None)
        try:
            yield is_ours
        finally:
            if is_ours is not None:
                await self._within_limits(lock.__aexit__(None, None, None), None)

    async def _load(self) -> Token | None:
        stored = await self._store.load()
        return None if stored is None else check_token(stored)

    async def _within_limits(self, answer: Awaitable[T], default: T) -> T:
        """The answer of the store, or *default* if it fails or does not answer in time."""
        try:
            async with asyncio.timeout(STORE_TIMEOUT):
                return await answer
        except Exception as error:  # noqa: BLE001 - the drivers of stores have exceptions of their own
            self._announce(TokenStoreFailed(error=type(error).__name__))
            return default
