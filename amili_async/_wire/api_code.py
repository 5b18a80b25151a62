"""The API's own way to a token: a self-signed JWT, exchanged at `GET /authenticates/api-code`.

The path, the header and the claims are those of the API's authentication guide. What the answer's fields are called
is not documented, so the usual names are accepted and the caller can name others.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from amili_async._wire.clock import Clock
from amili_async._wire.protocol import Request, Response, server_time
from amili_async._wire.token_provider import Token
from amili_async.errors import ApiError, AuthenticationError, ConfigurationError, RateLimited
from amili_async.models.fields import parse_date
from amili_async.policies import Priority

_PATH = "/authenticates/api-code"
_LABEL = f"GET {_PATH}"
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_RSA = ("RS256", "RS384", "RS512")
_TOKEN_NAMES = ("access_token", "accessToken", "token", "api_token", "auth_token", "api_key", "jwt")
_LIFETIME_NAMES = ("expires_in", "expiresIn", "ttl", "lifetime")
_END_NAMES = ("expires_at", "expiresAt", "expires", "expiry", "exp", "valid_until")


class ApiCodeCredentials:
    """An API code and the private key whose public half is registered with Amili.

    *algorithm* is one of ES256, ES384, ES512, RS256, RS384, RS512; by default the one that fits the key (RS256 for an
    RSA key). *token_name* and *lifetime_name* name the fields of the answer where the usual names do not fit.
    *lifetime* is how long a token is taken to work, in seconds, where neither the answer nor the token says so.
    Raises `ConfigurationError` for a key that cannot be read or does not fit the algorithm.
    """

    JWT_LIFETIME = 600
    """Seconds for which the self-signed JWT is valid: the ten minutes that the API's guide advises."""

    def __init__(
        self,
        api_code: str,
        private_key: str | bytes,
        *,
        algorithm: str | None = None,
        password: str | bytes | None = None,
        token_name: str | None = None,
        lifetime_name: str | None = None,
        lifetime: float = 600.0,
    ) -> None:
        if not isinstance(api_code, str) or not api_code or api_code != api_code.strip():
            raise ConfigurationError("api_code must be the code that Amili gave you, without blanks around it")
        if not lifetime > 0:
            raise ConfigurationError("lifetime must be more than zero seconds")
        self._api_code = api_code
        self._key = _load_key(private_key, password)
        self._algorithm = _choose_algorithm(self._key, algorithm)
        self._token_names = (token_name,) if token_name else _TOKEN_NAMES
        self._lifetime_names = (lifetime_name,) if lifetime_name else _LIFETIME_NAMES
        self._lifetime = float(lifetime)

    def __repr__(self) -> str:
        return f"ApiCodeCredentials(<hidden>, algorithm={self._algorithm!r})"

    async def exchange(self, call: Callable[[Request, Callable[[], str]], Awaitable[Response]], clock: Clock) -> Token:
        """Fetch a token; *call* sends the request with a credential that is made anew for each try.

        `AuthenticationError` where the API refuses the JWT or answers without a token.
        """
        try:
            response = await call(self.build_request(), lambda: self.sign(clock.wall()))
        except RateLimited:
            raise
        except ApiError as error:
            if not error.was_not_processed:
                raise
            status = error.status
        else:
            return self.read_token(response, now=clock.wall())
        raise AuthenticationError(
            f"{_LABEL} was refused with {status}: is base_url right, and is the public key registered with Amili?",
            status=status,
            request=_LABEL,
        )

    def sign(self, now: float) -> str:
        """The JWT for the exchange, valid for ten minutes from *now* (seconds since 1970)."""
        import jwt

        claims = {"api_code": self._api_code, "exp": int(now) + self.JWT_LIFETIME}
        return jwt.encode(claims, self._key, algorithm=self._algorithm)

    def build_request(self) -> Request:
        """The exchange; the JWT travels in the same header as a token."""
        return Request(method="GET", target=_PATH, label=_LABEL, priority=Priority.TOKEN)

    def read_token(self, response: Response, *, now: float) -> Token:
        """Find token and lifetime in the answer; `AuthenticationError` where there is no token in it."""
        try:
            answer = msgspec.json.decode(response.body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            answer = None
        if isinstance(answer, str):
            answer = {self._token_names[0]: answer}
        value = _first(answer, self._token_names) if isinstance(answer, dict) else None
        if not isinstance(value, str) or not value.strip():
            raise AuthenticationError(
                f"{_LABEL} answered {response.status} without a token: looked for {', '.join(self._token_names)}; "
                "name the field with ApiCodeCredentials(token_name=…)",
                status=response.status,
                request=_LABEL,
            )
        return Token(value=value, lifetime=self._find_lifetime(answer, value, server_time(response, default=now)))

    def _find_lifetime(self, answer: Mapping[str, Any], value: str, now: float) -> float:
        lifetime = _as_seconds(_first(answer, self._lifetime_names))
        if lifetime is not None:
            return lifetime
        end = _as_instant(_first(answer, _END_NAMES))
        if end is not None:
            return end - now if end > 1_000_000_000 else end  # too small for a date: seconds from now
        claims = _read_claims(value)
        end, start = _as_seconds(claims.get("exp")), _as_seconds(claims.get("iat"))
        if end is not None:
            return end - (start if start is not None else now)
        return self._lifetime


def _load_key(private_key: str | bytes, password: str | bytes | None) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    key: Any = None
    try:
        pem = private_key.encode() if isinstance(private_key, str) else private_key
        secret = password.encode() if isinstance(password, str) else password
        load = load_ssh_private_key if b"BEGIN OPENSSH" in pem else load_pem_private_key
        key = load(pem, secret)
    except Exception:  # noqa: BLE001 - whatever the library says of a key may quote it
        key = None
    if key is None:
        raise ConfigurationError("the private key cannot be read: it must be PEM, with its password if it has one")
    return key


def _choose_algorithm(key: Any, algorithm: str | None) -> str:
    """The algorithm that fits the key, or the one asked for if it does."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    fitting: tuple[str, ...] = ()
    if isinstance(key, EllipticCurvePrivateKey):
        fitting = (_CURVES[key.curve.name],) if key.curve.name in _CURVES else ()
    elif isinstance(key, RSAPrivateKey):
        fitting = _RSA
    if not fitting:
        raise ConfigurationError("the private key must be RSA, or elliptic on P-256, P-384 or P-521")
    if algorithm is not None and algorithm not in fitting:
        raise ConfigurationError(f"this private key goes with {' or '.join(fitting)}, not with the algorithm asked for")
    return algorithm or fitting[0]


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


def _as_instant(value: Any) -> float | None:
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
    """The claims of a token that is itself a JWT, unverified: they are only a hint of when it ends."""
    import jwt

    try:
        return dict(jwt.decode(token, options={"verify_signature": False, "verify_exp": False}))
    except (jwt.PyJWTError, ValueError):
        return {}
