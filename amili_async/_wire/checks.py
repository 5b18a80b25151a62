"""The checks of what callers pass as options: numbers, times, and callables of the right colour.

Invariant: what cannot work is a `ConfigurationError` at construction, before anything is sent.
"""

import inspect
import re
import sys
from collections.abc import Mapping
from math import inf

from amili_async.errors import ConfigurationError

_PATH = r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*"
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
_HTTP_HEADERS = frozenset(
    {"accept", "accept-encoding", "cache-control", "connection", "content-encoding", "content-length", "content-type"}
    | {"expect", "host", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""What the client or aiohttp sets: sending requests and reading responses depends on it."""


def check_count(number: object, name: str, *, least: int = 1) -> int:
    """Return a whole number of at least *least*; `ConfigurationError` for anything else."""
    # True would pass for 1: bool is a subclass of int. A larger number than maxsize fails where it meets a float.
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= sys.maxsize:
        raise ConfigurationError(f"{name} must be a whole number of at least {least}")
    return number


def check_flag(flag: object, name: str) -> bool:
    """Return True or False; `ConfigurationError` for anything else, such as a text of the environment like "no"."""
    if not isinstance(flag, bool):
        raise ConfigurationError(f"{name} must be True or False")
    return flag


def check_path(path: object) -> str:
    """Return the API's path of a resource; `ConfigurationError` for what may lead elsewhere."""
    if not (isinstance(path, str) and re.fullmatch(_PATH, path)):
        raise ConfigurationError(
            "path must be the API's path of a resource, such as 'invoices' or 'case--registrations', without slashes "
            "around it and without parameters"
        )
    return path


def check_seconds(seconds: object, name: str, *, is_positive: bool = False, may_be_inf: bool = False) -> float:
    """Return a number of seconds that is not negative; `ConfigurationError` for anything else."""
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool):
        # NaN fails each comparison, and timers overflow with infinity.
        is_finite = seconds <= sys.float_info.max
        if (seconds > 0 or (seconds == 0 and not is_positive)) and (is_finite or (may_be_inf and seconds == inf)):
            return float(seconds)
    least = "more than zero" if is_positive else "not negative"
    raise ConfigurationError(f"{name} must be a number of seconds, {least}{'' if may_be_inf else ' and finite'}")


def check_headers(headers: object) -> Mapping[str, str]:
    """Return a copy of the headers to send with each request; `ConfigurationError` for those that are not the caller's.

    No error quotes a value, which may be a secret.
    """
    if not isinstance(headers, Mapping):
        raise ConfigurationError('headers must be a mapping of names to values, such as {"X-Tenant": "north"}')
    for name, value in headers.items():
        if not isinstance(name, str) or re.fullmatch(r"[\w!#$%&'*+.^`|~-]{1,100}", name, re.ASCII) is None:
            raise ConfigurationError("headers: a name must be of letters, digits and hyphens")
        if name.lower() in _CREDENTIALS:
            raise ConfigurationError(f"headers: {name} is a credential: pass an access token as auth")
        if name.lower() in _HTTP_HEADERS:
            raise ConfigurationError(f"headers: {name} is set by the client: leave it out")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise ConfigurationError(f"headers: the value of {name} must be of printable ASCII, on one line")
    return dict(headers)


def is_async(function: object) -> bool:
    """Whether a call returns a coroutine or an async iterator, and runs nothing by itself."""
    candidates = (function, getattr(function, "__call__", None))  # noqa: B004 - an instance with an async `__call__`
    return any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in candidates)


def check_plain_function(function: object, name: str) -> None:
    """`ConfigurationError` for what cannot be called, or would not run when it is called and not awaited."""
    if not callable(function) or isinstance(function, type) or is_async(function):
        raise ConfigurationError(f"{name} must be a plain function: neither a class nor an async function")


def check_implements(value: object, protocol: type, name: str) -> None:
    """`ConfigurationError` unless *value* has the properties and methods of a protocol, async and plain ones alike."""
    if isinstance(value, type):  # it has all the methods, and is an easy mistake
        raise ConfigurationError(f"{name} is a class: pass an instance of it")
    for method, declared in vars(protocol).items():
        if isinstance(declared, property) and not hasattr(value, method):
            raise ConfigurationError(f"{name} must have a property {method}, as {protocol.__name__} has")
        if method.startswith("_") or isinstance(declared, property):
            continue
        given, needs_async = getattr(value, method, None), is_async(declared)
        # The wrapper of a decorator is plain, and returns what the async function returns.
        given = inspect.unwrap(given) if callable(given) and needs_async else given
        if not callable(given) or is_async(given) is not needs_async:
            kind = "an async" if needs_async else "a plain"
            raise ConfigurationError(f"{name} must have {kind} method {method}, as {protocol.__name__} has")
