"""A TCP proxy that drops the connection to a sandbox at a chosen byte, before or after the request is executed.

It parses just enough of HTTP/1.1 to find the end of a message: the `Content-Length`, which both sides always send. A
drop is chosen when the first bytes of a request arrive, a rejected connection before any does. A seed determines the
byte of each cut and the delay of each late request.
"""

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum, auto
from random import Random
from types import TracebackType
from typing import Self

from amili_async.sandbox import Sandbox

_HEAD_END = b"\r\n\r\n"


class Drop(StrEnum):
    """How one exchange ends."""

    NOTHING = auto()
    """The exchange succeeds."""
    CLOSED_UNREAD = auto()
    """The connection is closed in order as the request arrives."""
    IN_REQUEST_HEAD = auto()
    """Reset after a part of the request's head."""
    IN_REQUEST_BODY = auto()
    """Reset after the request's head and a part of its body."""
    BEFORE_COMMIT = auto()
    """The whole request is read, then the connection is reset."""
    AFTER_COMMIT = auto()
    """The request is executed, then the connection is reset without a byte of the response."""
    IN_RESPONSE_HEAD = auto()
    """Executed; the connection ends within the status line or the headers."""
    IN_RESPONSE_BODY = auto()
    """Executed; the connection ends within the body."""
    GATEWAY_TIMEOUT = auto()
    """Executed; the response is a gateway's 504."""
    BAD_GATEWAY = auto()
    """Not executed; the response is a gateway's 502."""
    UNAVAILABLE = auto()
    """Not executed; the response is a gateway's 503."""
    HANG_BEFORE = auto()
    """Not executed, without a response."""
    HANG_AFTER = auto()
    """Executed, without a response."""
    LATE_AFTER_RESET = auto()
    """The connection is reset, and a moment later the request is executed."""
    LATE_AFTER_HANG = auto()
    """Without a response; a moment after the client has given up, the request is executed."""
    RATE_LIMITED = auto()
    """Not executed; the response is a 429."""
    UNAUTHORIZED = auto()
    """Not executed; the response is a 401."""
    INVALID = auto()
    """Not executed; the response is a 422."""


_PAGES = {
    Drop.GATEWAY_TIMEOUT: "504 Gateway Time-out",
    Drop.BAD_GATEWAY: "502 Bad Gateway",
    Drop.UNAVAILABLE: "503 Service Unavailable",
}
_REJECTIONS = {
    Drop.RATE_LIMITED: "429 Too Many Requests",
    Drop.UNAUTHORIZED: "401 Unauthorized",
    Drop.INVALID: "422 Unprocessable Entity",
}
_EXECUTED_FIRST = {
    Drop.NOTHING,
    Drop.AFTER_COMMIT,
    Drop.IN_RESPONSE_HEAD,
    Drop.IN_RESPONSE_BODY,
    Drop.GATEWAY_TIMEOUT,
    Drop.HANG_AFTER,
}


