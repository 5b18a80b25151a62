"""The settings: which variables are set, whether the client accepts them, and whether the key can be used."""

import os
import platform
import re
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
_KEY_FAULTS: Mapping[str, str] = {
    "^(ssh|ecdsa)-|PUBLIC KEY-----": "it holds a public key, and the private one is needed",
    "-----BEGIN CERTIFICATE": "it holds a certificate, and the private key is needed",
    "ENCRYPTED": "it is encrypted, and AMILI_PRIVATE_KEY_PASSWORD is not set or is not its password",
    "BEGIN OPENSSH": "it is damaged or encrypted: ssh-keygen -p -m PKCS8 -f FILE writes it in a form that can be read",
    "-----BEGIN": "it is damaged",
    "": "it is no PEM text: a path belongs into AMILI_PRIVATE_KEY_FILE; openssl pkey -in FILE converts other forms",
}
"""What matches in a text that cannot be read as a private key, and what is wrong with it; the first that does."""


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
            network: Network | None = _find_network(options)
        except ConfigurationError as error:
            message, network = str(error), None
    faults = [str(warning.message) for warning in caught] + _find_missing_files()
    if network is None:
        return failed("configuration", "; ".join((message, *faults)), "correct or unset the variable"), None
    names = ", ".join(name for name in VARIABLES if settings.get(name))
    message = f"the API is {network.base_url}; {f'set: {names}' if names else 'no variable is set'}"
    if faults:
        return warned("configuration", "; ".join((message, *faults)), "correct or unset the variable"), network
    return passed("configuration", message), network


def check_credentials(settings: Settings) -> tuple[Check, ClientOptions | None]:
    """Whether there are credentials that the client accepts, and with which options it uses them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a part of the check before this one
            # Without a store of tokens: an exchange is to be checked, not what another process stored.
            options = read_options(settings, ClientOptions(tokens=None))
    except ConfigurationError as error:
        advice = "Amili issues API codes, and registers the public key; amili doctor --sandbox needs neither"
        message = str(error)
        if message.startswith("private_key cannot be read"):
            message = f"the private key cannot be read: {_explain_key(settings)}"
        return failed("credentials", message, advice), None
    auth = options["auth"]
    if isinstance(auth, ApiCodeCredentials):
        return _describe_key(auth, settings), options
    return passed("credentials", "AMILI_TOKEN is the access token; until when it is valid is not known"), options


def _find_network(options: ClientOptions) -> Network:
    url = check_base_url(options.get("base_url", SANDBOX_URL), allow_http=options.get("allow_http", False))
    network = Network(url, tls=options.get("ssl"))
    network.find_proxy()  # raises for one that is no URL
    return network


def _find_missing_files() -> list[str]:
    """The variables of OpenSSL that name nothing, which OpenSSL ignores without an error."""
    paths = {name: os.environ.get(name, "").split(os.pathsep) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")}
    missing = [
        name for name, parts in paths.items() if parts != [""] and not any(Path(part).exists() for part in parts)
    ]
    return [f"{name} names nothing that exists" for name in missing]


def _explain_key(settings: Settings) -> str:
    """What is wrong with a text that cannot be read as a private key."""
    text = settings.get("AMILI_PRIVATE_KEY") or ""
    if not text:
        with suppress(OSError):
            text = Path(settings["AMILI_PRIVATE_KEY_FILE"]).read_bytes().decode(errors="replace")
    return next(fault for pattern, fault in _KEY_FAULTS.items() if re.search(pattern, text))


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
