"""The rule for the API's URL: https, but for this machine and, if the caller accepts it, a private network."""

import ipaddress
import re
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

from amili_async.errors import ConfigurationError


def check_base_url(url: object, *, allow_http: bool = False) -> str:
    """Return the URL without a final slash; `ConfigurationError` unless it is `https`, or `http` on loopback.

    *allow_http* permits `http` to other hosts, except to a public address.
    """
    problem = _find_problem(url, allow_http=allow_http)
    if problem is not None:
        raise ConfigurationError(f"base_url {problem}")
    return urlsplit(str(url)).geturl().rstrip("/")


def _find_problem(url: object, *, allow_http: bool) -> str | None:
    parts = _split_url(url)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        return "must look like https://api.example.com"
    if "@" in parts.netloc or parts.query or parts.fragment:
        return "must not contain a user, password, query or fragment"
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        if not allow_http:
            return "must be https: plain http would expose the credential on the network (allow_http permits it)"
        if _is_public(parts.hostname):
            return "must be https: allow_http permits plain http in a private network only, and this address is public"
    return None


def _split_url(url: object) -> SplitResult | None:
    # urlsplit drops tabs and newlines without an error, and lets blanks and backslashes pass into the host.
    if not isinstance(url, str) or re.search(r"[\s\x00-\x1f\x7f\\]", url) is not None:
        return None
    with suppress(ValueError):  # of an invalid port
        parts = urlsplit(url)
        return parts if parts.port != 0 else None
    return None


def _is_public(host: str) -> bool:
    # What a name resolves to is not known here, and can change.
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_global
    return False


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, by its address or its name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    # Whether `::ffff:127.0.0.1` is loopback differs between Python versions.
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None
