"""Which error an error response means, and which of the server's words it keeps."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_async._wire.error_responses import body_reports_error, error_from_response
from amili_async.errors import (
    AmiliError,
    ApiError,
    AuthenticationError,
    BadRequest,
    NotFound,
    ServerFault,
    ValidationFailed,
)
from tests.unit.wire.conftest import texts_of

CANARY = "CANARY"
FLASK_500 = b"""<!doctype html>
<html lang=en>
<title>500 Internal Server Error</title>
<h1>Internal Server Error</h1>
<p>The server encountered an internal error &amp; was unable to complete your request.</p>
"""


def error_for(body: Any, status: int = 422) -> ApiError:
    """The error for a response with this body."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    error = error_from_response("POST /creditor--payments", status, raw)
    assert isinstance(error, ApiError)
    return error


@pytest.mark.parametrize(
    ("issues", "collected"),
    [
        ({"amount": "min value is 0"}, {"amount": ("min value is 0",)}),
        ({"amount": ["too small", "not a number"]}, {"amount": ("too small", "not a number")}),
        ({"customer": {"name": "required"}}, {"customer.name": ("required",)}),
        ({"customer.name": "required"}, {"customer.name": ("required",)}),
        (
            {"rows": [{"0": [{"amount": ["required"]}], "1": ["bad"]}]},
            {"rows.0.amount": ("required",), "rows.1": ("bad",)},
        ),
        ({"a": ["one", {"b": "two"}, ["three"]]}, {"a": ("one", "three"), "a.b": ("two",)}),
        ({"amount": 5, "case": None, "origin": True}, {"amount": ("5",), "case": ("None",), "origin": ("True",)}),
        ({"amount": "x" * 1000}, {"amount": ("x" * 300,)}),
        ({}, {}),
        (None, {}),
        ("a text", {}),
        (["a", "list"], {}),
        (5, {}),
    ],
)
@pytest.mark.parametrize("place", ["_issues", "details"])
def test_field_errors_in_all_their_forms(issues: Any, collected: dict[str, tuple[str, ...]], place: str) -> None:
    """A text, a list or nested, in `_issues` or in `_error.details`: dotted names to the messages of each."""
    error = {"code": 422, "message": "Validation failed"}
    body = {"_status": "ERR", "_error": error, "_issues": issues}
    if place == "details":
        body = {"_status": "ERR", "_error": {**error, "details": issues}}
    assert error_for(body).issues == collected


def test_field_errors_of_both_places_are_joined() -> None:
    """Neither place hides the other."""
    error = error_for({"_issues": {"amount": "too small"}, "_error": {"details": {"case": "unknown"}}})
    assert error.issues == {"amount": ("too small",), "case": ("unknown",)}
    assert "(fields: amount, case; see .issues)" in str(error)


def test_the_servers_words_are_on_attributes_only() -> None:
    """`issues` and `excerpt` may quote the request; the text names fields, status and request."""
    error = error_for(
        {"_error": {"code": 422, "message": f"bad {CANARY}"}, "_issues": {"amount": f"value '{CANARY}' is wrong"}}
    )
    assert isinstance(error, ValidationFailed)
    assert (error.code, error.excerpt) == (422, f"bad {CANARY}")
    assert CANARY in error.issues["amount"][0]
    assert CANARY not in texts_of(error)
    assert str(error) == (
        "POST /creditor--payments returned 422: the document is not valid (fields: amount; see .issues)"
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [({"code": 404}, 404), ({"code": "E17"}, "E17"), ({"code": None}, None), ({"code": [1]}, None), ("text", None)],
)
def test_the_servers_code(error: Any, code: Any) -> None:
    """The code of the body is kept, but does not override an error status."""
    found = error_for({"_status": "ERR", "_error": error}, 400)
    assert (type(found), found.status, found.code) == (BadRequest, 400, code)


