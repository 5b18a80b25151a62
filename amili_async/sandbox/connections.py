"""What a broken network does to a connection: reset it, cut an answer off, or leave it waiting."""

import asyncio
import socket
import struct

from aiohttp import web

from .answers import Answer, reason

_LINGER_NOT = struct.pack("ii", 1, 0)
_LOOK_EVERY = 0.02


def reset(request: web.BaseRequest) -> None:
    """Close the connection so that the client sees a reset: without an end, without another byte."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    transport.abort()


def send_part(request: web.BaseRequest, answer: Answer, *, head: int | None, body: int | None) -> None:
    """Announce the whole answer, send that many bytes of its head, or else of its body; the connection stays open."""
    lines = [
        f"HTTP/1.1 {answer.status} {reason(answer.status)}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
        "\r\n",
    ]
    announced = "\r\n".join(lines).encode()
    part = announced + answer.body[:body] if head is None else announced[:head]
    if request.transport is not None:
        request.transport.write(part)


def close(request: web.BaseRequest) -> None:
    """End the connection after what has been written."""
    if request.transport is not None:
        request.transport.close()


async def wait_until_gone(request: web.BaseRequest, closing: asyncio.Event) -> None:
    """Return when the client has gone away or *closing* is set."""
    while not closing.is_set() and request.transport is not None and not request.transport.is_closing():
        await pause(_LOOK_EVERY, closing)


async def pause(seconds: float, closing: asyncio.Event) -> None:
    """Sleep, but no longer than until *closing* is set."""
    if seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            await closing.wait()
    except TimeoutError:
        return
