"""What `AmiliClient(auth=…)` accepts beside a fixed access token: a function that fetches tokens, or an API code."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from amili_async._wire.checks import check_seconds
from amili_async._wire.frames import hide_variables
from amili_async._wire.tasks import hide_contents
from amili_async.errors import ConfigurationError

_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_RSA = ("RS256", "RS384", "RS512")


@hide_contents
class Token(Struct, frozen=True, kw_only=True):
    """An access token, as a token source returns it."""

    value: str
    """The value of the header `X-API-Key`."""
    lifetime: float | None = None
    """Seconds from now until it expires; `None` where that is not known: it is then used until it is rejected."""

    def __repr__(self) -> str:
        return f"Token(value=<hidden>, lifetime={self.lifetime})"


TokenSource: TypeAlias = Callable[[], Awaitable[str | Token] | str | Token]
"""A function that returns a new access token each time it is called. A plain one runs in the event loop, so it must not
block; one that sends a request is async."""


class AuthTokenProvider(Protocol):
    """The type of `client.auth`, with the name and the method that the API's authentication guide gives it."""

    async def get_valid_token(self) -> str:
        """Return an access token that has not expired, after fetching one if necessary."""


class ApiCodeCredentials:
    """An API code and the private key whose public half is registered with Amili.

    *algorithm* is one of ES256, ES384, ES512, RS256, RS384, RS512; by default the one that fits the key (RS256 for an
    RSA key). *token_name* and *lifetime_name* name the fields of the exchange's response where the usual names do not
    fit. *lifetime* is the assumed lifetime of a token, in seconds, where neither the response nor the token states one.
    Raises `ConfigurationError` for a key that cannot be read or does not fit the algorithm.
    """

    JWT_LIFETIME = 570
    """Seconds: lifetime of the self-signed JWT. The API's guide recommends ten minutes; half a minute less is accepted
    by a server that is strict about them even if this machine's clock is a little ahead."""

    @hide_variables
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
            raise ConfigurationError("api_code must be the code from Amili, a str without blanks around it")
        for name, field in (("token_name", token_name), ("lifetime_name", lifetime_name)):
            if field is not None and not isinstance(field, str):
                raise ConfigurationError(f"{name} must be the name of a field, or None for the usual names")
        self._api_code = api_code
        self._key = _load_key(private_key, password)
        if self._key is None:
            raise ConfigurationError("private_key cannot be read: it must be PEM, with its password if it has one")
        self.algorithm = _choose_algorithm(self._key, algorithm)
        """How the JWT is signed."""
        self.token_name = token_name
        """The field of the response that holds the token; `None` for the usual names."""
        self.lifetime_name = lifetime_name
        """The field of the response that holds the lifetime in seconds; `None` for the usual names."""
        self.lifetime = check_seconds(lifetime, "lifetime", is_positive=True, may_be_inf=True)
        """Seconds: lifetime of a token where neither the response nor the token states one."""

    def __repr__(self) -> str:
        return f"ApiCodeCredentials(<hidden>, algorithm={self.algorithm!r})"

    def sign(self, now: float) -> str:
        """Return the JWT for the exchange, valid for nine and a half minutes from *now* (seconds since 1970)."""
        import jwt

        claims = {"api_code": self._api_code, "exp": int(now) + self.JWT_LIFETIME}
        return jwt.encode(claims, self._key, algorithm=self.algorithm)


def _load_key(private_key: str | bytes, password: str | bytes | None) -> Any:
    """The key; `None` if it cannot be read."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    try:
        pem = private_key.encode() if isinstance(private_key, str) else private_key
        secret = password.encode() if isinstance(password, str) else password
        # load_pem_private_key rejects OpenSSH's own format, which ssh-keygen writes by default.
        load = load_ssh_private_key if b"BEGIN OPENSSH" in pem else load_pem_private_key
        return load(pem, secret)
    except Exception:  # noqa: BLE001 - the library raises many types, and their messages may quote the key
        return None


def _choose_algorithm(key: Any, algorithm: str | None) -> str:
    """The given algorithm if it fits the key, else the one that does."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    fitting: tuple[str, ...] = ()
    if isinstance(key, EllipticCurvePrivateKey):
        # RFC 7518, 3.4: each ES algorithm has exactly one curve.
        fitting = (_CURVES[key.curve.name],) if key.curve.name in _CURVES else ()
    elif isinstance(key, RSAPrivateKey):
        fitting = _RSA
    if not fitting:
        raise ConfigurationError("private_key must be RSA, or an elliptic-curve key on P-256, P-384 or P-521")
    if algorithm is not None and algorithm not in fitting:
        raise ConfigurationError(f"algorithm does not fit the private key: it must be {' or '.join(fitting)}")
    return algorithm or fitting[0]
