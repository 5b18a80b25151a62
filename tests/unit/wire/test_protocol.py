"""Requests as they are sent, and how status and headers of a response are read."""

from email.utils import formatdate
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.pretty import pretty_repr

from amili_async._wire.protocol import (
    MAX_REQUEST_TARGET,
    Request,
    Response,
    create_request,
    item_request,
    list_request,
    raise_for_error,
    read_quota,
    read_retry_after,
    server_time,
)
from amili_async.conditions import field
from amili_async.errors import (
    AmiliError,
    ApiError,
    AuthenticationError,
    BadRequest,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    NotFound,
    RateLimited,
    ServerFault,
    ValidationFailed,
)
from amili_async.policies import Priority, Quota
from amili_async.query import Query, build_query
from tests.unit.wire.conftest import answer, texts_of

NOW = 1_750_000_000.0
ID = "507f1f77bcf86cd799439099"
CANARY = "CANARY"


# Requests


def test_a_list_request() -> None:
    """Filter, sort, projection and page are in the query, percent-encoded, and the label has none of them."""
    query = build_query(field("state") == "a b&c=d/ö+%", sort="-amount", projection=["amount"])
    request = list_request("finance--payouts", query, page=3, max_results=50, priority=Priority.BULK)
    assert (request.method, request.label, request.priority, request.body) == (
        "GET",
        "GET /finance--payouts",
        Priority.BULK,
        None,
    )
    assert request.target == (
        "/finance--payouts?where=%7B%22state%22%3A%22a%20b%26c%3Dd%2F%C3%B6%2B%25%22%7D"
        "&sort=-amount%2C_id&projection=%7B%22amount%22%3A1%7D&page=3&max_results=50"
    )


def test_a_list_request_without_a_filter() -> None:
    """Only order, page and page size are always sent."""
    assert list_request("creditor--payments", Query()).target == "/creditor--payments?sort=_id&page=1&max_results=100"


@given(st.text(max_size=50), st.integers(1, 10**6), st.integers(1, 100))
def test_the_query_arrives_unchanged(text: str, page: int, size: int) -> None:
    """Whatever a filter holds, the server decodes the same parameters from the target."""
    if not text.isprintable():
        text = repr(text)
    query = Query(where=text or "{}", sort="-a,_id", projection='{"a":1}')
    target = list_request("x", query, page=page, max_results=size).target
    assert target.isascii()
    assert dict(parse_qsl(urlsplit(target).query)) == {
        "where": query.where,
        "sort": "-a,_id",
        "projection": '{"a":1}',
        "page": str(page),
        "max_results": str(size),
    }


def test_a_request_line_has_a_largest_length() -> None:
    """A query that gateways would reject raises without being quoted."""
    rest = len(list_request("x", Query(where="{}")).target) - len("%7B%7D")
    assert len(list_request("x", Query(where="a" * (MAX_REQUEST_TARGET - rest))).target) == MAX_REQUEST_TARGET
    with pytest.raises(ConfigurationError, match="8001 bytes") as caught:
        list_request("x", Query(where=CANARY + "a" * (MAX_REQUEST_TARGET - rest - len(CANARY) + 1)))
    assert CANARY not in texts_of(caught.value)


def test_a_long_list_of_ids_raises() -> None:
    """Some three hundred ids do not fit into one request."""
    query = build_query(field("creditor").is_in([ID] * 300))
    with pytest.raises(ConfigurationError, match="split a long is_in"):
        list_request("finance--payouts", query)


def test_an_item_request() -> None:
    """The path names the record; the query holds a projection at most."""
    plain = item_request("finance--payouts", ID)
    assert (plain.method, plain.target, plain.priority) == ("GET", f"/finance--payouts/{ID}", Priority.SINGLE)
    projected = item_request("finance--payouts", ID, '{"amount":1}')
    assert projected.target == f"/finance--payouts/{ID}?projection=%7B%22amount%22%3A1%7D"
    assert plain.label == projected.label == f"GET /finance--payouts/{ID}"


