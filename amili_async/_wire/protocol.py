"""The API's rules as pure functions: make requests, and read status and headers of responses.

Invariant: nothing here does I/O, and no error raised here quotes a query, a credential or a record.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from amili_async._wire.error_responses import body_reports_error, error_from_response
from amili_async._wire.tasks import hide_contents
from amili_async.errors import ApiError, ConfigurationError, ConnectionFailed, UnreadableResponse
from amili_async.models.timestamps import parse_date
from amili_async.policies import Priority, Quota
from amili_async.query import Query

D = TypeVar("D", bound=float | None)

MAX_PAGE_SIZE = 100
"""Records: the API puts no more on one page, and clamps a larger size without an error."""
MAX_ERROR_SCAN_BYTES = 16_384
"""Only 2xx bodies smaller than this are scanned for `_status: "ERR"` and for their end; larger ones are pages."""
MAX_QUOTA_RESET = 86_400
"""Seconds: a reported reset later than a day is ignored; it is a unit or a clock that we do not understand."""
MAX_REQUEST_TARGET = 8000
"""Bytes of path and query: nginx and other gateways reject a request line of more than 8 kB by default."""
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY_JSON = msgspec.json.Decoder(msgspec.Raw)


@hide_contents
class Request(Struct, frozen=True, gc=False, kw_only=True):
    """A request, without its credential."""

    method: str
    """`GET` or `POST`."""
    target: str
    """Path and query, percent-encoded."""
    label: str
    """Method and path, for errors: the query may hold personal data."""
    operation: str
    """What it is for, in one word of `CallStarted.operation`."""
    resource: str
    """The API's path of the resource."""
    priority: Priority
    """Which permit it waits for."""
    body: bytes | None = None
    """JSON, for a POST."""
    before_send: Callable[[], Awaitable[None]] | None = None
    """Called right before each attempt, permit in hand: the request may leave from then on. May raise to prevent it."""
    is_verified: bool = False
    """Whether a response of any size is read to its end before it counts as one."""

    def __repr__(self) -> str:
        return f"Request({self.label})"


@hide_contents
class Response(Struct, frozen=True, gc=False, kw_only=True):
    """A response, read completely."""

    status: int
    """The HTTP status."""
    headers: Mapping[str, str]
    """Looked up regardless of case."""
    body: bytes
    """Decompressed."""

    def __repr__(self) -> str:
        return f"Response(status={self.status}, size={len(self.body)})"


def list_request(
    path: str,
    query: Query,
    *,
    page: int = 1,
    max_results: int = MAX_PAGE_SIZE,
    operation: str = "page",
    priority: Priority = Priority.SINGLE,
    is_verified: bool = False,
) -> Request:
    """The request for one page of a list; `ConfigurationError` if the query makes the request line too long."""
    target = f"/{path}?{query.encoded}&page={page}&max_results={max_results}"
    if (size := len(target)) > MAX_REQUEST_TARGET:
        raise ConfigurationError(
            f"the query makes a request line of {size} bytes; gateways reject more than {MAX_REQUEST_TARGET}: "
            "split a long is_in() into several queries"
        )
    return Request(
        method="GET",
        target=target,
        label=f"GET /{path}",
        operation=operation,
        resource=path,
        priority=priority,
        is_verified=is_verified,
    )


def item_request(path: str, record_id: str, projection: str = "") -> Request:
    """The request for one record; *projection* is JSON."""
    target = f"/{path}/{record_id}"
    parameters = f"?projection={quote(projection, safe='')}" if projection else ""
    return Request(
        method="GET",
        target=target + parameters,
        label=f"GET {target}",
        operation="get",
        resource=path,
        priority=Priority.SINGLE,
        is_verified=True,
    )


def create_request(path: str, body: bytes, *, before_send: Callable[[], Awaitable[None]] | None = None) -> Request:
    """The request that creates a record."""
    return Request(
        method="POST",
        target=f"/{path}",
        label=f"POST /{path}",
        operation="create",
        resource=path,
        priority=Priority.SINGLE,
        body=body,
        before_send=before_send,
    )


