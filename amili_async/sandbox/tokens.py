"""Authentication: the exchange of a signed JWT for an access token, and which tokens are valid."""

import secrets
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from .answers import HttpError

UNAUTHORIZED = "Please provide proper credentials"
MAX_JWT_LIFETIME = 3600.0
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
# PyJWT verifies claims by the system's clock; `exchange` uses the sandbox's.
_SIGNATURE_ONLY: Any = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}


def make_private_key() -> str:
    """A new P-256 key as PEM."""
    key, pem = ec.generate_private_key(ec.SECP256R1()), serialization.Encoding.PEM
    return key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def public_key_of(private_key: str) -> str:
    """The public key, as PEM, that belongs to a private one."""
    key = serialization.load_pem_private_key(private_key.encode(), None).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def read_public_key(pem: str) -> tuple[Any, tuple[str, ...]]:
    """The key, and the algorithms that it may verify; ValueError for a kind of key that Amili does not accept."""
    key = serialization.load_pem_public_key(pem.encode())
    if isinstance(key, rsa.RSAPublicKey):
        return key, ("RS256", "RS384", "RS512")
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return key, (_CURVES[key.curve.name],)
    raise ValueError("public_key must be an RSA key, or one on P-256, P-384 or P-521")


class TokenIssuer:
    """Verifies JWTs, issues access tokens and decides which are valid. Times are epoch seconds."""

    def __init__(self, *, api_code: str, public_key: str, lifetime: float) -> None:
        self._api_code = api_code
        self._key, self._algorithms = read_public_key(public_key)
        self._lifetime = lifetime
        self._expiries: dict[str, float] = {}

    def exchange(self, signed: str | None, now: float) -> dict[str, Any]:
        """The token endpoint's answer to a JWT; HttpError where it does not verify."""
        try:
            claims = jwt.decode(signed or "", self._key, algorithms=list(self._algorithms), options=_SIGNATURE_ONLY)
        except (jwt.InvalidTokenError, ValueError) as error:
            raise _unauthorized() from error
        expiry: Any = claims.get("exp")
        is_number = isinstance(expiry, int | float) and not isinstance(expiry, bool)
        if claims.get("api_code") != self._api_code or not is_number or not now < expiry <= now + MAX_JWT_LIFETIME:
            raise _unauthorized()
        return {"access_token": self.mint(now), "expires_in": round(self._lifetime, 3)}

    def mint(self, now: float) -> str:
        token = secrets.token_urlsafe(32)
        self._expiries[token] = now + self._lifetime
        return token

    def check(self, token: str | None, now: float) -> None:
        """HttpError unless the token was issued here, is not revoked and has not expired."""
        if now >= self._expiries.get(token or "", 0.0):
            raise _unauthorized()

    def revoke_all(self) -> None:
        self._expiries.clear()


def _unauthorized() -> HttpError:
    return HttpError(401, UNAUTHORIZED, headers={"WWW-Authenticate": 'Basic realm="eve"'})
