"""A raw TCP server before the sandbox that can respond with any bytes, or none, as no web server would.

It forwards each request and returns the response, except where a misdeed was planned, which does what it likes with
the connection. A connection carries one request at a time and stays open until either side closes it.
"""

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from amili_async.sandbox import Sandbox
from tests.support.raw_server import HEAD_END, RawServer, connect_to, length_of, reset


@dataclass(frozen=True)
class Received:
    """A request as it was received."""

    method: str
    path: str
    raw: bytes


@dataclass(frozen=True)
class TrueResponse:
    """The response of the sandbox."""

    status: bytes
    """The status line, without its end."""
    headers: tuple[bytes, ...]
    """Header lines, without a `Content-Length`."""
    body: bytes

    def head(self, *extra: bytes, length: int | None = None) -> bytes:
        """Status line and headers, with a `Content-Length` where a length is given."""
        lengths = () if length is None else (b"Content-Length: %d" % length,)
        return b"\r\n".join((self.status, *self.headers, *extra, *lengths, b"", b""))

    @property
    def raw(self) -> bytes:
        """The whole response, unchanged."""
        return self.head(length=len(self.body)) + self.body


class Exchange:
    """One request and its connection, which a misdeed controls."""

    def __init__(self, received: Received, writer: asyncio.StreamWriter, sandbox: Sandbox) -> None:
        self.received = received
        self._writer = writer
        self._sandbox = sandbox
        self.is_over = False
        """Whether no further request is read from this connection."""

    async def execute(self) -> TrueResponse:
        """Let the sandbox execute the request."""
        reader, writer = await connect_to(self._sandbox)
        try:
            writer.write(self.received.raw.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            answer = await reader.read()
        finally:
            writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        dropped = (b"content-length", b"connection")
        return TrueResponse(status, tuple(line for line in lines if not line.lower().startswith(dropped)), body)

    @property
    def is_abandoned(self) -> bool:
        """Whether the client has closed the connection."""
        return self._writer.transport.is_closing()

    def send(self, data: bytes) -> None:
        """Write to the client."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the client has read most of what was written."""
        with suppress(ConnectionError):
            await self._writer.drain()

    def close(self) -> None:
        """Close the connection after sending what was written."""
        self.is_over = True
        self._writer.close()

    async def reset(self) -> None:
        """Reset the connection after sending what was written."""
        await asyncio.sleep(0.002)
        self.is_over = True
        reset(self._writer)

    async def hang(self) -> None:
        """Do nothing until the client closes the connection."""
        self.is_over = True
        while not self.is_abandoned:  # noqa: ASYNC110 - a transport has no event for that
            await asyncio.sleep(0.005)


Misdeed = Callable[[Exchange], Awaitable[None]]


@dataclass
class _Planned:
    misdeed: Misdeed
    times: int | None
    method: str | None
    path: str
    after: int

    def meets(self, received: Received) -> bool:
        """Whether the misdeed applies to this request; counts the requests of its kind."""
        if self.method not in (None, received.method) or not received.path.startswith(self.path) or self.times == 0:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class HostileServer(RawServer):
    """A server before a sandbox; `async with`."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__()
        self.sandbox = sandbox
        self.received: list[Received] = []
        """Every request, in order of arrival."""
        self.connections = 0
        """How many connections were made."""
        self._plan: list[_Planned] = []
        self._writers: list[asyncio.StreamWriter] = []

    def plan(
        self, misdeed: Misdeed, *, times: int | None = 1, method: str | None = None, path: str = "/", after: int = 0
    ) -> None:
        """Apply a misdeed to the next *times* requests (None: to all) under *path*, after the first *after* of them."""
        self._plan.append(_Planned(misdeed, times, method, path, after))

    def behave(self) -> None:
        """Drop every misdeed that is still planned."""
        self._plan.clear()

    def send_unrequested(self, data: bytes, *, then_close: bool) -> int:
        """Write to every open connection and return their number."""
        writers = [each for each in self._writers if not each.transport.is_closing()]
        for each in writers:
            each.write(data)
            if then_close:
                each.close()
        return len(writers)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a new connection, and count it."""
        self.connections += 1
        self._writers.append(writer)
        super().accept(reader, writer)

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether another request may follow."""
        head = await reader.readuntil(HEAD_END)
        body = await reader.readexactly(length_of(head))
        method, target, _ = head.split(b" ", 2)
        received = Received(method.decode(), target.partition(b"?")[0].decode(), head + body)
        self.received.append(received)
        exchange = Exchange(received, writer, self.sandbox)
        planned = next((each for each in self._plan if each.meets(received)), None)
        if planned is None:
            exchange.send((await exchange.execute()).raw)
        else:
            await planned.misdeed(exchange)
        return not exchange.is_over


# Misdeeds


def send_raw(data: bytes) -> Misdeed:
    """Send these bytes instead of a response, without executing the request, and close."""

    async def misbehave(exchange: Exchange) -> None:
        exchange.send(data)
        exchange.close()

    return misbehave


def execute_then_send(change: Callable[[TrueResponse], bytes], *, then: str = "close") -> Misdeed:
    """Execute the request, send the response that *change* returns, and then `close`, `reset`, `hang` or `stay`."""

    async def misbehave(exchange: Exchange) -> None:
        exchange.send(change(await exchange.execute()))
        if then == "close":
            exchange.close()
        elif then != "stay":
            await (exchange.reset() if then == "reset" else exchange.hang())

    return misbehave


def drip(seconds: float) -> Misdeed:
    """Send the true response byte by byte, with a pause after each."""

    async def misbehave(exchange: Exchange) -> None:
        for byte in (await exchange.execute()).raw:
            exchange.send(bytes([byte]))
            await asyncio.sleep(seconds)
            if exchange.is_abandoned:
                break
        exchange.close()

    return misbehave


def flood(head: bytes, chunk: bytes) -> Misdeed:
    """Send a head and then the same chunk until the client closes the connection."""

    async def misbehave(exchange: Exchange) -> None:
        exchange.send(head)
        while not exchange.is_abandoned:
            exchange.send(chunk)
            await exchange.drain()
            await asyncio.sleep(0)
        exchange.is_over = True

    return misbehave


def redirect(status: int, location: str) -> Misdeed:
    """Redirect the client to another address."""
    return send_raw(b"HTTP/1.1 %d Elsewhere\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, location.encode()))


def zip_wrongly(spoil: Callable[[bytes], bytes], *, encoding: bytes = b"gzip") -> Misdeed:
    """Send the true response as compressed, with the body that *spoil* makes of its gzip."""

    def change(answer: TrueResponse) -> bytes:
        body = spoil(gzip.compress(answer.body))
        return answer.head(b"Content-Encoding: " + encoding, length=len(body)) + body

    return execute_then_send(change, then="stay")


def make_bomb(size: int) -> bytes:
    """Gzip that is a thousandth of its decompressed size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    blank = b" " * 2**20
    return b"".join([*(packer.compress(blank) for _ in range(size // 2**20)), packer.flush()])
