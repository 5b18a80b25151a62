"""The exchange of an API code for an access token: a self-signed JWT is sent to `GET /authenticates/api-code`.

Path, header and claims are those of the API's authentication guide. The guide does not name the fields of the response,
so the usual names are tried, and `ApiCodeCredentials` accepts others.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from amili_async._wire.clock import Clock
from amili_async._wire.protocol import Request, Response, server_time
from amili_async._wire.tasks import not_picklable
from amili_async.auth import ApiCodeCredentials, Token
from amili_async.errors import AmiliError, ApiError, AuthenticationError, RateLimited
from amili_async.models.timestamps import parse_date
from amili_async.policies import Priority

_PATH = "/authenticates/api-code"
EXCHANGE = Request(
    method="GET",
    target=_PATH,
    label=f"GET {_PATH}",
    operation="token",
    resource=_PATH[1:],
    priority=Priority.TOKEN,
    is_verified=True,
)
"""The request; the JWT is sent in `X-API-Key`, the header of an access token."""
_TOKEN_NAMES = ("access_token", "accessToken", "token", "api_token", "auth_token", "api_key", "jwt")
_LIFETIME_NAMES = ("expires_in", "expiresIn", "ttl", "lifetime")
_EXPIRY_NAMES = ("expires_at", "expiresAt", "expires", "expiry", "exp", "valid_until")
_EARLIEST_DATE = 1_000_000_000
"""Seconds since 1970 (2001): a smaller number in a field of `_EXPIRY_NAMES` is a lifetime."""
CLOCK_DIFFERENCE = 5.0
"""Seconds: a smaller difference between our clock and the server's `Date` is that of its rounding and the delay."""


Send: TypeAlias = Callable[[Request, Callable[[], Awaitable[str]]], Awaitable[Response]]


@not_picklable
class ApiCodeExchange:
    """A token source: each call sends the JWT of *credentials* and returns the token of the response.

    *send* sends a request with a credential that it creates anew for each attempt.
    """

    def __init__(self, credentials: ApiCodeCredentials, *, send: Send, clock: Clock) -> None:
        self._credentials, self._send, self._clock = credentials, send, clock
        self._ahead = 0.0
        """Seconds by which the server's clock is ahead of ours, if it accepted nothing signed by ours."""

    async def __call__(self) -> Token:
        """Fetch a token; `AuthenticationError` where the API rejects the JWT or responds without a token."""
        outcome = await self._exchange()
        clock = ""
        if not isinstance(outcome, Response):
            clock, is_other_clock = self._compare_clocks(outcome)
            if is_other_clock:
                outcome = await self._exchange()
        if isinstance(outcome, Response):
            return read_token(outcome, self._credentials, now=self._clock.wall())
        self._ahead = 0.0  # `Date` may be that of a gateway: the next exchange begins with our own clock again
        raise AuthenticationError(
            f"{EXCHANGE.label} was rejected with {outcome.status}: check the API code, that the public half of the "
            f"private key is registered with Amili for it, and base_url; {clock}",
            status=outcome.status,
            http_status=outcome.http_status,
            request=EXCHANGE.label,
        ).with_headers(outcome.headers)

    async def _exchange(self) -> Response | ApiError | AuthenticationError:
        """The response to the JWT, or the error where the API rejected it."""
        try:
            # Signed per attempt: between two attempts the wait can be longer than what is left of ten minutes.
            return await self._send(EXCHANGE, lambda: self._credentials.sign(self._clock.wall() + self._ahead))
        except (ApiError, AuthenticationError) as error:
            is_rejection = isinstance(error, AuthenticationError) or error.was_not_processed
            if not is_rejection or isinstance(error, RateLimited):
                raise
            return error

    def _compare_clocks(self, rejection: AmiliError) -> tuple[str, bool]:
        """How the clocks compare, for the error, and whether signing by the server's may help."""
        if rejection.server_time is None:
            return "check this machine's clock too, which nothing in the response could be compared with", False
        ahead = rejection.server_time - self._clock.wall()
        is_other_clock = abs(ahead - self._ahead) >= CLOCK_DIFFERENCE
        self._ahead = ahead if is_other_clock else self._ahead
        if abs(ahead) < CLOCK_DIFFERENCE:
            return "this machine's clock agrees with the server's", is_other_clock
        where = "behind" if ahead > 0 else "ahead of"
        text = f"this machine's clock is {abs(ahead):.0f} s {where} the server's, whose time was rejected too: set it"
        return text, is_other_clock


def read_token(response: Response, credentials: ApiCodeCredentials, *, now: float) -> Token:
    """Find token and lifetime in a response; `AuthenticationError` if it holds no token."""
    names = (credentials.token_name,) if credentials.token_name else _TOKEN_NAMES
    try:
        answer = msgspec.json.decode(response.body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        answer = None
    if isinstance(answer, str):  # a bare JSON string is the token itself
        answer = {names[0]: answer}
    value = _first(answer, names) if isinstance(answer, dict) else None
    if not isinstance(value, str) or not value.strip():
        answer = value = None  # a report of the error would show them
        raise AuthenticationError(
            f"{EXCHANGE.label} returned {response.status} without a token in any of the fields {', '.join(names)}: "
            "set ApiCodeCredentials(token_name=…)",
            status=response.status,
            request=EXCHANGE.label,
        ).with_headers(response.headers)
    # Expiry dates are compared with the server's own clock: a wrong clock of ours does not change the difference.
    lifetime = _find_lifetime(answer, value, credentials, now=server_time(response, default=now))
    return Token(value=value, lifetime=lifetime)


def _find_lifetime(answer: Mapping[str, Any], value: str, credentials: ApiCodeCredentials, *, now: float) -> float:
    names = (credentials.lifetime_name,) if credentials.lifetime_name else _LIFETIME_NAMES
    if (lifetime := _as_seconds(_first(answer, names))) is not None:
        return lifetime
    if (expiry := _as_timestamp(_first(answer, _EXPIRY_NAMES))) is not None:
        return expiry - now if expiry > _EARLIEST_DATE else expiry
    claims = _read_claims(value)
    expiry, issued = _as_seconds(claims.get("exp")), _as_seconds(claims.get("iat"))
    if expiry is not None:
        return expiry - (issued if issued is not None else now)
    return credentials.lifetime


def _first(answer: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((answer[name] for name in names if answer.get(name) is not None), None)


def _as_seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None


def _as_timestamp(value: Any) -> float | None:
    """Seconds since 1970, from a number, an RFC 1123 date or an ISO 8601 one."""
    seconds = _as_seconds(value)
    if seconds is not None or not isinstance(value, str):
        return seconds
    for read in (parse_date, datetime.fromisoformat):
        try:
            moment = read(value)
        except ValueError:
            continue
        return moment.timestamp() if moment.tzinfo is not None else None
    return None


def _read_claims(token: str) -> dict[str, Any]:
    """The claims of a token that is itself a JWT, unverified: they only serve to estimate its lifetime."""
    import jwt

    try:
        return dict(jwt.decode(token, options={"verify_signature": False, "verify_exp": False}))
    except (jwt.PyJWTError, ValueError):
        return {}
