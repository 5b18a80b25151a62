"""The checks of settings and key."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from amili_async.cli.diagnosis.check import CheckStatus
from amili_async.cli.diagnosis.settings import check_configuration, check_credentials, describe_versions

PASSWORD = "hemlig-6f2d"


@cache
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def private(form: PrivateFormat = PrivateFormat.PKCS8, *, password: str = "", of: Any = None) -> str:
    """A private key as PEM."""
    encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    text: bytes = (of or key()).private_bytes(Encoding.PEM, form, encryption)
    return text.decode()


def public(encoding: Encoding, form: PublicFormat) -> str:
    return key().public_key().public_bytes(encoding, form).decode()


@pytest.mark.parametrize(
    ("text", "password", "reason"),
    [
        (public(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "", "it holds a public key"),
        (public(Encoding.OpenSSH, PublicFormat.OpenSSH), "", "it holds a public key"),
        ("-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----", "", "it holds a certificate"),
        (private(password=PASSWORD), "", "it is encrypted, and AMILI_PRIVATE_KEY_PASSWORD is not set"),
        (private(password=PASSWORD), "another", "or is not its password"),
        (private(PrivateFormat.OpenSSH)[:200], "", "ssh-keygen -p -m PKCS8"),
        (private(PrivateFormat.TraditionalOpenSSL, password=PASSWORD), "", "it is encrypted"),
        (private()[:120], "", "it is damaged"),
        ("/run/secrets/ssh-key.pem", "", "it is no PEM text: a path belongs into AMILI_PRIVATE_KEY_FILE"),
        (private(of=ed25519.Ed25519PrivateKey.generate()), "", "must be RSA, or an elliptic-curve key"),
    ],
)
def test_a_key_that_cannot_be_used(text: str, password: str, reason: str) -> None:
    """What it is instead is stated, and nothing of it is quoted."""
    settings = {"AMILI_API_CODE": "code", "AMILI_PRIVATE_KEY": text, "AMILI_PRIVATE_KEY_PASSWORD": password}
    check, options = check_credentials(settings)
    assert (check.status, options, reason in check.message) == (CheckStatus.FAILED, None, True)
    assert text[30:60] not in check.message or len(text) < 60
    assert PASSWORD not in check.message


def test_a_key_in_a_file(tmp_path: Path) -> None:
    """Its kind, size and algorithm are shown; a file that each user can read is a warning, a missing one fails."""
    file = tmp_path / "key.pem"
    file.write_text(private())
    file.chmod(0o600)
    settings = {"AMILI_API_CODE": "code", "AMILI_PRIVATE_KEY_FILE": str(file)}
    check, options = check_credentials(settings)
    assert (check.status, options is None) == (CheckStatus.OK, False)
    assert check.message == "the key can be read: an elliptic-curve key of 256 bits, which signs by ES256"
    file.chmod(0o644)
    check, _ = check_credentials(settings)
    assert (check.status, check.advice) == (CheckStatus.WARNING, "chmod o-r its file")
    file.unlink()
    check, _ = check_credentials(settings)
    assert (check.status, "AMILI_PRIVATE_KEY_FILE cannot be read" in check.message) == (CheckStatus.FAILED, True)


def test_a_short_rsa_key_is_a_warning() -> None:
    """RFC 7518 requires 2048 bits."""
    for bits, status in ((1024, CheckStatus.WARNING), (2048, CheckStatus.OK)):
        text = private(of=rsa.generate_private_key(public_exponent=65_537, key_size=bits))
        check, _ = check_credentials({"AMILI_API_CODE": "code", "AMILI_PRIVATE_KEY": text})
        assert (check.status, f"an RSA key of {bits} bits" in check.message) == (status, True)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"AMILI_TIMEOUT": "soon"}, "AMILI_TIMEOUT must be a number"),
        ({"AMILI_RATE_PER_MINUTE": "0"}, "AMILI_RATE_PER_MINUTE must be a whole number"),
        ({"AMILI_BASE_URL": "http://api.example"}, "must be https"),
        ({"AMILI_BASE_URL": f"https://me:{PASSWORD}@api.example"}, "must not contain a user, password"),
        ({"AMILI_CA_FILE": "/nowhere"}, "AMILI_CA_FILE: it cannot be read"),
        ({"AMILI_ALLOW_HTTP": "yes"}, "AMILI_ALLOW_HTTP must be 1"),
    ],
)
def test_settings_that_the_client_rejects(settings: dict[str, str], reason: str) -> None:
    """The client's own reason is shown, without the value."""
    check, network = check_configuration(settings)
    assert (check.status, network, reason in check.message) == (CheckStatus.FAILED, None, True)
    assert PASSWORD not in check.message


def test_settings_are_named_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set variables are listed, empty ones are not, and a default address is shown as one."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    check, network = check_configuration({"AMILI_TOKEN": PASSWORD, "AMILI_TIMEOUT": ""})
    assert network is not None
    assert check.status is CheckStatus.OK
    assert check.message == "the API is https://api-sandbox.amili.se; set: AMILI_TOKEN"
    assert check_configuration({})[0].message.endswith("; no variable is set")


def test_misspelt_and_useless_variables_are_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is named with the nearest name, and once only although the settings are read twice."""
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull + "/nowhere")
    settings = {"AMILI_TOKEN": "t", "AMILI_TIMOUT": "5"}
    check, _ = check_configuration(settings)
    assert check.status is CheckStatus.WARNING
    assert "AMILI_TIMOUT is not read: did you mean AMILI_TIMEOUT?" in check.message
    assert "SSL_CERT_FILE names nothing that exists" in check.message
    assert check_credentials(settings)[0].status is CheckStatus.OK


def test_the_versions_are_named() -> None:
    """Those of the package, Python, aiohttp and OpenSSL."""
    message = describe_versions().message
    assert all(name in message for name in ("amili-async ", "Python 3.", "aiohttp 3.", "OpenSSL "))
