"""A TCP proxy before a sandbox that drops the connection at a chosen byte, before or after the request is carried out.

It knows just enough of HTTP/1.1 to tell where a message ends: by its `Content-Length`, which both sides always send.
Drops are chosen when the first bytes of a request arrive, or, for a connection that is refused, before any does; where
exactly each one cuts, and how late a late one is, a seed decides.
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
    """What becomes of one exchange."""

    NOTHING = auto()
    """All goes well."""
    CLOSED_UNREAD = auto()
    """The connection is closed in order, just when the request arrives."""
    IN_REQUEST_HEAD = auto()
    """Reset after a part of the request's head."""
    IN_REQUEST_BODY = auto()
    """Reset after the request's head and a part of its body."""
    BEFORE_COMMIT = auto()
    """The whole request is read, then the connection is reset."""
    AFTER_COMMIT = auto()
    """The request is carried out, then the connection is reset without a byte of the answer."""
    IN_ANSWER_HEAD = auto()
    """Carried out; the connection ends within the status line or the headers."""
    IN_ANSWER_BODY = auto()
    """Carried out; the connection ends within the body."""
    GATEWAY_TIMEOUT = auto()
    """Carried out, and answered with a gateway's 504."""
    BAD_GATEWAY = auto()
    """Not carried out, and answered with a gateway's 502."""
    UNAVAILABLE = auto()
    """Not carried out, and answered with a gateway's 503."""
    HANG_BEFORE = auto()
    """Not carried out, never answered."""
    HANG_AFTER = auto()
    """Carried out, never answered."""
    LATE_AFTER_RESET = auto()
    """The connection is reset, and a moment later the request is carried out."""
    LATE_AFTER_HANG = auto()
    """Never answered; a moment after the client has given up, the request is carried out."""
    RATE_LIMITED = auto()
    """Not carried out, and answered with 429."""
    UNAUTHORIZED = auto()
    """Not carried out, and answered with 401."""
    INVALID = auto()
    """Not carried out, and answered with 422."""


_PAGES = {
    Drop.GATEWAY_TIMEOUT: "504 Gateway Time-out",
    Drop.BAD_GATEWAY: "502 Bad Gateway",
    Drop.UNAVAILABLE: "503 Service Unavailable",
}
_REFUSALS = {
    Drop.RATE_LIMITED: "429 Too Many Requests",
    Drop.UNAUTHORIZED: "401 Unauthorized",
    Drop.INVALID: "422 Unprocessable Entity",
}
_CARRIED_OUT_FIRST = {
    Drop.NOTHING,
    Drop.AFTER_COMMIT,
    Drop.IN_ANSWER_HEAD,
    Drop.IN_ANSWER_BODY,
    Drop.GATEWAY_TIMEOUT,
    Drop.HANG_AFTER,
}


class DroppingProxy:
    """Stands before a sandbox; `async with`. *choose* is asked at each request, with its method, for its drop."""

    def __init__(self, sandbox: Sandbox, *, seed: int = 1, latest: float = 0.2) -> None:
        self._sandbox = sandbox
        self._random = Random(seed)
        self._latest = latest
        self.choose: Callable[[str], Drop] = lambda method: Drop.NOTHING
        self.refuses: Callable[[], bool] = lambda: False
        """Asked at each connection whether to close it before a byte of it is read."""
        self.closes_idle: Callable[[], bool] = lambda: False
        """Asked after each answer whether to close the connection a moment later, without having said so."""
        self.done: Counter[tuple[str, Drop]] = Counter()
        """How often each drop was done to each method."""
        self.refused = 0
        """Connections that were closed unread."""
        self.posted: list[bytes] = []
        """The body of each POST of which the head was read, as far as it was."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._late: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
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
        """Wait until everything that was to be carried out late is."""
        while self._late:
            await asyncio.gather(*self._late)

    def close_idle(self) -> int:
        """Close every connection that waits for its next request, and return how many those were."""
        closed = len(self._idle)
        for writer in self._idle:
            writer.close()
        self._idle.clear()
        return closed

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses():
            self.refused += 1
            _reset(writer)
            return
        _keep(asyncio.get_running_loop().create_task(self._serve(reader, writer)), self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One exchange after another, until one side ends it."""
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
        """Whether the connection lives on."""
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
        """What follows once the whole request was read."""
        answer = await self._carry_out(request) if drop in _CARRIED_OUT_FIRST else b""
        if drop in {Drop.BEFORE_COMMIT, Drop.AFTER_COMMIT}:
            return _reset(writer)
        if drop is Drop.LATE_AFTER_RESET:
            self._carry_out_late(request)
            return _reset(writer)
        if drop in {Drop.HANG_BEFORE, Drop.HANG_AFTER, Drop.LATE_AFTER_HANG}:
            await reader.read()
            if drop is Drop.LATE_AFTER_HANG:
                self._carry_out_late(request)
            return False
        if drop in {Drop.IN_ANSWER_HEAD, Drop.IN_ANSWER_BODY}:
            writer.write(self._cut(answer, drop))
            return _reset(writer) if self._random.random() < 0.5 else False
        writer.write(answer if drop is Drop.NOTHING else _false_answer(drop))
        return True

    def _cut(self, answer: bytes, drop: Drop) -> bytes:
        """A part of the answer: of its head, or all of that and a part of its body."""
        head = answer.index(_HEAD_END) + len(_HEAD_END)
        end = self._random.randrange(head) if drop is Drop.IN_ANSWER_HEAD else self._random.randrange(head, len(answer))
        return answer[:end]

    async def _carry_out(self, request: bytes) -> bytes:
        """Let the sandbox do what was asked; its answer, to the byte."""
        host, port = self._sandbox.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(request)
            head = await reader.readuntil(_HEAD_END)
            return head + await reader.readexactly(_length_of(head))
        finally:
            writer.close()

    def _carry_out_late(self, request: bytes) -> None:
        async def wait_and_carry_out() -> None:
            await asyncio.sleep(self._random.uniform(0, self._latest))
            await self._carry_out(request)

        _keep(asyncio.get_running_loop().create_task(wait_and_carry_out()), self._late)


def _keep(task: asyncio.Task[None], tasks: set[asyncio.Task[None]]) -> None:
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def _reset(writer: asyncio.StreamWriter) -> bool:
    """Break the connection; it does not live on."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


def _length_of(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return next((int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")), 0)


def _false_answer(drop: Drop) -> bytes:
    if drop in _PAGES:
        status, kind, body = _PAGES[drop], "text/html", f"<html><h1>{_PAGES[drop]}</h1></html>"
    else:
        status, kind = _REFUSALS[drop], "application/json"
        body = json.dumps({"_status": "ERR", "_error": {"code": int(status[:3]), "message": "no"}})
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