class DroppingProxy:
    """A proxy before a sandbox; `async with`. It calls *choose* with the method of each request to get its drop."""

    def __init__(self, sandbox: Sandbox, *, seed: int = 1, latest: float = 0.2) -> None:
        self._sandbox = sandbox
        self._random = Random(seed)
        self._latest = latest
        self.choose: Callable[[str], Drop] = lambda method: Drop.NOTHING
        self.closes_new: Callable[[], bool] = lambda: False
        """Called for each connection: whether to close it before reading a byte of it."""
        self.closes_idle: Callable[[], bool] = lambda: False
        """Called after each response: whether to close the connection a moment later, without announcing it."""
        self.done: Counter[tuple[str, Drop]] = Counter()
        """How often each drop happened to each method."""
        self.closed_new = 0
        """New connections that were closed unread."""
        self.posted: list[bytes] = []
        """The body of each POST whose head was read, as far as it was read."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._late: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The address that it listens on."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks | self._late:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._late, return_exceptions=True)

    async def settle(self) -> None:
        """Wait until every late request has been executed."""
        while self._late:
            await asyncio.gather(*self._late)

    def close_idle(self) -> int:
        """Close every connection that waits for its next request, and return their number."""
        closed = len(self._idle)
        for writer in self._idle:
            writer.close()
        self._idle.clear()
        return closed

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.closes_new():
            self.closed_new += 1
            _reset(writer)
            return
        _keep(asyncio.get_running_loop().create_task(self._serve(reader, writer)), self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one exchange after another, until one side ends the connection."""
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    self._idle.add(writer)
                    start = await reader.readexactly(4)
                    self._idle.discard(writer)
                    if not await self._exchange(start, reader, writer):
                        break
                    if self.closes_idle():
                        await asyncio.sleep(self._random.uniform(0, 0.002))
                        break
        finally:
            self._idle.discard(writer)
            writer.close()

    async def _exchange(self, start: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays open."""
        method = start.decode().strip()
        drop = self.choose(method)
        self.done[method, drop] += 1
        if drop is Drop.CLOSED_UNREAD:
            return False
        if drop is Drop.IN_REQUEST_HEAD:
            await reader.readexactly(self._random.randrange(200))
            return _reset(writer)
        head = start + await reader.readuntil(_HEAD_END)
        length = _length_of(head)
        if drop is Drop.IN_REQUEST_BODY:
            self._note(method, await reader.readexactly(self._random.randrange(length) if length else 0))
            return _reset(writer)
        body = await reader.readexactly(length)
        self._note(method, body)
        return await self._drop(drop, head + body, reader, writer)

    def _note(self, method: str, body: bytes) -> None:
        if method == "POST":
            self.posted.append(body)

    async def _drop(
        self, drop: Drop, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """End the exchange in the chosen way, once the whole request was read."""
        answer = await self._execute(request) if drop in _EXECUTED_FIRST else b""
        if drop in {Drop.BEFORE_COMMIT, Drop.AFTER_COMMIT}:
            return _reset(writer)
        if drop is Drop.LATE_AFTER_RESET:
            self._execute_late(request)
            return _reset(writer)
        if drop in {Drop.HANG_BEFORE, Drop.HANG_AFTER, Drop.LATE_AFTER_HANG}:
            await reader.read()
            if drop is Drop.LATE_AFTER_HANG:
                self._execute_late(request)
            return False
        if drop in {Drop.IN_RESPONSE_HEAD, Drop.IN_RESPONSE_BODY}:
            writer.write(self._cut(answer, drop))
            return _reset(writer) if self._random.random() < 0.5 else False
        writer.write(answer if drop is Drop.NOTHING else _false_response(drop))
        return True

    def _cut(self, answer: bytes, drop: Drop) -> bytes:
        """A part of the response: of its head, or the head and a part of its body."""
        head = answer.index(_HEAD_END) + len(_HEAD_END)
        end = (
            self._random.randrange(head) if drop is Drop.IN_RESPONSE_HEAD else self._random.randrange(head, len(answer))
        )
        return answer[:end]

    async def _execute(self, request: bytes) -> bytes:
        """Let the sandbox execute the request, and return its response, byte for byte."""
        host, port = self._sandbox.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(request)
            head = await reader.readuntil(_HEAD_END)
            return head + await reader.readexactly(_length_of(head))
        finally:
            writer.close()

    def _execute_late(self, request: bytes) -> None:
        async def wait_and_execute() -> None:
            await asyncio.sleep(self._random.uniform(0, self._latest))
            await self._execute(request)

        _keep(asyncio.get_running_loop().create_task(wait_and_execute()), self._late)


def _keep(task: asyncio.Task[None], tasks: set[asyncio.Task[None]]) -> None:
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def _reset(writer: asyncio.StreamWriter) -> bool:
    """Reset the connection; it does not stay open."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


def _length_of(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return next((int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")), 0)


def _false_response(drop: Drop) -> bytes:
    if drop in _PAGES:
        status, kind, body = _PAGES[drop], "text/html", f"<html><h1>{_PAGES[drop]}</h1></html>"
    else:
        status, kind = _REJECTIONS[drop], "application/json"
        body = json.dumps({"_status": "ERR", "_error": {"code": int(status[:3]), "message": "no"}})
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
