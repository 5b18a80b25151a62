"""The self-signed JWT, and how a token is found in the answer to it."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from amili_async._wire.api_code import ApiCodeCredentials
from amili_async.errors import AuthenticationError, ConfigurationError
from amili_async.policies import Priority
from tests.unit.wire.conftest import answer, told_by

NOW = 1_750_000_000.0
CANARY = "CANARY"
CODE = "the-api-code"

CURVES: dict[str, ec.EllipticCurve] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
    "ES256K": ec.SECP256K1(),
}


@cache
def key(kind: str) -> Any:
    """A private key, made once: for a curve by its algorithm, else RSA or Ed25519."""
    if kind in CURVES:
        return ec.generate_private_key(CURVES[kind])
    return ed25519.Ed25519PrivateKey.generate() if kind == "Ed25519" else rsa.generate_private_key(65537, 2048)


def pem(kind: str, form: PrivateFormat = PrivateFormat.PKCS8, *, password: bytes | None = None) -> bytes:
    """The key as a file has it."""
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    written: bytes = key(kind).private_bytes(Encoding.PEM, form, encryption)
    return written


def credentials(**options: Any) -> ApiCodeCredentials:
    """Good credentials."""
    return ApiCodeCredentials(CODE, pem("ES256"), **options)


# Signing


@pytest.mark.parametrize(
    ("kind", "algorithm", "expected"),
    [
        ("ES256", None, "ES256"),
        ("ES384", None, "ES384"),
        ("ES512", None, "ES512"),
        ("RSA", None, "RS256"),
        ("ES256", "ES256", "ES256"),
        ("ES512", "ES512", "ES512"),
        ("RSA", "RS256", "RS256"),
        ("RSA", "RS384", "RS384"),
        ("RSA", "RS512", "RS512"),
    ],
)
def test_the_jwt_is_signed_as_the_guide_says(kind: str, algorithm: str | None, expected: str) -> None:
    """The API code and an end ten minutes from now, signed by the algorithm that fits the key."""
    token = ApiCodeCredentials(CODE, pem(kind), algorithm=algorithm).sign(NOW + 0.9)
    assert jwt.get_unverified_header(token) == {"alg": expected, "typ": "JWT"}
    claims = jwt.decode(token, key(kind).public_key(), algorithms=[expected], options={"verify_exp": False})
    assert claims == {"api_code": CODE, "exp": int(NOW) + 600}


def test_a_jwt_of_another_key_does_not_verify() -> None:
    """The signature is the key's own."""
    token = credentials().sign(NOW)
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, stranger, algorithms=["ES256"], options={"verify_exp": False})


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL, PrivateFormat.OpenSSH])
@pytest.mark.parametrize("kind", ["ES256", "RSA"])
def test_keys_are_read_in_the_forms_that_openssl_and_ssh_keygen_write(kind: str, form: PrivateFormat) -> None:
    """As text or bytes, and with blank lines around."""
    written = pem(kind, form)
    for given_key in (written, written.decode(), b"\n" + written + b"\n"):
        assert ApiCodeCredentials(CODE, given_key).sign(NOW)


@pytest.mark.parametrize("password", ["secret", b"secret"])
def test_a_key_with_a_password_is_read(password: str | bytes) -> None:
    """The password is text or bytes."""
    assert ApiCodeCredentials(CODE, pem("ES256", password=b"secret"), password=password).sign(NOW)


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [
        ("ES256", "ES512"),
        ("ES256", "ES384"),
        ("ES512", "ES256"),
        ("ES256", "RS256"),
        ("RSA", "ES256"),
        ("RSA", "PS256"),
        ("RSA", "HS256"),
        ("RSA", "none"),
        ("ES256", ""),
    ],
)
def test_an_algorithm_that_does_not_fit_the_key_is_refused(kind: str, algorithm: str) -> None:
    """The text says which would fit."""
    with pytest.raises(ConfigurationError, match=r"^this private key goes with (ES|RS)"):
        ApiCodeCredentials(CODE, pem(kind), algorithm=algorithm)