def test_a_page_of_html() -> None:
    """Flask's own page for a 500 is a `ServerFault` with its words, without the markup."""
    error = error_for(FLASK_500, 500)
    assert isinstance(error, ServerFault)
    assert error.excerpt == (
        "500 Internal Server Error Internal Server Error "
        "The server encountered an internal error & was unable to complete your request."
    )
    assert "encountered" not in texts_of(error)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00",
        b"null",
        b"5",
        b'"text"',
        b"[]",
        b"{",
        b'{"_error": 5, "_issues": 5}',
        b'{"_error": {"message": {"a": 1}}}',
        b'{"_error": {"code": NaN}}',
        b"[" * 100_000,
        b'{"_issues": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}",
        b'{"_issues": {"a": ' + b'{"b":' * 900 + b"1" + b"}" * 900 + b"}}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_any_body_of_a_503_is_a_server_fault(body: bytes) -> None:
    """Whatever the body, its excerpt is short."""
    error = error_for(body, 503)
    assert type(error) is ServerFault
    assert len(error.excerpt) <= 300


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["_issues", "_error", "details", "code", "message", "a"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.fixed_dictionaries({}, optional={"_issues": json_values, "_error": json_values, "_status": json_values}))
def test_any_json_makes_an_error(body: dict[str, Any]) -> None:
    """Any JSON in the usual places leads to an error whose issues are texts by name."""
    error = error_from_response("GET /x", 400, json.dumps(body).encode())
    assert isinstance(error, ApiError)
    assert all(
        isinstance(name, str) and all(isinstance(text, str) for text in texts) for name, texts in error.issues.items()
    )


@pytest.mark.parametrize("depth", range(850, 1001, 10))
def test_issues_nested_to_the_limit(depth: int) -> None:
    """However deeply the server nests field errors, they are read or left out."""
    error = error_for(b'{"_issues": {"a": ' + b"[" * depth + b"]" * depth + b"}}")
    assert isinstance(error, ValidationFailed)


def test_a_401_is_about_the_credentials() -> None:
    """Its error is not an `ApiError`, and quotes nothing."""
    error = error_from_response("GET /x", 401, b'{"_error": {"message": "CANARY"}}')
    assert isinstance(error, AuthenticationError)
    assert error.status == 401
    assert CANARY not in texts_of(error)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ({"_status": "ERR", "_error": {"code": 422, "message": "no"}}, ValidationFailed, 422),
        ({"_status": "ERR", "_error": {"code": 404}}, NotFound, 404),
        ({"_status": "ERR", "_error": {"code": 500}}, ServerFault, 500),
        ({"_status": "ERR", "_error": {"code": 401}}, AuthenticationError, 401),
        ({"_status": "ERR", "_error": {"code": 17}}, ApiError, 200),
        ({"_status": "ERR", "_error": {"code": "422"}}, ApiError, 200),
        ({"_status": "ERR"}, ApiError, 200),
    ],
)
def test_an_error_in_a_200(body: dict[str, Any], kind: type[AmiliError], status: int) -> None:
    """If a 2xx body reports ERR, its code decides the error."""
    assert body_reports_error(msgspec.json.encode(body))
    error = error_from_response("GET /x", 200, msgspec.json.encode(body))
    assert type(error) is kind
    assert getattr(error, "status", None) == status


def test_an_error_without_a_code_may_have_been_processed() -> None:
    """A 201 that reports ERR without a code is no proof that no payment was registered."""
    assert not error_for({"_status": "ERR"}, 201).was_not_processed


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"_status": "OK"}', b'{"_status": ["ERR"]}', b'"ERR"', b"\xff"])
def test_other_bodies_report_no_error(body: bytes) -> None:
    """Only `_status: "ERR"` at the top level of an object does."""
    assert not body_reports_error(body)


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308, 399])
def test_the_error_of_a_redirect_names_base_url(status: int) -> None:
    """A wrong base_url is its likely cause."""
    assert "redirects are not followed" in str(error_for(b"", status))
