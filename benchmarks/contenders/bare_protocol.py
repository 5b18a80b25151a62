"""The floor: ten connections of a bare `asyncio.Protocol`, and the decoder that ours has, with none of its checks."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from amili_async.models import PayoutSpecification
from benchmarks.workload.plain_models import PlainListing
from benchmarks.workload.server import PATH

LABEL = "the floor: bare protocol, the same typed decode"
WIDTH = 10


class Listing(msgspec.Struct, frozen=True, gc=False):
    """A page."""

    items: tuple[PayoutSpecification, ...] = msgspec.field(name="_items")


class _Connection(asyncio.Protocol):
    """Asks for one page after the other, and hands on the bodies."""

    def __init__(self, visit: Callable[[bytes], int]) -> None:
        self._visit = visit
        self._chunks: list[bytes] = []
        self._missing = 0
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """What *visit* returned last."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def ask(self, host: str, numbers: Any) -> None:
        """For the pages with these numbers."""
        self._host, self._numbers = host, numbers
        self._ask_next(0)

    def _ask_next(self, visited: int) -> None:
        number = next(self._numbers, None)
        if number is None:
            self.ended.set_result(visited)
            return
        target = f"/{PATH}?page={number}&max_results=100&sort=_id"
        head = f"GET {target} HTTP/1.1\r\nHost: {self._host}\r\nX-API-Key: token\r\n\r\n"
        self._transport.write(head.encode())

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            head, _, data = data.partition(b"\r\n\r\n")
            self._missing = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        self._chunks.append(data)
        self._missing -= len(data)
        if not self._missing:
            body = b"".join(self._chunks)
            self._chunks.clear()
            self._ask_next(self._visit(body))


async def fetch_all(url: str, *, decodes: bool = True) -> int:
    """Visit every record in whatever order; without decoding, returns how many pages there were."""
    host = urlsplit(url).netloc
    address, _, port = host.partition(":")
    hook: Any = dict.__getitem__
    decoder = msgspec.json.Decoder(Listing, dec_hook=hook)
    visited = pages = 0

    def visit(body: bytes) -> int:
        nonlocal visited, pages
        pages += 1
        if decodes:
            for record in decoder.decode(body).items:
                visited += record.total_amount is not None
        return msgspec.json.decode(body, type=PlainListing).meta.total if pages == 1 else 0

    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: _Connection(visit), address, int(port)) for _ in range(WIDTH)]
    connections = [connection for _, connection in opened]
    connections[0].ask(host, iter([1]))
    total = await connections[0].ended
    numbers = iter(range(2, -(-total // 100) + 1))
    connections[0].ended = loop.create_future()
    for connection in connections:
        connection.ask(host, numbers)
    await asyncio.gather(*(connection.ended for connection in connections))
    for transport, _ in opened:
        transport.close()
    return visited if decodes else pages
