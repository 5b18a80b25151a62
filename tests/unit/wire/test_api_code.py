"""How a token and its lifetime are found in the response to the exchange."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from amili_async._wire.api_code import EXCHANGE, read_token
from amili_async.auth import ApiCodeCredentials
from amili_async.errors import AuthenticationError
from amili_async.policies import Priority
from tests.unit.wire.conftest import answer, texts_of

NOW = 1_750_000_000.0
CANARY = "CANARY"


@cache
def private_key() -> bytes:
    """A private key as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def credentials(**options: Any) -> ApiCodeCredentials:
    """Valid credentials."""
    return ApiCodeCredentials("the-api-code", private_key(), **options)


def test_the_exchange_is_a_get_of_the_highest_priority() -> None:
    """The path is that of the guide."""
    assert (EXCHANGE.method, EXCHANGE.target, EXCHANGE.body) == ("GET", "/authenticates/api-code", None)
    assert EXCHANGE.priority is Priority.TOKEN


def made_jwt(claims: Mapping[str, Any]) -> str:
    """A token that is itself a JWT, signed by another key."""
    return jwt.encode(dict(claims), "k" * 32, algorithm="HS256")


@pytest.mark.parametrize(
    "body",
    [
        {"access_token": "t"},
        {"accessToken": "t"},
        {"token": "t"},
        {"api_token": "t"},
        {"auth_token": "t"},
        {"api_key": "t"},
        {"jwt": "t"},
        {"access_token": None, "token": "t"},
        {"access_token": "t", "token": "other"},
        {"_status": "OK", "token": "t", "user": {"name": "x"}},
        "t",
    ],
)
def test_the_token_is_found_by_the_usual_names(body: Any) -> None:
    """The name of the field is not documented: the usual names are tried, and a bare JSON string is the token."""
    token = read_token(answer(body), credentials(), now=NOW)
    assert (token.value, token.lifetime) == ("t", 600.0)


def test_the_caller_can_name_the_fields() -> None:
    """A given name is the only one that is tried."""
    named = credentials(token_name="ticket", lifetime_name="good_for", lifetime=50)
    assert read_token(answer({"ticket": "t", "good_for": 30}), named, now=NOW).lifetime == 30.0
    assert read_token(answer({"ticket": "t", "expires_in": 30}), named, now=NOW).lifetime == 50.0
    assert read_token(answer("t"), named, now=NOW).value == "t"
    with pytest.raises(AuthenticationError, match="in any of the fields ticket:"):
        read_token(answer({"access_token": "t"}), named, now=NOW)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"access_token": ""},
        {"access_token": "  "},
        {"access_token": 5},
        {"access_token": {"value": CANARY}},
        {"refresh_token": CANARY},
        {"_status": "ERR", "_error": {"message": CANARY}},
        [CANARY],
        "",
        5,
        None,
        b"",
        b"CANARY",
        b"<html>CANARY</html>",
        b"\xff",
        b"[" * 100_000,
    ],
    ids=lambda body: repr(body)[:30],
)
def test_a_response_without_a_token_raises_without_being_quoted(body: Any) -> None:
    """The error names the fields that were tried and the option to name another."""
    with pytest.raises(AuthenticationError, match="without a token in any of the fields access_token,") as caught:
        read_token(answer(body), credentials(), now=NOW)
    assert caught.value.status == 200
    assert CANARY not in texts_of(caught.value)


IN_AN_HOUR = datetime.fromtimestamp(NOW + 3600, UTC)


