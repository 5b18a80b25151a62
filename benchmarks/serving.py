"""A server that costs next to nothing: it replays the sandbox's pages from a process of its own.

The sandbox does per request what a real server does, which on two cores would be measured along with the client.
"""

import asyncio
import multiprocessing
import re
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import aiohttp

from amili_async.sandbox import Sandbox

PATH = "finance--payout-specifications"
_PAGE = re.compile(rb"[?&]page=([0-9]+)")


@contextmanager
def serve(*, specifications: int, latency: float) -> Iterator[str]:
    """Url of a server that answers every request with a page of 100 specifications, sorted by id, after *latency*."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, specifications, latency), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join()


class _Replay(asyncio.Protocol):
    """One connection: requests without a body, answered in order after the latency."""

    def __init__(self, answers: list[bytes], latency: float) -> None:
        self._answers = answers
        self._latency = latency
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            request, _, self._received = self._received.partition(b"\r\n\r\n")
            found = _PAGE.search(request)
            answer = self._answers[int(found[1]) if found else 0]
            asyncio.get_running_loop().call_later(self._latency, self._transport.write, answer)


def _serve(pipe: Connection, specifications: int, latency: float) -> None:
    async def run() -> None:
        answers = await _record(specifications)
        server = await asyncio.get_running_loop().create_server(lambda: _Replay(answers, latency), "127.0.0.1", 0)
        pipe.send("http://{}:{}".format(*server.sockets[0].getsockname()))
        await asyncio.to_thread(pipe.recv)
        server.close()

    asyncio.run(run())


async def _record(specifications: int) -> list[bytes]:
    """Every page as the sandbox answers it, at the place of its number; the first place is never asked for."""
    answers = [b""]
    async with Sandbox(specifications=specifications, rate_limit=None) as sandbox, aiohttp.ClientSession() as session:
        for page in range(1, specifications // 100 + 1):
            parameters = {"page": str(page), "max_results": "100", "sort": "_id"}
            headers = {"X-API-Key": sandbox.token()}
            async with session.get(f"{sandbox.url}/{PATH}", params=parameters, headers=headers) as response:
                body = await response.read()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            answers.append(head.encode() + body)
    return answers
