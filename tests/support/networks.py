"""The way to a sandbox as a company has it: TLS before it, and a proxy that makes tunnels."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from amili_async.sandbox import Sandbox

_END_TIMEOUT = 5.0
Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


@asynccontextmanager
async def listen_for(handle: Handle, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server that handles each connection so; at the end the connections are closed."""
    running: set[asyncio.Task[Any]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            # A client may only try the connection, or end it in the middle. This task ends with the server, and Python
            # 3.11 logs the cancellation of one.
            with suppress(asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
                await handle(reader, writer)
        finally:
            writer.close()
            running.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        if running:  # a client that has closed its connections ends them; one that is cancelled loses what it opens
            _, left = await asyncio.wait(running, timeout=_END_TIMEOUT)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on all that is received, and then the end."""
    try:
        while data := await reader.read(65_536):
            writer.write(data)
    finally:
        writer.close()


@asynccontextmanager
async def serve_tls(sandbox: Sandbox, context: ssl.SSLContext) -> AsyncIterator[str]:
    """The https URL of a sandbox, on the name `localhost`."""
    port = int(sandbox.url.rpartition(":")[2])

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inward, outward = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(relay(reader, outward), relay(inward, writer), return_exceptions=True)

    async with listen_for(handle, context) as own:
        yield f"https://localhost:{own}"


@asynccontextmanager
async def serve_proxy(*, login: str | None = None, refusal: bytes = b"407 No") -> AsyncIterator[tuple[int, list[str]]]:
    """A proxy that makes tunnels: its port, and the targets that it was given; others than *login* get *refusal*."""
    targets: list[str] = []
    expected = login and f"Proxy-Authorization: Basic {base64.b64encode(login.encode()).decode()}".lower()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        targets.append(head.split()[1])
        if expected is not None and expected not in head.lower():
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % refusal)
            return
        host, port = targets[-1].split(":")
        inward, outward = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(relay(reader, outward), relay(inward, writer), return_exceptions=True)

    async with listen_for(handle) as own:
        yield own, targets
