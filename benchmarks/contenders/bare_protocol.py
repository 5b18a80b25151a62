"""The lower bound: ten connections of a bare `asyncio.Protocol` and the package's decoder without its checks."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from amili_async.models import PayoutSpecification
from benchmarks.workload.plain_models import PlainPage
from benchmarks.workload.server import PATH

LABEL = "lower bound: bare protocol, same typed decode"
CONCURRENCY = 10


class DecodedPage(msgspec.Struct, frozen=True, gc=False):
    """One page, without its total."""

    items: tuple[PayoutSpecification, ...] = msgspec.field(name="_items")


class _Connection(asyncio.Protocol):
    """Requests one page after the other and passes the bodies to *visit*."""

    def __init__(self, visit: Callable[[bytes], int]) -> None:
        self._visit = visit
        self._chunks: list[bytes] = []
        self._missing = 0
        self.finished: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Resolves to the last result of *visit*."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def request_pages(self, host: str, numbers: Iterator[int]) -> None:
        """Take page numbers from *numbers*, which connections share, until it is exhausted."""
        self._host, self._numbers = host, numbers
        self._request_next(0)

    def _request_next(self, visited: int) -> None:
        number = next(self._numbers, None)
        if number is None:
            self.finished.set_result(visited)
            return
        target = f"/{PATH}?page={number}&max_results=100&sort=_id"
        head = f"GET {target} HTTP/1.1\r\nHost: {self._host}\r\nX-API-Key: token\r\n\r\n"
        self._transport.write(head.encode())

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            # The server writes head and body in one call, so the first read contains the whole head.
            head, _, data = data.partition(b"\r\n\r\n")
            self._missing = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        self._chunks.append(data)
        self._missing -= len(data)
        if not self._missing:
            body = b"".join(self._chunks)
            self._chunks.clear()
            self._request_next(self._visit(body))


async def fetch_all(url: str, *, decodes: bool = True) -> int:
    """Visit every record in order of arrival; without decoding, return the number of pages."""
    host = urlsplit(url).netloc
    address, _, port = host.partition(":")
    # The type of a date is a dict from text to datetime; the hook looks the text up in it, as the package does.
    hook: Any = dict.__getitem__
    decoder = msgspec.json.Decoder(DecodedPage, dec_hook=hook)
    visited = pages = 0

    def visit(body: bytes) -> int:
        nonlocal visited, pages
        pages += 1
        if decodes:
            for record in decoder.decode(body).items:
                visited += record.total_amount is not None
        return msgspec.json.decode(body, type=PlainPage).meta.total if pages == 1 else 0

    loop = asyncio.get_running_loop()
    connected = [
        await loop.create_connection(lambda: _Connection(visit), address, int(port)) for _ in range(CONCURRENCY)
    ]
    connections = [connection for _, connection in connected]
    connections[0].request_pages(host, iter([1]))
    total = await connections[0].finished
    numbers = iter(range(2, -(-total // 100) + 1))
    connections[0].finished = loop.create_future()
    for connection in connections:
        connection.request_pages(host, numbers)
    await asyncio.gather(*(connection.finished for connection in connections))
    for transport, _ in connected:
        transport.close()
    return visited if decodes else pages