def raise_for_error(request: Request, response: Response, *, now: float) -> None:
    """Raise if the status is that of an error, if the body reports one in spite of its status, or is no whole object.

    *now* (seconds since 1970) is for a `Retry-After` that is a date.
    """
    body = response.body
    # The search for the bytes spares each page a second JSON decoding.
    may_report_error = len(body) < MAX_ERROR_SCAN_BYTES and b'"ERR"' in body
    if not 200 <= response.status < 300 or (may_report_error and body_reports_error(body)):
        error = error_from_response(request.label, response.status, body)
        error.server_time = server_time(response, default=None)
        if isinstance(error, ApiError):
            error.retry_after = read_retry_after(response, now=now)
        raise error.with_headers(response.headers)
    if not _is_whole(request, body):
        raise not_an_answer(request.label, response)


def _is_whole(request: Request, body: bytes) -> bool:
    """Whether a body can be an answer: a JSON object that is not cut off; from the token endpoint any JSON.

    To read a page to its end costs a tenth of its decoding, so only the first and last bytes of one are compared here.
    One that is cut off after a `}` is found when it is decoded, and then requested again with `is_verified`.
    """
    if len(body) >= MAX_ERROR_SCAN_BYTES and not request.is_verified:
        return body[:16].lstrip()[:1] + body[-16:].rstrip()[-1:] == b"{}"
    decoder: msgspec.json.Decoder[Any] = _ANY_JSON if request.priority is Priority.TOKEN else _OBJECT
    try:
        decoder.decode(body)
    except (msgspec.DecodeError, ValueError):  # msgspec raises UnicodeDecodeError for names that are no UTF-8
        return False
    except RecursionError:
        return True
    return True


def not_an_answer(label: str, response: Response) -> ConnectionFailed:
    """The error for a success whose body is cut off, or is not of the API: the attempt failed."""
    kind = re.match(r"[\w.+-]{1,40}/[\w.+-]{1,40}", response.headers.get("Content-Type", ""))
    what = f"status {response.status}, {kind[0]}" if kind else f"status {response.status}"
    return ConnectionFailed(
        f"{label}: the response ({what}) is no complete JSON object: it was cut off, or is not of the API",
        request=label,
    ).with_headers(response.headers)


def is_current(response: Response) -> bool:
    """Whether the response shows the present: `Age` is the age of what a cache had stored (RFC 9111, 5.1)."""
    return not response.headers.get("Age", "").strip().strip("0")


def check_is_current(request: Request, response: Response) -> None:
    """Raise `UnreadableResponse` if a cache sent what it had stored."""
    if not is_current(response):
        raise UnreadableResponse(
            f"{request.label} was answered from a cache (its header Age is not 0) although the request has "
            "Cache-Control: no-cache, so rows can be missing that exist: have the cache bypassed for this host",
            request=request.label,
        ).with_headers(response.headers)


def read_retry_after(response: Response, *, now: float) -> float | None:
    """Seconds of `Retry-After`, from a number or an HTTP date; `None` if it is absent or invalid."""
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text):
        return float(text)
    try:
        return max(0.0, parse_date(text).timestamp() - server_time(response, default=now))
    except ValueError:
        return None


def read_quota(response: Response, *, now: float) -> Quota | None:
    """The quota of `X-RateLimit-*`; `None` if these headers are absent or invalid.

    Eve sends the reset in seconds since 1970, which is compared with the server's own `Date`; other servers send the
    seconds from now, which are smaller numbers.
    """
    remaining = _read_count(response.headers.get("X-RateLimit-Remaining"))
    if remaining is None or (reset := _read_count(response.headers.get("X-RateLimit-Reset"))) is None:
        return None
    reset_in = reset - server_time(response, default=now) if reset > 1_000_000_000 else float(reset)
    if not 0 <= reset_in <= MAX_QUOTA_RESET:
        return None
    return Quota(limit=_read_count(response.headers.get("X-RateLimit-Limit")), remaining=remaining, reset_in=reset_in)


def _read_count(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,12}", text.strip()) else None


def server_time(response: Response, *, default: D) -> float | D:
    """Seconds since 1970 by the server's `Date`, so that a wrong clock of ours has no effect; else *default*."""
    try:
        return parse_date(response.headers.get("Date", "")).timestamp()
    except ValueError:
        return default
