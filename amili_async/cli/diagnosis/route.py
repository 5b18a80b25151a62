"""The way to the API: directly, or by the tunnel of a proxy, as the client's own `Network` decides."""

import asyncio
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias
from urllib.parse import SplitResult, urlsplit

from amili_async._wire.network import Network
from amili_async._wire.session import CONNECT_TIMEOUT

_END_TIMEOUT = 1.0
_PORTS = {"http": 80, "https": 443}

Connection: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Route:
    """The hosts between this machine and the API."""

    def __init__(self, network: Network) -> None:
        options = network.find_proxy()
        self.api = urlsplit(network.base_url)
        """The URL of the API."""
        self.proxy: SplitResult | None = urlsplit(options["proxy"]) if options else None
        """The URL of the proxy, without user and password; `None` for none."""
        self.first = self.proxy or self.api
        """The host that this machine connects to."""
        self.context = network.make_context() or ssl.create_default_context()
        """What the certificates are verified by."""
        self._login: Mapping[str, str] = options.get("proxy_headers", {})

    @property
    def host(self) -> str:
        """The API's host."""
        return self.api.hostname or ""

    @property
    def is_encrypted(self) -> bool:
        """Whether the API is reached by https."""
        return self.api.scheme == "https"

    @property
    def tunnel(self) -> str:
        """Host and port of the API, as a proxy gets them."""
        return f"{_in_brackets(self.host)}:{port_of(self.api)}"

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[tuple[Connection, int]]:
        """A connection that ends at the API, and the status with which a proxy made the tunnel; 200 without one.

        Raises `OSError` and `TimeoutError`.
        """
        is_tls = self.proxy is not None and self.proxy.scheme == "https"
        tls: dict[str, Any] = {"ssl": self.context, "server_hostname": self.first.hostname} if is_tls else {}
        async with asyncio.timeout(CONNECT_TIMEOUT):
            reader, writer = await asyncio.open_connection(self.first.hostname, port_of(self.first), **tls)
        try:
            status = 200
            if self.proxy is not None and self.is_encrypted:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    status = await self._request_tunnel(reader, writer)
            yield (reader, writer), status
        finally:
            writer.close()
            # The end of TLS waits for the server's, for half a minute where there is none.
            with suppress(OSError):
                async with asyncio.timeout(_END_TIMEOUT):
                    await writer.wait_closed()
            writer.transport.abort()

    async def _request_tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        """Send the request for a tunnel, and return the status of the response; 0 for what is no response."""
        headers = {"Host": self.tunnel, **self._login}
        lines = (f"CONNECT {self.tunnel} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()))
        writer.write("".join(f"{line}\r\n" for line in (*lines, "")).encode())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return 0
        found = re.match(rb"HTTP/1\.[01] ([0-9]{3})", head)
        return int(found[1]) if found else 0


def port_of(url: SplitResult) -> int:
    """The port of a URL."""
    return url.port or _PORTS[url.scheme]


def explain_failure(error: Exception, timed_out: str) -> str:
    """Why a connection failed, in words."""
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({(error.reason or 'no reason').replace('_', ' ').lower()})"
    if isinstance(error, TimeoutError):
        return timed_out
    if isinstance(error, socket.gaierror):
        return (error.strerror or "unknown name").lower()
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number else "the connection was closed"


def show_seconds(seconds: float) -> str:
    """A short time."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _in_brackets(host: str) -> str:
    return f"[{host}]" if ":" in host else host
