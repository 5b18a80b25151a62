"""Where access tokens come from, and the keeper that hands one out.

The law: one refresh at a time, shared by all who wait and shielded from their cancellation. Whether a token is spent
is judged by which token was rejected, not by the clock alone. A token is renewed a margin before it ends, while the
old one still works; if that early refresh fails, the old one stays in use.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from msgspec import Struct

from amili_async._wire.clock import Clock
from amili_async._wire.tasks import cancel_all, is_being_cancelled
from amili_async.errors import AuthenticationError, ConfigurationError
from amili_async.events import Announcer, TokenRefreshed, TokenRefreshFailed


class Token(Struct, frozen=True, kw_only=True):
    """An access token, as a token source returns it."""

    value: str
    """What goes into `X-API-Key`."""
    lifetime: float | None = None
    """Seconds from now for which it works; `None` where that is not known: it is then used until it is rejected."""

    def __repr__(self) -> str:
        return f"Token(value=<hidden>, lifetime={self.lifetime})"

    __rich_repr__ = None  # type: ignore[assignment]  # rich would show what repr hides


TokenSource: TypeAlias = Callable[[], Awaitable[str | Token]]


class CachedToken(Struct, frozen=True, eq=False):
    """A token in use; two are the same only if they came from the same refresh."""

    value: str
    """What goes into `X-API-Key`."""
    lifetime: float | None
    """Seconds from when it was fetched."""
    expires_at: float | None
    """When it ends, by the client's clock."""

    def __repr__(self) -> str:
        return "Token(<hidden>)"

    __rich_repr__ = None  # type: ignore[assignment]  # rich would show what repr hides


class TokenProvider:
    """Hands out one valid token to everybody; `client.auth` is one."""

    MARGIN = 60.0
    """Seconds before its end at which a token is renewed, or a fifth of its lifetime where that is shorter."""
    PATIENCE = 5.0
    """Seconds between two early refreshes where the first failed."""

    def __init__(
        self,
        source: str | TokenSource,
        *,
        clock: Clock,
        announce: Announcer,
        check_open: Callable[[], None] = lambda: None,
    ) -> None:
        self._source = source
        self._check_open = check_open
        self._clock = clock
        self._announce = announce
        self._held: CachedToken | None = None
        self._refreshing: asyncio.Task[CachedToken] | None = None
        self._next_early_refresh = 0.0

    async def get_valid_token(self) -> str:
        """The access token itself, as in the API guide's `AuthTokenProvider`; fetched first where there is none."""
        self._check_open()
        return (await self.token()).value

    async def token(self, *, rejected: CachedToken | None = None) -> CachedToken:
        """A token that is not *rejected* and not past its end.

        Whatever the token source raises is raised here; `AuthenticationError` where it can only give the rejected
        one again.
        """
        held = self._held
        if held is not None and held is not rejected:
            remaining = self._remaining(held)
            if remaining is None or remaining > self._margin(held):
                return held
            if remaining > 0:
                self._refresh_early()
                return held
        if isinstance(self._source, str) and rejected is not None:
            raise AuthenticationError("the fixed token was rejected (401), and there is no way to get another")
        refresh = self._refresh(rejected)
        try:
            return await asyncio.shield(refresh)
        except asyncio.CancelledError:
            if refresh.cancelled() and not is_being_cancelled():
                raise ConfigurationError("the client was closed while this call waited for a token") from None
            raise

    def is_current(self, token: CachedToken) -> bool:
        """Whether this is the token to send now: neither replaced nor past its end."""
        remaining = self._remaining(token)
        return self._held is token and (remaining is None or remaining > 0)

    def end(self) -> Sequence[asyncio.Task[CachedToken]]:
        """Cancel a refresh that is under way; returns it until it has ended."""
        refreshing, self._refreshing = self._refreshing, None
        if refreshing is None:
            return ()
        refreshing.cancel()
        return (refreshing,)

    async def aclose(self) -> None:
        """End a refresh that is under way."""
        await cancel_all((self,))

    def _remaining(self, held: CachedToken) -> float | None:
        return None if held.expires_at is None else held.expires_at - self._clock.now()

    def _margin(self, held: CachedToken) -> float:
        return min(self.MARGIN, (held.lifetime or 0.0) / 5)

    def _refresh_early(self) -> None:
        if self._refreshing is None and self._clock.now() >= self._next_early_refresh:
            self._next_early_refresh = self._clock.now() + self.PATIENCE
            self._refresh(None)

    def _refresh(self, rejected: CachedToken | None) -> asyncio.Task[CachedToken]:
        """The refresh that is under way, started if there is none."""
        if rejected is not None and self._held is rejected:
            self._held = None
        if self._refreshing is None:
            self._refreshing = asyncio.get_running_loop().create_task(self._fetch())
            self._refreshing.add_done_callback(self._settle)
        return self._refreshing

    async def _fetch(self) -> CachedToken:
        """Ask the source; a token of theirs becomes one of ours."""
        answer = self._source if isinstance(self._source, str) else await self._source()
        token = Token(value=answer) if isinstance(answer, str) else answer
        if not isinstance(token, Token) or not isinstance(token.value, str) or not token.value.strip():
            raise AuthenticationError(
                "the token source gave no token: it must return a str that is not blank, or a Token"
            )
        if not token.value.isascii() or not token.value.isprintable():
            raise AuthenticationError("the token source gave a token that cannot stand in an HTTP header")
        if token.lifetime is not None and token.lifetime <= 0:
            raise AuthenticationError(
                "the token source gave a token that has expired already: check this machine's clock"
            )
        expires_at = None if token.lifetime is None else self._clock.now() + token.lifetime
        return CachedToken(token.value, token.lifetime, expires_at)

    def _settle(self, task: "asyncio.Task[CachedToken]") -> None:
        """Take over what the refresh brought, or keep what there is."""
        if self._refreshing is task:
            self._refreshing = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._held = task.result()
            self._announce(TokenRefreshed(lifetime=self._held.lifetime))
            return
        remaining = self._remaining(self._held) if self._held is not None else 0.0
        is_kept = remaining is None or remaining > 0
        self._announce(TokenRefreshFailed(error=type(error).__name__, kept=is_kept))


def check_source(source: object) -> str | TokenSource:
    """Accept a fixed token or a callable; `ConfigurationError` for anything else."""
    if isinstance(source, str):
        if not source.strip() or not source.isascii() or not source.isprintable():
            raise ConfigurationError("a fixed token must be printable ASCII and not blank")
        return source
    if not callable(source):
        raise ConfigurationError("auth must be a token, ApiCodeCredentials, or an async function that returns a token")
    return source
