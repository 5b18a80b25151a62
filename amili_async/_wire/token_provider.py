"""Cache one access token and refresh it for all callers.

Invariant: at most one refresh runs at a time. All callers share it, and it is shielded from their cancellation. A 401
invalidates exactly the token that was rejected, regardless of the clock. A token is refreshed some time before it
expires, while it still works; if that early refresh fails, it stays in use.
"""

import asyncio
import inspect
from collections.abc import Callable, Sequence
from math import inf

from msgspec import Struct

from amili_async._wire.announcer import Announcer
from amili_async._wire.checks import check_seconds
from amili_async._wire.clock import Clock
from amili_async._wire.tasks import count_cancellations, hide_contents, not_picklable
from amili_async.auth import Token, TokenSource
from amili_async.errors import AuthenticationError, ClientClosed, ConfigurationError, TimedOut
from amili_async.events import TokenRefreshed, TokenRefreshFailed

REFRESH_MARGIN = 60.0
"""Seconds before its expiry at which a token is refreshed early."""
REFRESH_MARGIN_SHARE = 0.2
"""Share of its lifetime that the margin may take: a token that lives a minute is not refreshed at once."""
EARLY_REFRESH_INTERVAL = 5.0
"""Seconds between two early refreshes if the first failed: each call would start one otherwise."""


@not_picklable
@hide_contents
class CachedToken(Struct, frozen=True, eq=False):
    """An access token in use."""

    # Compared by identity (`eq=False`): a refresh may return the rejected value again, and that is another token.
    value: str
    """The value of the header `X-API-Key`."""
    lifetime: float | None
    """Seconds from its fetch to its expiry."""
    expires_at: float | None
    """When it expires, by the client's monotonic clock; `None` where that is not known."""


@not_picklable
class TokenProvider:
    """Returns one valid token to all callers; `client.auth` is one."""

    def __init__(
        self,
        source: str | TokenSource,
        *,
        clock: Clock,
        announce: Announcer,
        check_open: Callable[[], None] = lambda: None,
    ) -> None:
        self._source, self._check_open = source, check_open
        self._clock, self._announce = clock, announce
        self._cached: CachedToken | None = None
        self._refreshing: asyncio.Task[CachedToken] | None = None
        self._next_early_refresh = 0.0

    async def get_valid_token(self) -> str:
        """Return an access token that has not expired, after fetching one if necessary."""
        self._check_open()
        return (await self.get()).value

    async def get(self, *, rejected: CachedToken | None = None) -> CachedToken:
        """Return a token that has not expired and is not the *rejected* one.

        Raises what the token source raises, and `AuthenticationError` if a fixed token was rejected.
        """
        cached = self._cached
        if cached is not None and cached is not rejected:
            remaining = self._remaining(cached)
            if remaining is None or remaining > _margin(cached):
                return cached
            if remaining > 0:
                self._refresh_early()
                return cached
        if isinstance(self._source, str) and rejected is not None:
            raise AuthenticationError(
                "the access token was rejected (401), and there is no source of another one: "
                "pass ApiCodeCredentials or an async function as auth"
            )
        return await self._wait_for(self._refresh(rejected))

    def is_current(self, token: CachedToken) -> bool:
        """Whether *token* is the cached one and has not expired."""
        return self._cached is token and (token.expires_at is None or token.expires_at > self._clock.now())

    def cancel(self) -> Sequence[asyncio.Task[CachedToken]]:
        """Cancel a running refresh and return its task."""
        refreshing, self._refreshing = self._refreshing, None
        if refreshing is None:
            return ()
        refreshing.cancel()
        return (refreshing,)

    def _remaining(self, token: CachedToken) -> float | None:
        return None if token.expires_at is None else token.expires_at - self._clock.now()

    def _refresh_early(self) -> None:
        is_running = self._refreshing is not None and not self._refreshing.done()
        if not is_running and self._clock.now() >= self._next_early_refresh:
            self._next_early_refresh = self._clock.now() + EARLY_REFRESH_INTERVAL
            self._refresh(None)

    def _refresh(self, rejected: CachedToken | None) -> asyncio.Task[CachedToken]:
        """Return the running refresh, or start one."""
        # Of many requests that get a 401 for the same token only the first invalidates it: by the time of the others
        # the cached token may be its successor.
        if rejected is not None and self._cached is rejected:
            self._cached = None
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.get_running_loop().create_task(self._fetch_and_store())
            self._refreshing.add_done_callback(_retrieve)
        return self._refreshing

    async def _wait_for(self, refresh: asyncio.Task[CachedToken]) -> CachedToken:
        cancellations = count_cancellations()
        try:
            # Unshielded, the cancellation of one caller would cancel the refresh for all of them.
            return await asyncio.shield(refresh)
        except asyncio.CancelledError:
            if refresh.cancelled() and count_cancellations() == cancellations:
                raise ClientClosed("the client was closed while this call waited for a token") from None
            raise

    async def _fetch(self) -> CachedToken:
        # No variable holds a bare token: reports of errors show the variables of each frame.
        token = check_token(self._source if isinstance(self._source, str) else await call_source(self._source))
        expires_at = None if token.lifetime is None else self._clock.now() + token.lifetime
        return CachedToken(token.value, token.lifetime, expires_at)

    async def _fetch_and_store(self) -> CachedToken:
        # An eager task (`asyncio.eager_task_factory`) runs before `create_task` has returned it, and its source may
        # close the client; and it has finished before its callbacks run, when its first caller would find no token.
        self._refreshing = asyncio.current_task()
        try:
            token = await self._fetch()
        except Exception as error:
            remaining = self._remaining(self._cached) if self._cached is not None else 0.0
            self._announce(TokenRefreshFailed(error=type(error).__name__, kept=remaining is None or remaining > 0))
            raise
        self._cached = token
        self._announce(TokenRefreshed(lifetime=token.lifetime))
        return token


