"""The API's rules as pure functions: a query becomes a request, and an answer is judged by its status and headers.

The law: nothing here does I/O, and no error made here quotes a query, a credential or a record.
"""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, quote, urlsplit

from msgspec import Struct

from amili_async._wire.error_responses import body_reports_error, error_from_response
from amili_async.errors import ApiError, ConfigurationError
from amili_async.models.fields import parse_date
from amili_async.policies import Priority, Quota
from amili_async.query import Query

MAX_PAGE_SIZE = 100
"""The API gives no more on one page, whatever it is asked for."""
MAX_ERROR_SCAN_BYTES = 16_384
"""Bytes of a body in which `_status: "ERR"` is looked for beside a good status; a page is larger or cheap to read."""
MAX_QUOTA_RESET = 86_400
"""Seconds: a quota that is said to be renewed later than that is not believed."""
MAX_REQUEST_TARGET = 8000
"""Bytes of path and query: common gateways refuse a request line of more than some 8 kB."""


class Request(Struct, frozen=True, gc=False, kw_only=True):
    """What is to be sent, without the credential."""

    method: str
    """`GET` or `POST`."""
    target: str
    """Path and query, encoded."""
    label: str
    """Method and path, for errors and events."""
    priority: Priority
    """Whose turn it is."""
    body: bytes | None = None
    """JSON, for a POST."""

    def __repr__(self) -> str:
        return f"Request({self.label})"

    __rich_repr__ = None  # type: ignore[assignment]  # rich would show what repr hides


class Response(Struct, frozen=True, gc=False, kw_only=True):
    """What came back, read whole."""

    status: int
    """The HTTP status."""
    headers: Mapping[str, str]
    """Looked up in any case."""
    body: bytes
    """Decompressed."""

    def __repr__(self) -> str:
        return f"Response(status={self.status}, size={len(self.body)})"

    __rich_repr__ = None  # type: ignore[assignment]  # rich would show what repr hides


def check_base_url(url: object) -> str:
    """Return the URL without a final slash; `ConfigurationError` unless it is `https`, or `http` on loopback."""
    parts = _split_url(url)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError("base_url must look like https://api.example.com")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError("base_url must hold no user, password, query or fragment")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ConfigurationError("base_url must be https: plain http would show the credential on the network")
    return parts.geturl().rstrip("/")


def _split_url(url: object) -> SplitResult | None:
    if not isinstance(url, str) or re.search(r"[\s\x00-\x1f\x7f\\]", url) is not None:
        return None
    try:
        parts = urlsplit(url)
        return parts if parts.port != 0 else None  # a port that is no port raises
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    # Pythons differ on whether an IPv4 address in IPv6 clothes is loopback.
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


def list_request(
    path: str, query: Query, *, page: int = 1, max_results: int = MAX_PAGE_SIZE, priority: Priority = Priority.SINGLE
) -> Request:
    """One page of a list; `ConfigurationError` for a query that makes too long a request line."""
    target = f"/{path}?{query.encoded}&page={page}&max_results={max_results}"
    if len(target) > MAX_REQUEST_TARGET:
        raise ConfigurationError(
            f"the query makes a request line of {len(target)} bytes; gateways reject more than {MAX_REQUEST_TARGET}: "
            "cut a long is_in() into several queries"
        )
    return Request(method="GET", target=target, label=f"GET /{path}", priority=priority)


def item_request(path: str, record_id: str, projection: str = "") -> Request:
    """One record; the projection is JSON."""
    target = f"/{path}/{record_id}"
    parameters = f"?projection={quote(projection, safe='')}" if projection else ""
    return Request(method="GET", target=target + parameters, label=f"GET {target}", priority=Priority.SINGLE)


def create_request(path: str, body: bytes) -> Request:
    """A new record."""
    return Request(method="POST", target=f"/{path}", label=f"POST /{path}", priority=Priority.SINGLE, body=body)


def raise_for_error(request: Request, response: Response, *, now: float) -> None:
    """Raise the error that the status stands for, or the body where that says so although the status does not.

    *now* is for a `Retry-After` that is a date.
    """
    is_good = 200 <= response.status < 300
    may_say_error = len(response.body) < MAX_ERROR_SCAN_BYTES and b'"ERR"' in response.body
    if not is_good or (may_say_error and body_reports_error(response.body)):
        refusal = error_from_response(request.label, response.status, response.body)
        if isinstance(refusal, ApiError):
            refusal.retry_after = read_retry_after(response, now=now)
        raise refusal


def read_retry_after(response: Response, *, now: float) -> float | None:
    """Seconds, from seconds or an HTTP date; `None` where it is absent or makes no sense."""
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text):
        return float(text)
    try:
        return max(0.0, parse_date(text).timestamp() - server_time(response, default=now))
    except ValueError:
        return None


def read_quota(response: Response, *, now: float) -> Quota | None:
    """The server's `X-RateLimit-*`, where they are there and make sense.

    The reset is in seconds since 1970 (as Eve sends it), compared with the server's own `Date`; a small number is
    taken for seconds from now.
    """
    remaining = _read_count(response.headers.get("X-RateLimit-Remaining"))
    reset = _read_count(response.headers.get("X-RateLimit-Reset"))
    if remaining is None or reset is None:
        return None
    reset_in = reset - server_time(response, default=now) if reset > 1_000_000_000 else float(reset)
    if not 0 <= reset_in <= MAX_QUOTA_RESET:
        return None
    return Quota(limit=_read_count(response.headers.get("X-RateLimit-Limit")), remaining=remaining, reset_in=reset_in)


def _read_count(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,12}", text.strip()) else None


def server_time(response: Response, *, default: float) -> float:
    """Seconds since 1970 by the server's `Date`, so that a wrong clock of ours does no harm."""
    try:
        return parse_date(response.headers.get("Date", "")).timestamp()
    except ValueError:
        return default
