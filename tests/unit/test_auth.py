"""Credentials: which keys and algorithms are accepted, what the JWT holds, and that no text shows a secret."""

from functools import cache
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from rich.pretty import pretty_repr

from amili_async.auth import ApiCodeCredentials, Token
from amili_async.errors import AuthenticationError, ConfigurationError
from tests.unit.wire.conftest import texts_of

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
    """A cached private key: for a curve by its algorithm, else RSA or Ed25519."""
    if kind in CURVES:
        return ec.generate_private_key(CURVES[kind])
    return ed25519.Ed25519PrivateKey.generate() if kind == "Ed25519" else rsa.generate_private_key(65537, 2048)


def pem(kind: str, form: PrivateFormat = PrivateFormat.PKCS8, *, password: bytes | None = None) -> bytes:
    """The key as PEM."""
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    written: bytes = key(kind).private_bytes(Encoding.PEM, form, encryption)
    return written


def credentials(**options: Any) -> ApiCodeCredentials:
    """Valid credentials."""
    return ApiCodeCredentials(CODE, pem("ES256"), **options)


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
async def test_the_jwt_is_signed_as_the_guide_describes(kind: str, algorithm: str | None, expected: str) -> None:
    """It holds the API code and an expiry in nine and a half minutes, signed with the algorithm that fits the key."""
    token = await ApiCodeCredentials(CODE, pem(kind), algorithm=algorithm).sign(NOW + 0.9)
    assert jwt.get_unverified_header(token) == {"alg": expected, "typ": "JWT"}
    claims = jwt.decode(token, key(kind).public_key(), algorithms=[expected], options={"verify_exp": False})
    assert claims == {"api_code": CODE, "exp": int(NOW) + 570}


def test_a_key_of_one_line_is_read() -> None:
    """As settings files and variables hold it: with a backslash and an n for each line break."""
    one_line = pem("ES256").decode().strip().replace("\n", "\\n")
    assert "\n" not in one_line
    assert ApiCodeCredentials(CODE, one_line).algorithm == "ES256"


async def test_a_jwt_of_another_key_does_not_verify() -> None:
    """The signature belongs to the key."""
    token = await credentials().sign(NOW)
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, stranger, algorithms=["ES256"], options={"verify_exp": False})


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL, PrivateFormat.OpenSSH])
@pytest.mark.parametrize("kind", ["ES256", "RSA"])
async def test_keys_are_read_in_the_forms_that_openssl_and_ssh_keygen_write(
    kind: str, form: PrivateFormat, tmp_path: Path
) -> None:
    """As text, bytes or a file, with blank lines around, and as the object that `cryptography` made of it."""
    written = pem(kind, form)
    (tmp_path / "key.pem").write_bytes(written)
    for given_key in (written, written.decode(), b"\n" + written + b"\n", tmp_path / "key.pem", key(kind)):
        assert await ApiCodeCredentials(CODE, given_key).sign(NOW)


@pytest.mark.parametrize("form", ["DER", "raw"])
@pytest.mark.parametrize("kind", ["ES256", "ES384", "ES512", "RSA"])
async def test_a_signer_signs_in_the_place_of_a_key(kind: str, form: str) -> None:
    """A key management service signs, in DER or raw, and the JWT verifies with the public key."""

    async def sign(content: bytes) -> bytes:
        if kind == "RSA":
            return bytes(key(kind).sign(content, PKCS1v15(), SHA256()))
        digest = SHA256() if kind == "ES256" else SHA384() if kind == "ES384" else SHA512()
        signature = bytes(key(kind).sign(content, ec.ECDSA(digest)))
        if form == "DER":
            return signature
        size = (key(kind).curve.key_size + 7) // 8
        return b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(signature))

    algorithm = "RS256" if kind == "RSA" else kind
    token = await ApiCodeCredentials(CODE, signer=sign, algorithm=algorithm).sign(NOW)
    claims = jwt.decode(token, key(kind).public_key(), algorithms=[algorithm], options={"verify_exp": False})
    assert claims == {"api_code": CODE, "exp": int(NOW) + 570}


async def test_a_signer_that_fails_is_named() -> None:
    """Its own error is the cause."""

    async def sign(content: bytes) -> bytes:
        raise OSError("the service is down")

    with pytest.raises(AuthenticationError, match="the signer failed with OSError") as caught:
        await ApiCodeCredentials(CODE, signer=sign, algorithm="ES256").sign(NOW)
    assert isinstance(caught.value.__cause__, OSError)


def test_what_cannot_sign_is_rejected() -> None:
    """A signer is async and has an algorithm, and there is no key beside it."""

    async def sign(content: bytes) -> bytes:
        return content

    for options, words in (
        ({"signer": sign}, "algorithm="),
        ({"signer": lambda content: content, "algorithm": "ES256"}, "async function"),
        ({"signer": sign, "algorithm": "ES256", "private_key": pem("ES256")}, "both given"),
        ({}, "private_key cannot be read"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            ApiCodeCredentials(CODE, **options)


@pytest.mark.parametrize("password", ["secret", b"secret"])
async def test_a_key_with_a_password_is_read(password: str | bytes) -> None:
    """The password is text or bytes."""
    assert await ApiCodeCredentials(CODE, pem("ES256", password=b"secret"), password=password).sign(NOW)


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
def test_an_algorithm_that_does_not_fit_the_key_raises(kind: str, algorithm: str) -> None:
    """The error names those that fit."""
    with pytest.raises(ConfigurationError, match=r"^algorithm does not fit the private key: it must be (ES|RS)"):
        ApiCodeCredentials(CODE, pem(kind), algorithm=algorithm)


@pytest.mark.parametrize("kind", ["ES256K", "Ed25519"])
def test_a_key_that_the_api_does_not_accept_raises(kind: str) -> None:
    """The error names the accepted types and curves."""
    with pytest.raises(ConfigurationError, match="must be RSA, or an elliptic-curve key on P-256, P-384 or P-521"):
        ApiCodeCredentials(CODE, pem(kind))


def public_pem() -> bytes:
    """The public half, which is registered with Amili, passed by mistake."""
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
def test_a_key_that_cannot_be_read_raises_without_being_shown(private_key: Any, password: Any) -> None:
    """Neither the error nor its causes show the key or its password."""
    with pytest.raises(ConfigurationError, match=r"^private_key cannot be read") as caught:
        ApiCodeCredentials(CODE, private_key, password=password)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert CANARY not in texts_of(caught.value)


@pytest.mark.parametrize("code", ["", "  ", None, 5, b"code"])
def test_an_invalid_api_code_raises(code: Any) -> None:
    """It must be a str that is not blank."""
    with pytest.raises(ConfigurationError, match=r"^api_code must"):
        ApiCodeCredentials(code, pem("ES256"))


@pytest.mark.parametrize("lifetime", [0, -1, float("nan")])
def test_an_invalid_lifetime_raises(lifetime: float) -> None:
    """It must be more than zero."""
    with pytest.raises(ConfigurationError, match=r"^lifetime must"):
        credentials(lifetime=lifetime)


def test_credentials_show_nothing_secret() -> None:
    """No repr holds the code or the key."""
    given_credentials = credentials()
    for text in (repr(given_credentials), str(given_credentials), pretty_repr(given_credentials)):
        assert text == "ApiCodeCredentials(<hidden>, algorithm='ES256')"


def test_a_token_does_not_show_its_value() -> None:
    """Its repr shows the lifetime alone, also in rich."""
    token = Token(value=CANARY, lifetime=60)
    assert repr(token) == pretty_repr(token) == "Token(value=<hidden>, lifetime=60)"