def _retrieve(refresh: asyncio.Task[CachedToken]) -> None:
    """Retrieve the error, which asyncio would report otherwise: an early refresh has no caller that waits for it."""
    if not refresh.cancelled():
        refresh.exception()


def check_token(fetched: object) -> Token:
    """Return what a token source returned as a token; `AuthenticationError` if it cannot be one, or has expired."""
    token = Token(value=fetched) if isinstance(fetched, str) else fetched if isinstance(fetched, Token) else None
    del fetched  # reports of errors show the variables of each frame, and this one may hold a bare token
    if token is None or not _fits_header(token.value):
        raise AuthenticationError(
            "the token source returned no token: it must return a Token or a str, of printable ASCII and not blank"
        )
    if token.lifetime is not None:
        try:
            check_seconds(token.lifetime, "lifetime", is_positive=True, may_be_inf=True)
        except ConfigurationError as error:
            clock = "the token source returned an expired token, or a wrong lifetime: check this machine's clock"
            raise AuthenticationError(f"{clock} ({error})") from None
    return token


def _margin(token: CachedToken) -> float:
    return min(REFRESH_MARGIN, (token.lifetime or 0.0) * REFRESH_MARGIN_SHARE)


def _fits_header(token: object) -> bool:
    # aiohttp would encode other characters as UTF-8 and let the server reject what it cannot read.
    return isinstance(token, str) and bool(token.strip()) and token.isascii() and token.isprintable()


def check_source(source: object, timeout: float = inf) -> str | TokenSource:
    """Accept a fixed token, or a function that returns one within *timeout* seconds; else `ConfigurationError`."""
    if isinstance(source, str):
        if not _fits_header(source):
            raise ConfigurationError("auth: an access token must be printable ASCII and not blank")
        return source
    is_generator = inspect.isasyncgenfunction(source) or inspect.isgeneratorfunction(source)
    if not callable(source) or isinstance(source, type) or is_generator:
        raise ConfigurationError(
            "auth must be an access token, ApiCodeCredentials, or a function that returns a token: "
            "neither a class nor a generator"
        )
    try:
        inspect.signature(source).bind()
    except TypeError:
        raise ConfigurationError("auth: the token source must need no arguments; it is called without any") from None
    except ValueError:  # a callable written in C may have no signature
        pass
    return source if timeout == inf else _limit_time(source, timeout)


async def call_source(source: TokenSource) -> str | Token:
    """What a token source returns, whether it is async or not."""
    fetched = source()
    return await fetched if inspect.isawaitable(fetched) else fetched


def _limit_time(source: TokenSource, seconds: float) -> TokenSource:
    async def fetch() -> str | Token:
        try:
            async with asyncio.timeout(seconds) as limit:
                return await call_source(source)
        except TimeoutError:
            if not limit.expired():
                raise
        raise TimedOut(f"the token source returned no token within {seconds:g} s", was_sent=False)

    return fetch
