"""The way to the API's host: its URL, a session that is borrowed, the authorities to trust, the proxy."""

import os
import ssl
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from amili_async._wire.base_url import is_loopback
from amili_async._wire.checks import check_flag
from amili_async.errors import ConfigurationError

if TYPE_CHECKING:
    import aiohttp


class Network:
    """How requests reach *base_url*. *tls* and *trust_env* are for a session of our own; a borrowed one has its own."""

    def __init__(
        self,
        base_url: str,
        *,
        session: "aiohttp.ClientSession | None" = None,
        tls: ssl.SSLContext | None = None,
        trust_env: bool = True,
    ) -> None:
        if tls is not None and not isinstance(tls, ssl.SSLContext):
            raise ConfigurationError("ssl must be an ssl.SSLContext, such as ssl.create_default_context(cafile=…)")
        if session is not None and not (hasattr(session, "closed") and callable(getattr(session, "request", None))):
            raise ConfigurationError("session must be an aiohttp.ClientSession")
        if tls is not None and session is not None:
            raise ConfigurationError("ssl and session are both given: a session has the context of its own connector")
        self.base_url = base_url
        self.session = session
        self._tls = tls
        self._trusts_env = check_flag(trust_env, "trust_env")

    def make_context(self) -> ssl.SSLContext | None:
        """The context for TLS; `None` where the default of aiohttp is the same."""
        if self._tls is not None or not self.base_url.startswith("https:"):
            return self._tls
        if not any(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")):
            return None
        if self._trusts_env:  # aiohttp made its own when it was imported, maybe before the variable was set
            return ssl.create_default_context()
        context, places = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.get_default_verify_paths()
        for option, path in (("cafile", places.openssl_cafile), ("capath", places.openssl_capath)):
            if Path(path).exists():
                context.load_verify_locations(**{option: path})
        return context

    def find_proxy(self) -> dict[str, Any]:
        """The options of a request for the proxy that the environment names; none without a proxy."""
        parts = urlsplit(self.base_url)
        host = parts.hostname or ""
        # A credential in plain http must not leave this machine.
        is_local = parts.scheme == "http" and is_loopback(host)
        if self.session is not None or not self._trusts_env or is_local or proxy_bypass(host):
            return {}
        proxy = getproxies().get(parts.scheme)
        return _proxy_options(proxy) if proxy else {}


def _proxy_options(proxy: str) -> dict[str, Any]:
    """User and password of the URL are sent in a header that only the proxy receives."""
    with suppress(ValueError):  # of an invalid port
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            options: dict[str, Any] = {"proxy": f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"}
            if parts.username is not None:
                login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
                options["proxy_headers"] = {"Proxy-Authorization": f"Basic {b64encode(login.encode()).decode()}"}
            return options
    raise ConfigurationError("HTTPS_PROXY or HTTP_PROXY is no URL such as http://proxy.example.com:3128")