@pytest.mark.parametrize(
    ("fields", "lifetime"),
    [
        ({"expires_in": 3600}, 3600.0),
        ({"expires_in": "3600"}, 3600.0),
        ({"expiresIn": 0.5}, 0.5),
        ({"ttl": 60}, 60.0),
        ({"lifetime": 60}, 60.0),
        ({"expires_in": 60, "expires_at": NOW + 3600}, 60.0),
        ({"expires_in": 0}, 0.0),
        ({"expires_at": NOW + 3600}, 3600.0),
        ({"expires_at": str(int(NOW) + 3600)}, 3600.0),
        ({"expiresAt": formatdate(NOW + 3600, usegmt=True)}, 3600.0),
        ({"expires": IN_AN_HOUR.isoformat()}, 3600.0),
        ({"expiry": IN_AN_HOUR.strftime("%Y-%m-%dT%H:%M:%SZ")}, 3600.0),
        ({"valid_until": "2025-06-15T18:06:40+02:00"}, 3600.0),
        ({"exp": int(NOW) - 60}, -60.0),
        ({"expires": 3600}, 3600.0),
        ({"expires_at": "3600"}, 3600.0),
    ],
)
def test_how_long_a_token_works(fields: dict[str, Any], lifetime: float) -> None:
    """Seconds, or an instant as a number, RFC 1123 or ISO 8601; a number too small for a date is seconds."""
    token = read_token(answer({"access_token": "t", **fields}), credentials(), now=NOW)
    assert token.lifetime == lifetime


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"expires_in": None},
        {"expires_in": "soon"},
        {"expires_in": True},
        {"expires_in": [3600]},
        {"expires_in": "NaN"},
        {"expires_in": "inf"},
        {"expires_in": 10**400},
        {"expires_at": "tomorrow"},
        {"expires_at": "2025-06-15T16:06:40"},
        {"expires_at": True},
        {"expires_at": {"date": 1}},
    ],
    ids=lambda fields: repr(fields)[:40],
)
def test_an_invalid_lifetime_is_ignored(fields: dict[str, Any]) -> None:
    """The configured lifetime is used instead; an ISO date without a time zone is ambiguous."""
    body = json.dumps({"access_token": "t", **fields}).encode()
    assert read_token(answer(body), credentials(lifetime=77), now=NOW).lifetime == 77.0


@pytest.mark.parametrize(
    ("claims", "lifetime"),
    [
        ({"exp": int(NOW) + 3600}, 3600.0),
        ({"exp": int(NOW) + 3600, "iat": int(NOW) + 100}, 3500.0),
        ({"exp": int(NOW) - 100, "iat": int(NOW) - 1000}, 900.0),
        ({"exp": NOW + 0.5}, 0.5),
        ({"iat": int(NOW)}, 77.0),
        ({"sub": 5, "aud": "x", "nbf": int(NOW) + 999}, 77.0),
        ({}, 77.0),
    ],
)
def test_the_lifetime_of_a_jwt_is_read_from_its_claims(claims: dict[str, Any], lifetime: float) -> None:
    """If the response states none, `exp` does, counted from `iat` if present."""
    token = read_token(answer({"token": made_jwt(claims)}), credentials(lifetime=77), now=NOW)
    assert token.lifetime == lifetime
    assert read_token(answer(made_jwt(claims)), credentials(lifetime=77), now=NOW).lifetime == lifetime


def test_the_response_overrides_the_jwt() -> None:
    """A lifetime beside the token is meant for the client."""
    body = {"token": made_jwt({"exp": int(NOW) + 3600}), "expires_in": 60}
    assert read_token(answer(body), credentials(), now=NOW).lifetime == 60.0


@pytest.mark.parametrize(
    "body",
    [
        {"token": "t", "expires_at": NOW + 3600},
        {"token": "t", "expires_at": formatdate(NOW + 3600, usegmt=True)},
        {"token": made_jwt({"exp": int(NOW) + 3600})},
    ],
)
@pytest.mark.parametrize("skew", [-7200.0, 7200.0])
def test_a_wrong_clock_of_ours_has_no_effect(body: Any, skew: float) -> None:
    """With the server's `Date` the lifetime is right whatever our clock shows."""
    headers = {"Date": formatdate(NOW, usegmt=True)}
    assert read_token(answer(body, headers=headers), credentials(), now=NOW + skew).lifetime == 3600.0


def test_seconds_and_iat_need_no_clock() -> None:
    """A relative lifetime is the same whatever the clock shows."""
    for body in ({"token": "t", "expires_in": 60}, {"token": made_jwt({"exp": 1060, "iat": 1000})}):
        assert read_token(answer(body), credentials(), now=NOW).lifetime == 60.0


def segment(raw: bytes) -> str:
    """A part of a JWT."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@given(
    st.text(min_size=1).filter(str.strip)
    | st.builds(".".join, st.lists(st.binary().map(segment), min_size=3, max_size=3))
)
def test_any_token_is_returned_unchanged(value: str) -> None:
    """Whatever it looks like, and whether or not claims can be read from it."""
    token = read_token(answer(json.dumps({"token": value}).encode()), credentials(lifetime=77), now=NOW)
    assert (token.value, token.lifetime) == (value, 77.0)


@given(st.binary(max_size=40))
def test_invalid_claims_are_ignored(raw: bytes) -> None:
    """A token with the header of a JWT and random bytes as claims has the configured lifetime."""
    value = ".".join(segment(part) for part in (b'{"alg": "HS256"}', raw, b"x"))
    assert read_token(answer({"token": value}), credentials(lifetime=77), now=NOW).lifetime == 77.0
