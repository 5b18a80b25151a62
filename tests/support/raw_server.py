"""A TCP server on loopback that serves each connection in a task of its own, and what servers of raw HTTP need."""

import asyncio
import socket
import struct
from abc import ABC, abstractmethod
from contextlib import suppress
from types import TracebackType
from typing import Self

from amili_async.sandbox import Sandbox

HEAD_END = b"\r\n\r\n"


class RawServer(ABC):
    """A server; `async with`. Leaving the block cancels what it is doing."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        """What is cancelled at the end."""
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The address that it listens on."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a new connection."""
        keep(asyncio.get_running_loop().create_task(self._serve(reader, writer)), self.tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self.serve_one(reader, writer):
                    pass
        finally:
            writer.close()

    @abstractmethod
    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; whether another may follow."""


def keep(task: asyncio.Task[None], tasks: set[asyncio.Task[None]]) -> None:
    """Hold a task until it is done."""
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def reset(writer: asyncio.StreamWriter) -> None:
    """Reset a connection."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def length_of(head: bytes) -> int:
    """The `Content-Length` of a head; 0 without one."""
    lines = head.lower().split(b"\r\n")
    return next((int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")), 0)


async def connect_to(sandbox: Sandbox) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to a sandbox."""
    host, port = sandbox.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))
