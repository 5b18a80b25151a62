"""Certificates that a test makes for its servers."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


def make_certificate(tmp_path: Path, *, host: str, is_expired: bool = False) -> ssl.SSLContext:
    """The context of a server with a certificate that it signed itself, and the file of that certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    end = datetime.now(UTC) + timedelta(days=-1 if is_expired else 1)
    certificate = _sign(host, key, host, key, end - timedelta(days=9), end, is_authority=True)
    return _serve(tmp_path, certificate, key)


class Authority:
    """An authority with a certificate of its own in the file *path*, that signs those of servers."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        start = datetime.now(UTC) - timedelta(days=100)
        certificate = _sign(name, self._key, name, self._key, start, start + timedelta(days=200), is_authority=True)
        self.path = folder / "authority.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, host: str, *, starts: int = -1, ends: int = 90) -> ssl.SSLContext:
        """The context of a server whose certificate is valid between days that are counted from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        # An hour later, so that the number of whole days is the same throughout the test.
        start, end = (datetime.now(UTC) + timedelta(days=days, hours=1) for days in (starts, ends))
        return _serve(self._folder, _sign(host, key, self._name, self._key, start, end), key)


def _sign(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    start: datetime,
    end: datetime,
    *,
    is_authority: bool = False,
) -> x509.Certificate:
    subject_name, issuer_name = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)
    )
    # Without these three Python 3.13 rejects a certificate (`ssl.VERIFY_X509_STRICT`).
    usage = dict.fromkeys(("key_cert_sign", "crl_sign"), is_authority) | {"digital_signature": True}
    return (
        x509.CertificateBuilder()
        .subject_name(subject_name)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(x509.KeyUsage(**(dict.fromkeys(_USAGES, False) | usage)), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


def _serve(folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "certificate.pem").write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(pem + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context
