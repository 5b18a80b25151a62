"""A server that costs next to nothing, in a process of its own, however many rows it has.

The sandbox does per request what a real server does, which on two cores would be measured along with the client. This
one knows lists sorted by `_id`, ranges of `_id` and page numbers, and refuses whatever else it is asked.
"""

import asyncio
import json
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import msgspec

from amili_async.sandbox import Sandbox
from amili_async.sandbox.dates import at_epoch, write_date
from benchmarks.harness.cores import SERVER, stay_on
from benchmarks.workload.rows import Rows

PATH = "finance--payout-specifications"
TEMPLATES = 1_000
"""Specifications that differ in more than what follows from their number."""


def make_rows(count: int) -> Rows:
    """So many specifications, made from a sandbox's."""
    return Rows(asyncio.run(_fetch_templates()), count)


@contextmanager
def serve(rows: Rows, *, latency: float) -> Iterator[str]:
    """Url of a server that has these rows and answers each request after *latency* seconds."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, rows, latency), daemon=True)
    process.start()
    theirs.close()  # so that a server which never comes is noticed
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join()


class WrittenRows:
    """Rows, and what was written of them, full pages before anybody asks: a page then costs next to nothing."""

    MOST = 2_500
    """Pages that are kept, some 200 MB."""

    def __init__(self, rows: Rows) -> None:
        self.count = rows.count
        self.count_below = rows.count_below
        self._rows = rows
        self._written: dict[tuple[int, int, bool], bytes] = {}
        for start in range(0, min(rows.count, self.MOST * 100), 100):
            self.write(start, min(start + 100, rows.count), heads_only=False)

    def write(self, start: int, end: int, *, heads_only: bool) -> bytes:
        """As `Rows.write` does."""
        place = (start, end, heads_only)
        written = self._written.get(place)
        if written is None:
            written = self._rows.write(start, end, heads_only=heads_only)
            if len(self._written) < self.MOST:
                self._written[place] = written
        return written


class _Listing(asyncio.Protocol):
    """One connection: requests without a body, answered in order after the latency."""

    def __init__(self, rows: "WrittenRows", latency: float) -> None:
        self._rows = rows
        self._latency = latency
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._received += data
        loop = asyncio.get_running_loop()
        while b"\r\n\r\n" in self._received:
            request, _, self._received = self._received.partition(b"\r\n\r\n")
            # put together only after all requests that came at once were noticed: then that is part of the latency
            loop.call_soon(self._answer, request.split(b" ", 2)[1].decode(), loop.time() + self._latency)

    def _answer(self, target: str, due: float) -> None:
        answer = answer_list(self._rows, target)
        asyncio.get_running_loop().call_at(due, self._transport.write, answer)


def answer_list(rows: Rows | WrittenRows, target: str) -> bytes:
    """The whole answer to a request for a page of the list; 400 for what this server does not know."""
    try:
        status, body = "200 OK", _write_page(rows, _read_target(target))
    except ValueError:
        status, body = "400 BAD REQUEST", b'{"_status":"ERR","_error":{"code":400,"message":"not known here"}}'
    head = (
        f"HTTP/1.1 {status}\r\nDate: {write_date(at_epoch(time.time()))}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@lru_cache(maxsize=20_000)
def _read_target(target: str) -> dict[str, str]:
    return dict(parse_qsl(target.partition("?")[2]))


def _write_page(rows: Rows | WrittenRows, parameters: dict[str, str]) -> bytes:
    if parameters.get("sort", "_id") != "_id":
        raise ValueError
    low, high = _find_range(rows, json.loads(parameters.get("where", "{}")))
    number, size = int(parameters.get("page", "1")), min(int(parameters.get("max_results", "25")), 100)
    start = low + (number - 1) * size
    heads_only = json.loads(parameters.get("projection", "{}")) == {"_id": 1}
    items = rows.write(start, min(start + size, high), heads_only=heads_only)
    meta = b'{"page":%d,"max_results":%d,"total":%d}' % (number, size, max(0, high - low))
    return b'{"_items":[' + items + b'],"_meta":' + meta + b"}"


def _find_range(rows: Rows | WrittenRows, where: dict[str, Any]) -> tuple[int, int]:
    """The first row that matches, and the one after the last."""
    low, high = 0, rows.count
    for name, operand in where.items():
        if name == "$and":
            found = [_find_range(rows, part) for part in operand]
        elif name == "$or":
            found = [_join_ranges([_find_range(rows, part) for part in operand])]
        elif name == "_id" and isinstance(operand, dict):
            found = [_find_bound(rows, operator, record_id) for operator, record_id in operand.items()]
        else:
            raise ValueError
        low = max([low, *(first for first, _ in found)])
        high = min([high, *(last for _, last in found)])
    return low, high


def _join_ranges(ranges: list[tuple[int, int]]) -> tuple[int, int]:
    """The only one of them that is not empty: gaps between rows that do not change are."""
    found = [(low, high) for low, high in ranges if low < high]
    if len(found) > 1:
        raise ValueError
    return found[0] if found else (0, 0)


def _find_bound(rows: Rows | WrittenRows, operator: str, record_id: str) -> tuple[int, int]:
    if operator in {"$gt", "$gte"}:
        return rows.count_below(record_id, included=operator == "$gt"), rows.count
    if operator in {"$lt", "$lte"}:
        return 0, rows.count_below(record_id, included=operator == "$lte")
    raise ValueError


def _serve(pipe: Connection, rows: Rows, latency: float) -> None:
    stay_on(SERVER)
    written = WrittenRows(rows)
    with suppress(ImportError):  # it has twice the capacity with it
        import uvloop

        uvloop.install()

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _Listing(written, latency), "127.0.0.1", 0)
        pipe.send("http://{}:{}".format(*server.sockets[0].getsockname()))
        await asyncio.to_thread(pipe.recv)
        server.close()

    asyncio.run(run())


async def _fetch_templates() -> list[bytes]:
    """What the sandbox answers, cut into single records."""
    templates: list[bytes] = []
    async with Sandbox(specifications=TEMPLATES, rate_limit=None) as sandbox, aiohttp.ClientSession() as session:
        for page in range(1, TEMPLATES // 100 + 1):
            parameters = {"page": str(page), "max_results": "100", "sort": "_id"}
            headers = {"X-API-Key": sandbox.token()}
            async with session.get(f"{sandbox.url}/{PATH}", params=parameters, headers=headers) as response:
                listing = msgspec.json.decode(await response.read(), type=dict[str, msgspec.Raw])
            templates += map(bytes, msgspec.json.decode(listing["_items"], type=list[msgspec.Raw]))
    return templates