def test_a_create_request() -> None:
    """A new record is posted with its body."""
    request = create_request("creditor--payments", b"{}")
    assert (request.method, request.target, request.label, request.body) == (
        "POST",
        "/creditor--payments",
        "POST /creditor--payments",
        b"{}",
    )


def test_requests_and_responses_do_not_show_their_contents() -> None:
    """A repr has method and path, or status and size; rich shows no more."""
    request = Request(
        method="GET",
        target=f"/x?where={CANARY}",
        label="GET /x",
        operation="page",
        resource="x",
        priority=Priority.BULK,
        body=CANARY.encode(),
    )
    response = Response(status=200, headers={"X-API-Key": CANARY}, body=CANARY.encode())
    assert repr(request) == pretty_repr(request) == "Request(GET /x)"
    assert repr(response) == pretty_repr(response) == "Response(status=200, size=6)"


# Status

REQUEST = Request(method="GET", target="/x", label="GET /x", operation="page", resource="x", priority=Priority.SINGLE)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_a_2xx_status_with_an_object_raises_nothing(status: int) -> None:
    """The body is decoded later."""
    raise_for_error(REQUEST, answer(b' {"not": "decoded"}\n', status=status), now=NOW)


LARGE = b'{"_items": [' + b'{"a": {"b": 1}},' * 2000 + b'{"a": {"b": 1}}]}'


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b'{"a": 1', b'{"a": {"b": 1}', b"[]", b'"text"', b"1", b"null", b"<html>busy</html>"),
        *(b'{"a": NaN}', b'{"a": 1} trailing', LARGE[:-1], LARGE[1:], b"<html>" + LARGE, LARGE + b"<html>"),
    ],
    ids=lambda body: repr(body[:8] + body[-12:]),
)
def test_a_success_without_a_whole_object_is_a_failed_attempt(body: bytes) -> None:
    """It is retried like a broken connection; the error has status and type, and nothing of the body."""
    response = answer(body, headers={"Content-Type": "text/html; charset=utf-8"})
    with pytest.raises(ConnectionFailed, match=r"^GET /x: the response \(status 200, text/html\) is no") as caught:
        raise_for_error(REQUEST, response, now=NOW)
    assert caught.value.transient
    assert caught.value.was_sent
    assert (caught.value.request, caught.value.__context__) == ("GET /x", None)


def test_only_a_verified_request_reads_a_large_response_to_its_end() -> None:
    """A page that is cut off after a brace is found when it is decoded, and then requested again."""
    cut = answer(LARGE[:-2])
    raise_for_error(REQUEST, cut, now=NOW)
    with pytest.raises(ConnectionFailed):
        raise_for_error(replace(REQUEST, is_verified=True), cut, now=NOW)
    raise_for_error(replace(REQUEST, is_verified=True), answer(LARGE), now=NOW)


def test_a_token_may_be_a_text() -> None:
    """The token endpoint may answer with any JSON, but not with half of it."""
    request = replace(REQUEST, priority=Priority.TOKEN)
    raise_for_error(request, answer(b'"token"'), now=NOW)
    with pytest.raises(ConnectionFailed):
        raise_for_error(request, answer(b'"tok'), now=NOW)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, ApiError),
        (302, ApiError),
        (304, ApiError),
        (307, ApiError),
        (400, BadRequest),
        (401, AuthenticationError),
        (402, ApiError),
        (403, Forbidden),
        (404, NotFound),
        (405, ApiError),
        (409, Conflict),
        (412, Conflict),
        (418, ApiError),
        (422, ValidationFailed),
        (428, Conflict),
        (429, RateLimited),
        (500, ServerFault),
        (502, ServerFault),
        (503, ServerFault),
        (504, ServerFault),
        (599, ServerFault),
    ],
)
def test_each_status_is_its_error(status: int, error: type[AmiliError]) -> None:
    """The error has its class, the status and the request, and its text names both."""
    with pytest.raises(AmiliError) as caught:
        raise_for_error(REQUEST, answer(b"", status=status), now=NOW)
    assert type(caught.value) is error
    assert str(caught.value).startswith(f"GET /x returned {status}: ")
    assert getattr(caught.value, "status", None) == status
    if isinstance(caught.value, ApiError):
        assert caught.value.request == "GET /x"