@pytest.mark.parametrize("kind", ["ES256K", "Ed25519"])
def test_a_key_that_the_api_does_not_know_is_refused(kind: str) -> None:
    """Other curves and kinds of key are named as what they are not."""
    with pytest.raises(ConfigurationError, match="must be RSA, or elliptic on P-256, P-384 or P-521"):
        ApiCodeCredentials(CODE, pem(kind))


def public_pem() -> bytes:
    """The half that is registered with Amili, given by mistake."""
    written: bytes = key("ES256").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return written


UNREADABLE: list[tuple[Any, Any]] = [
    (CANARY, None),
    (f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n", None),
    (f"-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}\n-----END OPENSSH PRIVATE KEY-----\n", None),
    (b"\xff" + CANARY.encode(), None),
    (f"\udc80{CANARY}", None),
    ("", None),
    (None, None),
    (5, None),
    (f"/home/{CANARY}/key.pem", None),
    (pem("ES256").decode().replace("M", CANARY, 1), None),
    (public_pem(), None),
    (pem("ES256", password=b"secret"), None),
    (pem("ES256", password=b"secret"), CANARY),
    (pem("ES256", password=b"secret"), f"\udc80{CANARY}"),
    (pem("ES256"), CANARY),
    (pem("ES256"), 5),
]


@pytest.mark.parametrize(("private_key", "password"), UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_key_that_cannot_be_read_is_refused_unseen(private_key: Any, password: Any) -> None:
    """No error shows the key or its password, nor does what led to it."""
    with pytest.raises(ConfigurationError, match=r"^the private key cannot be read") as caught:
        ApiCodeCredentials(CODE, private_key, password=password)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert CANARY not in told_by(caught.value)


@pytest.mark.parametrize("code", ["", "  ", None, 5, b"code"])
def test_an_api_code_that_is_none_is_refused(code: Any) -> None:
    """It must be a text that is not blank."""
    with pytest.raises(ConfigurationError, match=r"^api_code must"):
        ApiCodeCredentials(code, pem("ES256"))


@pytest.mark.parametrize("lifetime", [0, -1, float("nan")])
def test_a_lifetime_that_is_none_is_refused(lifetime: float) -> None:
    """It must be more than nothing."""
    with pytest.raises(ConfigurationError, match=r"^lifetime must"):
        credentials(lifetime=lifetime)


def test_credentials_show_nothing_secret() -> None:
    """Neither code nor key, nor what is made of them, is in a repr."""
    given_credentials = credentials()
    for text in (repr(given_credentials), str(given_credentials), pretty_repr(given_credentials)):
        assert text == "ApiCodeCredentials(<hidden>, algorithm='ES256')"
    token = given_credentials.read_token(answer({"access_token": CANARY}), now=NOW)
    assert CANARY not in repr(token)


def test_the_exchange_is_a_get_before_all_others() -> None:
    """The path is the guide's, and nobody else goes before it."""
    request = credentials().build_request()
    assert (request.method, request.target, request.body) == ("GET", "/authenticates/api-code", None)
    assert request.priority is Priority.TOKEN


# The answer


def made_jwt(claims: Mapping[str, Any]) -> str:
    """A token that is itself a JWT, signed by somebody else."""
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
def test_the_usual_names_of_a_token(body: Any) -> None:
    """What the field is called is not documented: the usual names are tried, and a bare JSON text is the token."""
    token = credentials().read_token(answer(body), now=NOW)
    assert (token.value, token.lifetime) == ("t", 600.0)


def test_the_caller_can_name_the_fields() -> None:
    """A name that is given is the only one that is looked at."""
    named = credentials(token_name="ticket", lifetime_name="good_for", lifetime=50)
    assert named.read_token(answer({"ticket": "t", "good_for": 30}), now=NOW).lifetime == 30.0
    assert named.read_token(answer({"ticket": "t", "expires_in": 30}), now=NOW).lifetime == 50.0
    assert named.read_token(answer("t"), now=NOW).value == "t"
    with pytest.raises(AuthenticationError, match="looked for ticket;"):
        named.read_token(answer({"access_token": "t"}), now=NOW)


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
def test_an_answer_without_a_token_is_refused_unseen(body: Any) -> None:
    """The text says what was looked for and how to name the field, and repeats nothing."""
    with pytest.raises(AuthenticationError, match="answered 200 without a token: looked for access_token,") as caught:
        credentials().read_token(answer(body), now=NOW)
    assert caught.value.status == 200
    assert CANARY not in told_by(caught.value)


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
    token = credentials().read_token(answer({"access_token": "t", **fields}), now=NOW)
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
def test_a_lifetime_that_makes_no_sense_is_as_if_not_there(fields: dict[str, Any]) -> None:
    """Then the configured lifetime counts; an ISO date without a zone could mean any instant."""
    body = json.dumps({"access_token": "t", **fields}).encode()
    assert credentials(lifetime=77).read_token(answer(body), now=NOW).lifetime == 77.0


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
def test_a_token_that_is_a_jwt_says_how_long_it_works(claims: dict[str, Any], lifetime: float) -> None:
    """Where the answer does not say so, `exp` does, counted from `iat` where that is there."""
    token = credentials(lifetime=77).read_token(answer({"token": made_jwt(claims)}), now=NOW)
    assert token.lifetime == lifetime
    assert credentials(lifetime=77).read_token(answer(made_jwt(claims)), now=NOW).lifetime == lifetime


def test_the_answer_wins_over_the_jwt() -> None:
    """What the answer says beside the token is meant for the client."""
    body = {"token": made_jwt({"exp": int(NOW) + 3600}), "expires_in": 60}
    assert credentials().read_token(answer(body), now=NOW).lifetime == 60.0


@pytest.mark.parametrize(
    "body",
    [
        {"token": "t", "expires_at": NOW + 3600},
        {"token": "t", "expires_at": formatdate(NOW + 3600, usegmt=True)},
        {"token": made_jwt({"exp": int(NOW) + 3600})},
    ],
)
@pytest.mark.parametrize("skew", [-7200.0, 7200.0])
def test_a_wrong_clock_of_ours_does_no_harm(body: Any, skew: float) -> None:
    """With the server's `Date` the lifetime is right however wrong our clock is."""
    headers = {"Date": formatdate(NOW, usegmt=True)}
    assert credentials().read_token(answer(body, headers=headers), now=NOW + skew).lifetime == 3600.0


def test_seconds_and_iat_need_no_clock() -> None:
    """A relative lifetime is the same whatever the clock says."""
    for body in ({"token": "t", "expires_in": 60}, {"token": made_jwt({"exp": 1060, "iat": 1000})}):
        assert credentials().read_token(answer(body), now=NOW).lifetime == 60.0


def segment(raw: bytes) -> str:
    """A part of a JWT."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@given(
    st.text(min_size=1).filter(str.strip)
    | st.builds(".".join, st.lists(st.binary().map(segment), min_size=3, max_size=3))
)
def test_any_token_is_taken_as_it_is(value: str) -> None:
    """Whatever a token looks like, it is kept, and what cannot be read out of it does no harm."""
    token = credentials(lifetime=77).read_token(answer(json.dumps({"token": value}).encode()), now=NOW)
    assert (token.value, token.lifetime) == (value, 77.0)


@given(st.binary(max_size=40))
def test_any_claims_are_taken(raw: bytes) -> None:
    """A token with the head of a JWT and nonsense as claims has the configured lifetime."""
    value = ".".join(segment(part) for part in (b'{"alg": "HS256"}', raw, b"x"))
    assert credentials(lifetime=77).read_token(answer({"token": value}), now=NOW).lifetime == 77.0
