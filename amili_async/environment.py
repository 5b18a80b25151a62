"""The options of a client, as `AmiliClient.from_env` takes them and as it reads them from environment variables."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypedDict, TypeVar

from msgspec.structs import replace

from amili_async.auth import ApiCodeCredentials, TokenSource, TokenStore
from amili_async.errors import ConfigurationError
from amili_async.events import Observer
from amili_async.policies import RateLimit, RateLimiter, RetryPolicy

if TYPE_CHECKING:
    from ssl import SSLContext

    import aiohttp

SANDBOX_URL = "https://api-sandbox.amili.se"
"""Amili's own sandbox, the only host that the API's documentation names."""

VARIABLES = (
    "AMILI_BASE_URL",
    "AMILI_TOKEN",
    "AMILI_API_CODE",
    "AMILI_PRIVATE_KEY",
    "AMILI_PRIVATE_KEY_FILE",
    "AMILI_PRIVATE_KEY_PASSWORD",
    "AMILI_REDIS_URL",
    "AMILI_CLAIMS_URL",
    "AMILI_RATE_PER_MINUTE",
    "AMILI_RATE_PER_SECOND",
    "AMILI_RATE_LIMITER_NAME",
    "AMILI_TIMEOUT",
    "AMILI_CA_FILE",
    "AMILI_ALLOW_HTTP",
    "AMILI_LOG",
)
"""Every variable that the package reads; one that is empty counts as not set."""

N = TypeVar("N", int, float)
_MOST = 1e9
_LOG_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO}

Settings: TypeAlias = Mapping[str, str]
"""The variables and their values."""


class CallOptions(TypedDict, total=False):
    """The options of `AmiliClient` that `with_options()` replaces."""

    page_size: int
    concurrency: int
    max_wait: float | None
    retry: RetryPolicy
    timeout: float
    headers: Mapping[str, str] | None


class ClientOptions(TypedDict, total=False):
    """The options of `AmiliClient`, for a function of yours that passes them on: `**options: Unpack[ClientOptions]`."""

    # Not `CallOptions` and more: before Python 3.12 a TypedDict hides where it inherits a field from, and pdoc warns.
    base_url: str
    auth: str | ApiCodeCredentials | TokenSource
    tokens: TokenStore | None
    page_size: int
    concurrency: int
    rate_limit: RateLimit | RateLimiter | None
    max_wait: float | None
    retry: RetryPolicy
    timeout: float
    headers: Mapping[str, str] | None
    session: "aiohttp.ClientSession | None"
    ssl: "SSLContext | None"
    trust_env: bool
    allow_http: bool
    observers: Sequence[Observer]


def read_options(settings: Settings, given: ClientOptions) -> ClientOptions:
    """The options that the variables set, under those that are *given*; `ConfigurationError` names a variable."""
    _warn_of_misspelt(settings)
    options = ClientOptions()
    if "base_url" not in given and _has(settings, "AMILI_BASE_URL"):
        options["base_url"] = settings["AMILI_BASE_URL"]
    if "auth" not in given:
        options["auth"] = _read_auth(settings)
    if "rate_limit" not in given:
        base_url = given.get("base_url") or options.get("base_url", SANDBOX_URL)
        options["rate_limit"] = _read_rate_limit(settings, base_url, given.get("auth") or options.get("auth"))
    if "timeout" not in given and (timeout := _read_number(settings, "AMILI_TIMEOUT", float)) is not None:
        options["timeout"] = timeout
    if "ssl" not in given and _has(settings, "AMILI_CA_FILE"):
        options["ssl"] = _read_authorities(settings)
    if "allow_http" not in given and _has(settings, "AMILI_ALLOW_HTTP"):
        options["allow_http"] = _read_consent(settings)
    options = {**options, **given}
    if "tokens" not in given and _has(settings, "AMILI_REDIS_URL") and isinstance(options["auth"], ApiCodeCredentials):
        options["tokens"] = _share_tokens(settings, options["auth"], str(options.get("base_url", "")))
    observers = options.get("observers", ())
    if _has(settings, "AMILI_LOG") and isinstance(observers, Sequence):
        from amili_async.observers.log import LogEvents

        if not any(isinstance(each, LogEvents) for each in observers):
            options["observers"] = (*observers, *read_log(settings))
    return options


def read_log(settings: Settings) -> Sequence[Observer]:
    """The observer that `AMILI_LOG` adds, none without it: it logs, on stderr if the program has no handler."""
    if not _has(settings, "AMILI_LOG"):
        return ()
    level = _LOG_LEVELS.get(settings["AMILI_LOG"].lower())
    if level is None:
        raise ConfigurationError("AMILI_LOG must be debug or info")
    from amili_async.observers.log import LogEvents, log_to_stderr

    log_to_stderr(level)
    return (LogEvents(),)


def _has(settings: Settings, name: str) -> bool:
    return bool(settings.get(name))


def _warn_of_misspelt(settings: Settings) -> None:
    for name in settings:
        if name.startswith("AMILI_") and name not in VARIABLES:
            from difflib import get_close_matches

            # Only names that resemble one of ours: a program may have AMILI_ variables of its own.
            if near := get_close_matches(name, VARIABLES, 1, 0.8):
                warnings.warn(f"the environment variable {name} is not read: did you mean {near[0]}?", stacklevel=5)


def _read_number(settings: Settings, name: str, kind: type[N]) -> N | None:
    if not _has(settings, name):
        return None
    with suppress(ValueError):
        number = kind(settings[name])
        if 0 < number < _MOST:
            return number
    raise ConfigurationError(f"{name} must be a {'whole ' if kind is int else ''}number of more than zero")


def _read_rate_limit(settings: Settings, base_url: str, auth: object) -> RateLimit | RateLimiter:
    limit = RateLimit(
        per_minute=_read_number(settings, "AMILI_RATE_PER_MINUTE", int) or RateLimit().per_minute,
        per_second=_read_number(settings, "AMILI_RATE_PER_SECOND", int) or RateLimit().per_second,
    )
    if not _has(settings, "AMILI_REDIS_URL"):
        return limit
    from amili_async.shared.rate_limiter import RedisRateLimiter

    # By default a shared rate limiter keeps a tenth for single calls.
    limit = replace(limit, reserve=limit.per_minute // 10)
    name = settings.get("AMILI_RATE_LIMITER_NAME") or _name_key(settings, base_url, auth)
    return RedisRateLimiter.from_url(settings["AMILI_REDIS_URL"], name, limit=limit)


def _name_key(settings: Settings, base_url: str, auth: object) -> str:
    """A name of the API key that shows nothing of it: all processes that use the key on this server have it."""
    key = auth if isinstance(auth, str) else settings.get("AMILI_API_CODE")
    if not key:
        raise ConfigurationError(
            "AMILI_RATE_LIMITER_NAME is not set: with AMILI_REDIS_URL and without AMILI_API_CODE it must name the API "
            "key, the same for all processes that use that key"
        )
    return blake2b(f"{base_url.rstrip('/')} {key}".encode(), digest_size=12).hexdigest()


def _read_consent(settings: Settings) -> bool:
    if settings["AMILI_ALLOW_HTTP"] not in {"0", "1"}:
        raise ConfigurationError("AMILI_ALLOW_HTTP must be 1, to permit plain http in a private network, or 0")
    return settings["AMILI_ALLOW_HTTP"] == "1"


def _read_auth(settings: Settings) -> str | ApiCodeCredentials:
    has_token, has_code = _has(settings, "AMILI_TOKEN"), _has(settings, "AMILI_API_CODE")
    has_key, has_file = _has(settings, "AMILI_PRIVATE_KEY"), _has(settings, "AMILI_PRIVATE_KEY_FILE")
    for (first, is_set), (second, is_set_too) in (
        (("AMILI_TOKEN", has_token), ("AMILI_API_CODE", has_code)),
        (("AMILI_PRIVATE_KEY", has_key), ("AMILI_PRIVATE_KEY_FILE", has_file)),
    ):
        if is_set and is_set_too:
            raise ConfigurationError(f"{first} and {second} are both set: unset one of them")
    if has_token:
        return settings["AMILI_TOKEN"]
    if not has_code or not (has_key or has_file):
        missing = "AMILI_PRIVATE_KEY_FILE" if has_code else "AMILI_API_CODE" if has_key or has_file else "AMILI_TOKEN"
        raise ConfigurationError(
            f"{missing} is not set: set AMILI_TOKEN, or both AMILI_API_CODE and AMILI_PRIVATE_KEY_FILE (or "
            "AMILI_PRIVATE_KEY, the key itself)"
        )
    key = settings["AMILI_PRIVATE_KEY"] if has_key else _read_key_file(settings)
    return ApiCodeCredentials(
        settings["AMILI_API_CODE"], key, password=settings.get("AMILI_PRIVATE_KEY_PASSWORD") or None
    )


def _share_tokens(settings: Settings, credentials: ApiCodeCredentials, base_url: str) -> TokenStore:
    from amili_async.shared.tokens import RedisTokens

    return RedisTokens.from_url(settings["AMILI_REDIS_URL"], base_url.rstrip("/"), secret=credentials)


def _read_key_file(settings: Settings) -> str | bytes:
    try:
        return Path(settings["AMILI_PRIVATE_KEY_FILE"]).read_bytes()
    except OSError as error:  # its text holds the path, which may be the key itself, set by mistake
        reason = error.strerror
    except ValueError:
        reason = "not a valid path"
    raise ConfigurationError(f"AMILI_PRIVATE_KEY_FILE cannot be read: {reason}; it must be the path of the key file")


def _read_authorities(settings: Settings) -> "SSLContext":
    """A context that trusts the authorities of the system and those in the file."""
    import ssl

    context = ssl.create_default_context()
    try:
        context.load_verify_locations(settings["AMILI_CA_FILE"])
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = "it is no PEM file with certificates" if isinstance(error, ssl.SSLError) else "it cannot be read"
        raise ConfigurationError(f"AMILI_CA_FILE: {reason}; it must be the path of a file with certificates") from None
    return context
