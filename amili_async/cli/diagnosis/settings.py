"""The settings: which variables are set, whether the client accepts them, and whether the key can be used."""

import os
import platform
import ssl
import warnings
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from amili_async._wire.base_url import check_base_url
from amili_async._wire.network import Network
from amili_async.auth import ApiCodeCredentials
from amili_async.cli.diagnosis.check import Check, failed, passed, warned
from amili_async.environment import SANDBOX_URL, VARIABLES, ClientOptions, Settings, read_options
from amili_async.errors import ConfigurationError
from amili_async.version import VERSION

MIN_RSA_BITS = 2048
"""RFC 7518, 3.3: a shorter key must not be used, and servers may reject its signatures."""
_PUBLIC = "it holds a public key, and the private one is needed, which begins with -----BEGIN PRIVATE KEY or alike"
_KEY_FAULTS: Mapping[str, str] = {
    "PUBLIC KEY-----": _PUBLIC,
    "ssh-": _PUBLIC,
    "-----BEGIN CERTIFICATE": "it holds a certificate, and the private key is needed",
    "ENCRYPTED": "it is encrypted, and AMILI_PRIVATE_KEY_PASSWORD is not set or is not its password",
    "-----BEGIN": "it is damaged: it must have each line of the PEM file, or \\n between them",
}
"""What a text that cannot be read as a private key contains, and what is wrong with it; the first that fits."""


def describe_versions() -> Check:
    """The versions that a report of a fault must name."""
    parts = (
        f"amili-async {VERSION}",
        f"Python {platform.python_version()}",
        f"aiohttp {version('aiohttp')}",
        " ".join(ssl.OPENSSL_VERSION.split()[:2]),
        platform.system(),
    )
    return passed("version", ", ".join(parts))


def check_configuration(settings: Settings) -> tuple[Check, Network | None]:
    """Whether the client accepts the variables but those of the credentials, and the way to the API that follows."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            # A token in place of the credentials, which are a check of their own. It is sent to no server.
            options = read_options(settings, ClientOptions(auth="-", tokens=None))
            network = _find_network(options)
            network.find_proxy()
        except ConfigurationError as error:
            return failed("configuration", str(error), "correct the variable; amili --help lists them all"), None
    default = "" if "base_url" in options else ", the default: AMILI_BASE_URL is not set"
    names = ", ".join(name for name in VARIABLES if settings.get(name)) or "no variable"
    message = f"the API is {network.base_url}{default}; set: {names}"
    faults = [str(warning.message) for warning in caught] + _find_missing_files()
    if faults:
        return warned("configuration", f"{message}; {'; '.join(faults)}", "correct or unset the variable"), network
    return passed("configuration", message), network


def read_client_options(settings: Settings) -> ClientOptions:
    """The options of the client, without a store of tokens: an exchange is to be checked, not what another stored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_options(settings, ClientOptions(tokens=None))


def check_credentials(settings: Settings) -> tuple[Check, ClientOptions | None]:
    """Whether there are credentials that the client accepts, and with which options it uses them."""
    try:
        options = read_client_options(settings)
    except ConfigurationError as error:
        advice = "get the API code and register the key with Amili; amili doctor --sandbox needs neither"
        return failed("credentials", f"{error}{_explain_key(settings)}", advice), None
    auth = options["auth"]
    if isinstance(auth, ApiCodeCredentials):
        return _describe_key(auth, settings), options
    return passed(
        "credentials", "AMILI_TOKEN is used as the access token; until when it is valid is not known"
    ), options


def _find_network(options: ClientOptions) -> Network:
    url = check_base_url(options.get("base_url", SANDBOX_URL), allow_http=options.get("allow_http", False))
    return Network(url, tls=options.get("ssl"))


def _find_missing_files() -> list[str]:
    """The variables of OpenSSL that name nothing, which OpenSSL ignores without an error."""
    names = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
    return [f"{name} names nothing that exists" for name in names if not Path(os.environ[name]).exists()]


def _explain_key(settings: Settings) -> str:
    """What is wrong with a key that cannot be read, by its outside; empty where it is not known."""
    text = settings.get("AMILI_PRIVATE_KEY", "")
    if not text:
        with suppress(OSError, ValueError):
            text = Path(settings.get("AMILI_PRIVATE_KEY_FILE", "")).read_bytes().decode(errors="replace")
    if not text or "-----BEGIN PRIVATE KEY" in text:
        return ""
    unknown = "it is no PEM text; openssl pkey -in FILE -out NEW converts other forms"
    return f" ({next((fault for sign, fault in _KEY_FAULTS.items() if sign in text), unknown)})"


def _describe_key(credentials: ApiCodeCredentials, settings: Settings) -> Check:
    bits: Any = credentials.key_size
    kind = "an RSA" if credentials.algorithm.startswith("RS") else "an elliptic-curve"
    message = f"the key can be read: {kind} key of {bits} bits, which signs by {credentials.algorithm}"
    if kind == "an RSA" and bits < MIN_RSA_BITS:
        advice = f"make a key of at least {MIN_RSA_BITS} bits, or on P-256, and register it with Amili"
        return warned("credentials", f"{message}, and is too short for it", advice)
    file = settings.get("AMILI_PRIVATE_KEY_FILE")
    if file and os.name == "posix" and Path(file).stat().st_mode & 0o004:
        return warned("credentials", f"{message}; each user of this machine can read its file", "chmod o-r its file")
    return passed("credentials", message)
