"""A TCP proxy that drops the connection to a sandbox at a chosen byte, before or after the request is executed.

It parses just enough of HTTP/1.1 to find the end of a message: the `Content-Length`, which both sides always send. A
drop is chosen when the first bytes of a request arrive, a rejected connection before any does. A seed determines the
byte of each cut and the delay of each late request.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from enum import StrEnum, auto
from random import Random

from amili_async.sandbox import Sandbox
from tests.support.raw_server import HEAD_END, RawServer, connect_to, keep, length_of, reset


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


class DroppingProxy(RawServer):
    """A proxy before a sandbox; `async with`. It calls *choose* with the method of each request to get its drop."""

    def __init__(self, sandbox: Sandbox, *, seed: int = 1, latest: float = 0.2) -> None:
        super().__init__()
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
        self._late: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.StreamWriter] = set()

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

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a new connection, or close it unread."""
        if self.closes_new():
            self.closed_new += 1
            reset(writer)
            return
        super().accept(reader, writer)

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one exchange; whether the connection stays open."""
        self._idle.add(writer)
        try:
            start = await reader.readexactly(4)
        finally:
            self._idle.discard(writer)
        if not await self._exchange(start, reader, writer):
            return False
        if self.closes_idle():
            await asyncio.sleep(self._random.uniform(0, 0.002))
            return False
        return True

    async def _exchange(self, start: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays open."""
        method = start.decode().strip()
        drop = self.choose(method)
        self.done[method, drop] += 1
        if drop is Drop.CLOSED_UNREAD:
            return False
        if drop is Drop.IN_REQUEST_HEAD:
            await reader.readexactly(self._random.randrange(200))
            return _end(writer)
        head = start + await reader.readuntil(HEAD_END)
        length = length_of(head)
        if drop is Drop.IN_REQUEST_BODY:
            self._note(method, await reader.readexactly(self._random.randrange(length) if length else 0))
            return _end(writer)
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
            return _end(writer)
        if drop is Drop.LATE_AFTER_RESET:
            self._execute_late(request)
            return _end(writer)
        if drop in {Drop.HANG_BEFORE, Drop.HANG_AFTER, Drop.LATE_AFTER_HANG}:
            await reader.read()
            if drop is Drop.LATE_AFTER_HANG:
                self._execute_late(request)
            return False
        if drop in {Drop.IN_RESPONSE_HEAD, Drop.IN_RESPONSE_BODY}:
            writer.write(self._cut(answer, drop))
            return _end(writer) if self._random.random() < 0.5 else False
        writer.write(answer if drop is Drop.NOTHING else _false_response(drop))
        return True

    def _cut(self, answer: bytes, drop: Drop) -> bytes:
        """A part of the response: of its head, or the head and a part of its body."""
        head = answer.index(HEAD_END) + len(HEAD_END)
        end = (
            self._random.randrange(head) if drop is Drop.IN_RESPONSE_HEAD else self._random.randrange(head, len(answer))
        )
        return answer[:end]

    async def _execute(self, request: bytes) -> bytes:
        """Let the sandbox execute the request, and return its response, byte for byte."""
        reader, writer = await connect_to(self._sandbox)
        try:
            writer.write(request)
            head = await reader.readuntil(HEAD_END)
            return head + await reader.readexactly(length_of(head))
        finally:
            writer.close()

    def _execute_late(self, request: bytes) -> None:
        async def wait_and_execute() -> None:
            await asyncio.sleep(self._random.uniform(0, self._latest))
            await self._execute(request)

        late = asyncio.get_running_loop().create_task(wait_and_execute())
        keep(late, self._late)
        keep(late, self.tasks)


def _end(writer: asyncio.StreamWriter) -> bool:
    """Reset the connection; it does not stay open."""
    reset(writer)
    return False


def _false_response(drop: Drop) -> bytes:
    if drop in _PAGES:
        status, kind, body = _PAGES[drop], "text/html", f"<html><h1>{_PAGES[drop]}</h1></html>"
    else:
        status, kind = _REJECTIONS[drop], "application/json"
        body = json.dumps({"_status": "ERR", "_error": {"code": int(status[:3]), "message": "no"}})
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
