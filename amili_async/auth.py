"""What `AmiliClient(auth=…)` accepts beside a fixed access token: a function that fetches tokens, or an API code."""

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from msgspec import Struct

from amili_async._wire.checks import check_seconds, is_async
from amili_async._wire.frames import hide_variables
from amili_async._wire.tasks import hide_contents, not_picklable
from amili_async.errors import AuthenticationError, ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_RSA = ("RS256", "RS384", "RS512")
_COORDINATE_BYTES = {"ES256": 32, "ES384": 48, "ES512": 66}
"""Bytes of each of the two numbers of a signature in a JWT (RFC 7518, 3.4)."""
_SIGNER_TIMEOUT = 30.0
"""Seconds that a signer may take."""


@not_picklable
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


class TokenStore(Protocol):
    """Where processes that have the same credentials keep one access token; `amili_async.shared.RedisTokens` is one.

    What any of the three raises is reported as the event `TokenStoreFailed`, and the client fetches a token by itself.
    """

    async def load(self) -> Token | None:
        """The token that was saved last, with what is left of its lifetime; `None` if there is none."""

    async def save(self, token: Token) -> None:
        """Keep a token for the other processes, for its lifetime."""

    def lock(self, seconds: float) -> AbstractAsyncContextManager[bool]:
        """Try once to get the right to fetch, for at most so many *seconds*; the block gets whether it was free."""


Signer: TypeAlias = Callable[[bytes], Awaitable[bytes]]
"""An async function that signs bytes with a key that never leaves its store, such as a cloud's key management service.
"""


@not_picklable
class ApiCodeCredentials:
    """An API code, and the private key whose public half is registered with Amili for it.

    - *api_code*: the code from Amili.
    - *private_key*: PEM as `str` (its line breaks also as backslash and n) or `bytes`, the `Path` of a PEM file, or a
      key object of `cryptography`.
    - *signer*: instead of the key, an async function that gets the bytes of the JWT and returns their signature by
      *algorithm*: of an elliptic curve in DER, as key management services return it, or raw.
    - *algorithm*: ES256, ES384, ES512, RS256, RS384 or RS512; by default the one that fits the key, RS256 for an RSA
      key. Required with a *signer*.
    - *password*: of the PEM.
    - *token_name*, *lifetime_name*: fields of the exchange's response, where the usual names do not fit.
    - *lifetime*: assumed seconds of a token's life, where neither the response nor the token states them.

    Raises `ConfigurationError` for a key that cannot be read or does not fit the algorithm.
    """

    JWT_LIFETIME = 570
    """Seconds: lifetime of the self-signed JWT. The API's guide recommends ten minutes; half a minute less is accepted
    by a server that is strict about them even if this machine's clock is a little ahead."""

    @hide_variables
    def __init__(
        self,
        api_code: str,
        private_key: "str | bytes | Path | EllipticCurvePrivateKey | RSAPrivateKey | None" = None,
        *,
        signer: Signer | None = None,
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
        self._signer = signer
        self._key: Any = None
        if signer is None:
            self._key, algorithm = _load_key(private_key, password, algorithm)
        else:
            _check_signer(signer, algorithm, has_key=private_key is not None)
        self.algorithm = str(algorithm)
        """How the JWT is signed."""
        self.key_size: int | None = None if self._key is None else self._key.key_size
        """Bits of the private key; `None` with a *signer*."""
        self.token_name = token_name
        """The field of the response that holds the token; `None` for the usual names."""
        self.lifetime_name = lifetime_name
        """The field of the response that holds the lifetime in seconds; `None` for the usual names."""
        self.lifetime = check_seconds(lifetime, "lifetime", is_positive=True, may_be_inf=True)
        """Seconds: lifetime of a token where neither the response nor the token states one."""

    def __repr__(self) -> str:
        return f"ApiCodeCredentials(<hidden>, algorithm={self.algorithm!r})"

    def derive_key(self, purpose: str) -> bytes:
        """Derive 32 bytes, others for each *purpose*, that only processes with this key and this API code can.

        `ConfigurationError` with a *signer*, whose key is not known.
        """
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        if self._key is None:
            raise ConfigurationError("no key can be derived from a signer: give another secret, such as a random str")
        # DER, which is the same for one key in each format of its file.
        der = self._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        info = f"amili_async {purpose} {self._api_code}".encode()
        return HKDF(SHA256(), 32, salt=None, info=info).derive(der)

    async def sign(self, now: float) -> str:
        """Return the JWT for the exchange, valid for nine and a half minutes from *now* (seconds since 1970).

        `AuthenticationError` if the signer fails or needs more than 30 seconds; its own error is the cause.
        """
        import jwt

        claims = {"api_code": self._api_code, "exp": int(now) + self.JWT_LIFETIME}
        if self._signer is None:
            return jwt.encode(claims, key=self._key, algorithm=self.algorithm)
        head = _encode(json.dumps({"alg": self.algorithm, "typ": "JWT"}).encode())
        unsigned = head + b"." + _encode(json.dumps(claims).encode())
        try:
            async with asyncio.timeout(_SIGNER_TIMEOUT):
                signature = _as_raw(await self._signer(unsigned), self.algorithm)
        except Exception as error:
            raise AuthenticationError(f"the signer failed with {type(error).__name__}: no JWT could be made") from error
        return (unsigned + b"." + _encode(signature)).decode()


def _encode(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")


def _check_signer(signer: object, algorithm: str | None, *, has_key: bool) -> None:
    if has_key:
        raise ConfigurationError("private_key and signer are both given: pass one of them")
    if not is_async(signer):
        raise ConfigurationError("signer must be an async function that gets bytes and returns their signature")
    if algorithm not in {*_CURVES.values(), *_RSA}:
        raise ConfigurationError(
            f"signer: state how it signs, algorithm= one of {', '.join((*_CURVES.values(), *_RSA))}"
        )


def _as_raw(signature: bytes, algorithm: str) -> bytes:
    """The signature as a JWT holds it: two numbers side by side, which key management services return in DER."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    size = _COORDINATE_BYTES.get(algorithm)
    if size is None or len(signature) == 2 * size:
        return signature
    return b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(signature))


def _load_key(private_key: Any, password: str | bytes | None, algorithm: str | None) -> tuple[Any, str]:
    """The key, and the algorithm that fits it."""
    is_key = hasattr(private_key, "private_numbers")  # which a key object of `cryptography` has
    key = private_key if is_key else _parse_key(private_key, password)
    if key is None:
        raise ConfigurationError("private_key cannot be read: it must be PEM, with its password if it has one")
    return key, _choose_algorithm(key, algorithm)


def _parse_key(private_key: Any, password: str | bytes | None) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    try:
        pem = _read_pem(private_key)
        secret = password.encode() if isinstance(password, str) else password
        # load_pem_private_key rejects OpenSSH's own format, which ssh-keygen writes by default.
        load = load_ssh_private_key if b"BEGIN OPENSSH" in pem else load_pem_private_key
        return load(pem, secret)
    except Exception:  # noqa: BLE001 - the library raises many types, and their messages may quote the key
        return None


def _read_pem(key: str | bytes | Path) -> bytes:
    if isinstance(key, Path):
        return key.read_bytes()
    # Variables and settings files often hold the line breaks as backslash and n, of which PEM has none of its own.
    return key.replace("\\n", "\n").encode() if isinstance(key, str) else key


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