@pytest.mark.parametrize("status", [429, 503, 400])
def test_retry_after_is_on_the_error(status: int) -> None:
    """`Retry-After` is read from every error response."""
    with pytest.raises(ApiError) as caught:
        raise_for_error(REQUEST, answer(status=status, headers={"retry-after": "7"}), now=NOW)
    assert caught.value.retry_after == 7.0


# Retry-After


def http_date(seconds: float) -> str:
    """RFC 1123, as servers write it."""
    return formatdate(seconds, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "120"}, 120.0),
        ({"RETRY-AFTER": " 5 "}, 5.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "+5"}, None),
        ({"Retry-After": "1e3"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "٣"}, None),
        ({"Retry-After": "9" * 10}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "5, 10"}, None),
        ({"Retry-After": http_date(NOW + 30)}, 30.0),
        ({"Retry-After": http_date(NOW - 30)}, 0.0),
        ({"Retry-After": http_date(NOW + 30), "Date": http_date(NOW - 3600)}, 3630.0),
        ({"Retry-After": http_date(NOW + 30), "Date": http_date(NOW + 3600)}, 0.0),
        ({"Retry-After": http_date(NOW + 30), "Date": "yesterday"}, 30.0),
        ({"Retry-After": "2025-06-15T15:06:40Z"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    """Seconds, or an HTTP date by the server's own clock; an invalid value is ignored."""
    assert read_retry_after(answer(headers=headers), now=NOW) == expected


# X-RateLimit-*


@pytest.mark.parametrize(
    ("limit", "remaining", "reset", "expected"),
    [
        ("100", "99", str(int(NOW) + 60), Quota(limit=100, remaining=99, reset_in=60.0)),
        ("100", "0", "30", Quota(limit=100, remaining=0, reset_in=30.0)),
        (None, "5", "0", Quota(limit=None, remaining=5, reset_in=0.0)),
        ("100, 100;w=60", "5", "1", Quota(limit=None, remaining=5, reset_in=1.0)),
        (" 100 ", " 5 ", " 1 ", Quota(limit=100, remaining=5, reset_in=1.0)),
        ("100", None, "1", None),
        ("100", "5", None, None),
        ("100", "-1", "1", None),
        ("100", "5", "-1", None),
        ("100", "five", "1", None),
        ("100", "5", "1.5", None),
        ("100", "5", "", None),
        ("100", "5", str(int(NOW) - 1), None),
        ("100", "5", str(int(NOW) + 86_401), None),
        ("100", "5", "86401", None),
        ("100", "5", f"{int(NOW)}000", None),
        ("100", "\u0665", "1", None),
    ],
)
def test_the_servers_quota(limit: str | None, remaining: str | None, reset: str | None, expected: Quota | None) -> None:
    """Seconds since 1970 or from now; `None` if a header is absent or invalid."""
    headers = {"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": reset}
    given_headers = {name.lower(): value for name, value in headers.items() if value is not None}
    assert read_quota(answer(headers=given_headers), now=NOW) == expected


def test_the_reset_is_read_by_the_servers_clock() -> None:
    """Ours may be wrong by an hour: the reset is compared with the server's `Date`."""
    headers = {
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(int(NOW) + 3660),
        "Date": http_date(NOW + 3600),
    }
    assert read_quota(answer(headers=headers), now=NOW) == Quota(limit=None, remaining=0, reset_in=60.0)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [({"Date": http_date(NOW + 5)}, NOW + 5), ({"date": "nonsense"}, NOW), ({}, NOW)],
)
def test_the_servers_time(headers: dict[str, str], expected: float) -> None:
    """The server's `Date` if it can be read, else our own time."""
    assert server_time(answer(headers=headers), default=NOW) == expected
