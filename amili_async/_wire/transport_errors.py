"""Which error of ours each failure of aiohttp becomes, without its text: that may hold the URL with its query."""

import os
import re
from typing import Any

import aiohttp

from amili_async._wire.protocol import Request
from amili_async._wire.tasks import RunningCall
from amili_async.errors import AmiliError, ConnectionFailed, TimedOut, UnreadableResponse

MAX_HEADER_BYTES = 64 * 1024
"""Bytes of one response header; aiohttp's own limit of 8 kB is below what proxies add (cookies, policies, traces)."""
MAX_HEADERS = 512
"""Headers of one response."""
_CERTIFICATE_HINT = "if its authority is your own, set SSL_CERT_FILE to a file with the authority's certificate"
_SSL_UNKNOWN_AUTHORITY = frozenset({18, 19, 20, 21})
"""OpenSSL's X509_V_ERR_* for self-signed certificates, and for those whose issuer is not known."""


def failure_of(request: Request, error: Exception, call: RunningCall, timeout: float) -> AmiliError:
    """The error of ours for one of aiohttp's."""
    label, was_sent = request.label, call.was_sent
    if (unreadable := _unreadable_head(error)) is not None:
        return UnreadableResponse(f"{label}: {unreadable}", request=label)
    if isinstance(error, TimeoutError):
        what = f"no complete response within {timeout:g} s" if was_sent else "connecting timed out"
        return TimedOut(f"{label}: {what}", request=label, was_sent=was_sent)
    what = "the connection broke before the response was complete" if was_sent else "no connection could be made"
    reason, is_permanent = _reason(error)
    return ConnectionFailed(f"{label}: {what} ({reason})", request=label, was_sent=was_sent, transient=not is_permanent)


def _unreadable_head(error: Exception) -> str | None:
    """What no attempt can read, where aiohttp rejected a response for it: compression, or its own limits."""
    if not isinstance(error, aiohttp.ClientResponseError) or isinstance(error, aiohttp.ClientHttpProxyError):
        return None
    # aiohttp has one class for whatever its parser rejects; the message is its own, with the bytes after a colon.
    if found := re.match(r"Can not decode content-encoding: \w+ \((br|zstd)\)\. Please install", error.message):
        return unsupported_encoding(found[1])
    if error.message.startswith(("Got more than", "Too many headers")):
        return (
            f"the response has more than {MAX_HEADERS} headers, or one of more than {MAX_HEADER_BYTES // 1024} kB: "
            "check what the proxies in front of the API add"
        )
    return None


def unsupported_encoding(name: str) -> str:
    """What to do about a compression that the client cannot read."""
    return f"the response is compressed with {name}, which is not supported: check the proxies in front of the API"


def _reason(error: Exception) -> tuple[str, bool]:
    """Why, without aiohttp's own text, which may hold the URL; and whether each further attempt must fail like it."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name cannot be resolved", False
    if isinstance(error, aiohttp.ClientHttpProxyError):
        hint = ", check its user and password" if error.status == 407 else ""
        return f"the proxy answered {error.status}{hint}", 400 <= error.status < 500 and error.status not in {408, 429}
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        certificate: Any = error.certificate_error
        why = getattr(certificate, "verify_message", None) or "it does not verify"
        is_unknown = getattr(certificate, "verify_code", None) in _SSL_UNKNOWN_AUTHORITY
        return f"the server's certificate is not trusted: {why}{f'; {_CERTIFICATE_HINT}' if is_unknown else ''}", True
    if isinstance(error, aiohttp.ClientSSLError):
        return "TLS failed; check that base_url names a server that speaks https", False
    if isinstance(error, aiohttp.InvalidURL):
        return "base_url is not a valid URL", True
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number is not None and number > 0 else type(error).__name__, False
