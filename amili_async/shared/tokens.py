"""One access token for all processes with the same credentials, encrypted in Redis or Valkey.

Invariant: Redis holds only what the processes themselves can decrypt, for no longer than the token lives. The lifetime
is the time to live of the key, so no two clocks are compared.
"""

import base64
import hmac
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from amili_async._wire.frames import hide_variables
from amili_async._wire.tasks import hide_contents, not_picklable
from amili_async.auth import ApiCodeCredentials, Token
from amili_async.errors import ConfigurationError
from amili_async.shared.connection import connect_each_time

if TYPE_CHECKING:
    from cryptography.fernet import Fernet
    from redis.asyncio import Redis

KEPT_WITHOUT_LIFETIME = 3600.0
"""Seconds for which a token is kept whose lifetime is not known."""
MAX_KEPT = 30 * 86_400.0
"""Seconds for which a token is kept at most."""
MIN_SECRET = 16
"""Characters of a secret that is a text."""
_UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


@hide_contents
class _Sealed(Struct, frozen=True):
    """What is stored, before it is encrypted."""

    value: str
    has_lifetime: bool


@not_picklable
class RedisTokens:
    """A `TokenStore` in Redis or Valkey: one process fetches, and the others take its token.

    *redis* is your `redis.asyncio.Redis`, which is not closed. *name* distinguishes what has the same credentials, such
    as two base URLs. *secret* is the client's `ApiCodeCredentials`, or for another token source a text of at least 16
    characters that only your processes know: what is stored is encrypted with a key derived from it. Redis needs no
    persistence: if it loses the token, or cannot be reached, each process fetches one. Raises `ConfigurationError` for
    a URL or a secret that cannot work.
    """

    @hide_variables  # the URL may hold a password
    def __init__(self, redis: "Redis | str", name: str, *, secret: ApiCodeCredentials | str) -> None:
        derive = _derivation_from(secret)
        # A digest: neither the key's name nor what lists keys shows the API code or the name.
        self._key = f"amili:token:{derive(f'name of a token {name}').hex()[:32]}"
        self._encryption_key = base64.urlsafe_b64encode(derive("encryption of a token"))
        self._connect = connect_each_time(redis)

    @classmethod
    @hide_variables
    def from_url(cls, url: str, name: str, *, secret: ApiCodeCredentials | str) -> "RedisTokens":
        """Tokens in the Redis of a URL. Each use makes a connection of its own, so there is nothing to close."""
        return cls(url, name, secret=secret)

    def __repr__(self) -> str:
        return "RedisTokens(<hidden>)"

    async def load(self) -> Token | None:
        """The stored token with what is left of its lifetime; one that cannot be decrypted does not count."""
        from cryptography.fernet import InvalidToken

        async with self._connect() as redis, redis.pipeline() as pipe:
            sealed, milliseconds = await pipe.get(self._key).pttl(self._key).execute()
        if sealed is None or milliseconds <= 0:
            return None
        try:
            stored = msgspec.json.decode(self._fernet().decrypt(sealed), type=_Sealed)
        except (InvalidToken, msgspec.DecodeError):
            return None
        return Token(value=stored.value, lifetime=milliseconds / 1000 if stored.has_lifetime else None)

    async def save(self, token: Token) -> None:
        """Keep a token, encrypted, for its lifetime; for an hour if that is not known."""
        lifetime = token.lifetime if token.lifetime != inf else None
        sealed = self._fernet().encrypt(msgspec.json.encode(_Sealed(token.value, lifetime is not None)))
        seconds = KEPT_WITHOUT_LIFETIME if lifetime is None else min(lifetime, MAX_KEPT)
        async with self._connect() as redis:
            await redis.set(self._key, sealed, px=max(1, int(seconds * 1000)))

    @asynccontextmanager
    async def lock(self, seconds: float) -> AsyncIterator[bool]:
        """Whether no other process had the lock; it is released after the block, or after so many *seconds*."""
        name, owner = f"{self._key}:lock", secrets.token_hex(16)
        async with self._connect() as redis:
            is_ours = bool(await redis.set(name, owner, nx=True, px=int(seconds * 1000)))
        try:
            yield is_ours
        finally:
            if is_ours:
                async with self._connect() as redis:
                    await redis.eval(_UNLOCK, 1, name, owner)

    def _fernet(self) -> "Fernet":
        from cryptography.fernet import Fernet

        return Fernet(self._encryption_key)


def _derivation_from(secret: ApiCodeCredentials | str) -> Callable[[str], bytes]:
    """How to derive keys from the secret."""
    if isinstance(secret, ApiCodeCredentials):
        return secret.derive_key
    if not isinstance(secret, str) or len(secret) < MIN_SECRET:
        raise ConfigurationError(
            f"RedisTokens: secret must be the client's ApiCodeCredentials, or a str of at least {MIN_SECRET} characters"
        )
    return lambda purpose: hmac.digest(secret.encode(), purpose.encode(), "sha256")
