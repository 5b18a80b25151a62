"""What is kept of the head of a response: a closed list of headers, as an immutable value."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from amili_async import Headers, ResponseHead
from amili_async.response_head import KEPT_HEADERS, REQUEST_IDS

RECEIVED = CIMultiDictProxy(
    CIMultiDict(
        {
            "X-Request-ID": "abc-123",
            "CF-RAY": "8f1-ARN",
            "Content-Type": "application/json",
            "Retry-After": "7",
            "Set-Cookie": "session=s3cret",
            "Location": "https://example.com/?where=s3cret",
            "X-API-Key": "s3cret",
            "Authorization": "Bearer s3cret",
            "Link": "<https://example.com/?where=s3cret>",
            "ETag": "s3cret",
        }
    )
)
KEPT = {"x-request-id": "abc-123", "cf-ray": "8f1-ARN", "content-type": "application/json", "retry-after": "7"}


def test_only_the_headers_of_the_list_are_kept() -> None:
    """Cookies, credentials, URLs and all others are dropped; names are in lower case."""
    assert Headers(RECEIVED) == KEPT
    assert "s3cret" not in repr(Headers(RECEIVED))


def test_the_list_holds_no_header_with_a_secret() -> None:
    """Neither credentials and cookies, nor what can quote a URL with its query, nor versions of records."""
    secret = {"set-cookie", "authorization", "x-api-key", "www-authenticate", "location", "link", "etag", "refresh"}
    assert secret.isdisjoint(KEPT_HEADERS)
    assert all(name == name.lower() for name in KEPT_HEADERS)


@pytest.mark.parametrize("value", ["a" * 257, "a\x1b[31m", "a\x7f", "a\ud800", "a\u202e", "a\tb", "a\n", "å", ""])
def test_a_value_that_no_log_should_hold_is_dropped(value: str) -> None:
    """Too long, or with a character that steers a terminal, ends or reverses a line or cannot be encoded."""
    assert Headers({"X-Request-ID": value, "X-Cache": value, "Via": "1.1 proxy"}) == {"via": "1.1 proxy"}


@pytest.mark.parametrize("name", ["Retry-After", "Age", "Date", "X-RateLimit-Reset"])
def test_numbers_and_dates_are_no_words(name: str) -> None:
    """Where a number or a date is documented, other text is dropped."""
    for value in ("7", "0.5", "1789999999", "Fri, 27 Nov 2026 19:24:00 GMT"):
        assert Headers({name: value})[name] == value
    for value in ("soon", "-1", "7 s", "Fri, 27 Nov 2026 19:24:00 GMT, for Anna"):
        assert Headers({name: value}) == {}


def test_names_are_looked_up_regardless_of_case() -> None:
    """By index, `in` and `get`, as the headers of other HTTP libraries."""
    headers = Headers(RECEIVED)
    assert headers["X-Request-ID"] == headers["x-request-id"] == headers.get("X-REQUEST-ID") == "abc-123"
    assert "CF-Ray" in headers
    assert "Set-Cookie" not in headers
    assert headers.get("Set-Cookie") is None
    assert headers.get("Age", "0") == "0"
    with pytest.raises(KeyError):
        headers["Set-Cookie"]


CHANGES: list[Callable[[Any], Any]] = [
    lambda headers: headers.__setitem__("via", "x"),
    lambda headers: headers.__delitem__("via"),
    lambda headers: headers.update(via="x"),
    lambda headers: headers.setdefault("age", "0"),
    lambda headers: headers.pop("via"),
    lambda headers: headers.popitem(),
    lambda headers: headers.clear(),
    lambda headers: headers.__ior__({"via": "x"}),
]


@pytest.mark.parametrize("change", CHANGES)
def test_headers_cannot_be_changed(change: Callable[[Any], Any]) -> None:
    """Two errors, or an error and its cause, share one value."""
    headers = Headers({"Via": "1.1 proxy"})
    with pytest.raises(TypeError, match="cannot be changed"):
        change(headers)
    assert headers == {"via": "1.1 proxy"}


def test_headers_are_values() -> None:
    """Equal, with one hash, and the same after a pickle or a copy; JSON loggers write them as an object."""
    headers = Headers(RECEIVED)
    assert hash(headers) == hash(Headers(RECEIVED))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        copied = pickle.loads(pickle.dumps(headers, protocol))  # noqa: S301 - our own
        assert (copied, type(copied)) == (headers, Headers)
    for copied in (copy.copy(headers), copy.deepcopy(headers)):
        assert (copied, type(copied)) == (headers, Headers)
    assert json.loads(json.dumps(headers)) == msgspec.json.decode(msgspec.json.encode(headers)) == KEPT


@pytest.mark.parametrize("name", REQUEST_IDS)
def test_each_gateway_has_its_header_for_the_id(name: str) -> None:
    """Whichever of them is there is the id of the request."""
    assert Headers({name.title(): "1-67891233-abc", "Date": "x"}).request_id == "1-67891233-abc"


def test_the_id_nearest_to_the_api_counts() -> None:
    """The API's own id precedes that of a gateway; one with a blank is no id; without any there is none."""
    assert Headers({"CF-Ray": "outer", "X-Request-ID": "inner"}).request_id == "inner"
    assert Headers({"CF-Ray": "outer", "X-Request-ID": "no id"}).request_id == "outer"
    assert Headers({"CF-Ray": "", "X-Request-ID": ""}).request_id is None
    assert Headers().request_id is None


def test_a_head_is_a_value() -> None:
    """Status and headers; it is frozen, hashable and comparable, and knows the id."""
    head = ResponseHead(status=200, headers=Headers(RECEIVED))
    assert head.request_id == "abc-123"
    assert head == ResponseHead(status=200, headers=Headers(RECEIVED))
    assert hash(head) == hash(copy.deepcopy(head))
    with pytest.raises(AttributeError):
        head.status = 404  # type: ignore[misc]
