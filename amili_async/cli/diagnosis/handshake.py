"""TLS to the API: protocol, issuer and expiry of the certificate, or why it is not trusted, in words."""

import asyncio
import ssl
from contextlib import suppress
from datetime import datetime
from typing import Any

from msgspec import Struct

from amili_async._wire.base_url import is_loopback
from amili_async._wire.session import CONNECT_TIMEOUT
from amili_async.cli.console import printable
from amili_async.cli.diagnosis.check import Check, failed, passed, warned
from amili_async.cli.diagnosis.route import Route, explain_failure
from amili_async.readable import show_count

FEWEST_DAYS = 14
"""Days until a certificate expires below which that is reported: an automatic renewal is late by then."""
_DAY = 86_400.0
_MAX_NAME = 64
_OWN_AUTHORITY = (
    "if it is your company's proxy, or a server of your own, set AMILI_CA_FILE (or amili --ca-file) to a PEM file with "
    "its authority's certificate"
)
# OpenSSL's X509_V_ERR_*, which `ssl.SSLCertVerificationError.verify_code` holds.
_NOT_YET_VALID, _EXPIRED = 9, 10
_SELF_SIGNED = 18
_UNKNOWN_ISSUER = frozenset({2, 19, 20, 21})
_OTHER_HOST = frozenset({62, 64})
_STRICT = range(80, 95)
"""What `ssl.VERIFY_X509_STRICT` adds, which Python 3.13 sets by default: authorities of companies often lack it."""
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"})
"""OpenSSL's reasons where the server's first bytes are no TLS."""


class Certificate(Struct, frozen=True, kw_only=True):
    """What a server presented, trusted or not."""

    issuer: str
    names: tuple[str, ...]
    """The hosts that it is for."""
    starts: datetime
    ends: datetime


async def check_tls(route: Route, now: float) -> Check:
    """Whether the API's certificate is trusted, as the client would; *now* is in seconds since 1970."""
    if not route.is_encrypted:
        return _judge_plain_http(route)
    try:
        certificate, protocol = await _shake_hands(route, route.context)
    except ssl.SSLCertVerificationError as error:
        return await _explain_rejection(route, error, now)
    except OSError as error:
        if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
            advice = "check the port of AMILI_BASE_URL: it belongs to a server of plain http, or of something else"
            return failed("tls", "the port accepts connections, but does not speak TLS", advice)
        reason = explain_failure(error, f"no handshake within {CONNECT_TIMEOUT:.0f} s")
        advice = "check host and port; a firewall that filters by host may cut the connection"
        return failed("tls", f"the handshake failed: {reason}", advice)
    days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - now) / _DAY
    left = f"in {show_count(int(days), 'day')}" if days >= 1 else "within a day"
    message = f"{protocol}, certificate issued by {_name_of(certificate['issuer'])}, which expires {left}"
    if days < FEWEST_DAYS:
        return warned("tls", message, "its owner must renew it: tell Amili, or the owner of the proxy that issued it")
    return passed("tls", message)


def _judge_plain_http(route: Route) -> Check:
    if is_loopback(route.host):
        return passed("tls", "none: plain http does not leave this machine")
    message = "none: each device that can read this network's traffic reads the records and the token"
    return warned("tls", message, "use https, unless this network is yours alone")


async def _shake_hands(route: Route, context: ssl.SSLContext) -> tuple[Any, str]:
    """The certificate of the server, and the protocol; without verification it is a `Certificate`."""
    async with route.connect() as ((_, writer), _):
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await writer.start_tls(context, server_hostname=route.host)
        connection: ssl.SSLObject = writer.get_extra_info("ssl_object")
        verified = connection.getpeercert()
        presented = verified or _parse(connection.getpeercert(binary_form=True) or b"")
        return presented, (connection.version() or "TLS").replace("TLSv", "TLS ")


async def _explain_rejection(route: Route, error: ssl.SSLCertVerificationError, now: float) -> Check:
    certificate: Certificate | None = None
    # Over this second connection nothing is sent: it only shows who issued the certificate that was rejected.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with suppress(OSError, ValueError):
        certificate, _ = await _shake_hands(route, context)
    code, words = error.verify_code, error.verify_message
    message, advice = explain_certificate(code, words, certificate, host=route.host, now=now)
    return failed("tls", f"the server's certificate is not trusted: {message}", advice)


def explain_certificate(
    code: int, words: str, certificate: Certificate | None, *, host: str, now: float
) -> tuple[str, str]:
    """Why a certificate is rejected, and what to do; *code* and *words* are OpenSSL's."""
    issuer = f" (issued by {certificate.issuer})" if certificate is not None else ""
    if code in (_EXPIRED, _NOT_YET_VALID):
        advice = "check this machine's clock; if it is right, the server's owner must renew the certificate"
        return f"{_explain_dates(code, certificate, now)}{issuer}", advice
    if code == _SELF_SIGNED:
        return f"it is self-signed{issuer}", _OWN_AUTHORITY
    if code in _UNKNOWN_ISSUER:
        return f"its issuer is not known on this machine{issuer}", _OWN_AUTHORITY
    if code in _OTHER_HOST:
        names = f"for {', '.join(certificate.names) or 'no host'} and " if certificate is not None else ""
        return f"it is {names}not for {host}{issuer}", "check the host in AMILI_BASE_URL, and to where its name leads"
    if code in _STRICT:
        advice = "Python 3.13 and later reject this: have the certificate made anew, or use Python 3.12"
        return f"it, or that of its issuer, is malformed: {words}{issuer}", advice
    return f"{words}{issuer}", "show this line to the server's owner"


def _explain_dates(code: int, certificate: Certificate | None, now: float) -> str:
    is_over = code == _EXPIRED
    if certificate is None or certificate.starts.timestamp() <= now <= certificate.ends.timestamp():
        return f"a certificate of its chain {'has expired' if is_over else 'is not valid yet'}"
    moment = certificate.ends if is_over else certificate.starts
    return f"{'it expired on' if is_over else 'it is not valid before'} {moment:%Y-%m-%d}"


def _parse(der: bytes) -> Certificate:
    """Raises `ValueError` for what is no certificate."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    certificate = x509.load_der_x509_certificate(der)
    owner = [
        str(attribute.value)
        for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
        for attribute in certificate.issuer.get_attributes_for_oid(kind)
    ]
    names: list[str] = []
    with suppress(x509.ExtensionNotFound):
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.DNSName
        )
    return Certificate(
        issuer=_bound(", ".join(owner[:2])),
        names=tuple(map(_bound, names[:3])),
        starts=certificate.not_valid_before_utc,
        ends=certificate.not_valid_after_utc,
    )


def _name_of(issuer: Any) -> str:
    """The name of an authority as `getpeercert()` returns it."""
    parts = dict(pair for group in issuer for pair in group)
    return _bound(parts.get("organizationName") or parts.get("commonName") or "an authority without a name")


def _bound(name: str) -> str:
    return printable(name)[:_MAX_NAME]
