"""A server process that costs next to nothing per request, however many rows it has.

The sandbox parses and evaluates each request as a real server does; on two cores that time would distort the results.
This server supports lists sorted by `_id`, ranges of `_id` and page numbers, and rejects everything else with a 400.
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
from amili_async.sandbox.bson_values import at_epoch, write_date
from benchmarks.harness.cores import SERVER_CORE, pin_to_core
from benchmarks.workload.rows import Rows

PATH = "finance--payout-specifications"
TEMPLATE_COUNT = 1_000
"""Number of distinct records that the rows repeat."""


def make_rows(count: int) -> Rows:
    """*count* specifications, made from those of a sandbox."""
    return Rows(asyncio.run(_fetch_templates()), count)


@contextmanager
def serve(rows: Rows, *, latency: float) -> Iterator[str]:
    """Run a server with these rows that responds after *latency* seconds; yields its URL."""
    context = multiprocessing.get_context("spawn")
    pipe, child_pipe = context.Pipe()
    process = context.Process(target=_serve, args=(child_pipe, rows, latency), daemon=True)
    process.start()
    child_pipe.close()  # the child then holds the only copy, so recv() raises EOFError if the child dies
    try:
        yield pipe.recv()
    finally:
        pipe.send(None)
        process.join()


class CachedRows:
    """Rows with a cache of serialised pages, filled before the first request."""

    MAX_CACHED_PAGES = 2_500
    """Limit of the cache; some 200 MB."""

    def __init__(self, rows: Rows) -> None:
        self.count = rows.count
        self.count_below = rows.count_below
        self._rows = rows
        self._cache: dict[tuple[int, int, bool], bytes] = {}
        for start in range(0, min(rows.count, self.MAX_CACHED_PAGES * 100), 100):
            self.write(start, min(start + 100, rows.count), heads_only=False)

    def write(self, start: int, end: int, *, heads_only: bool) -> bytes:
        """Like `Rows.write`."""
        key = (start, end, heads_only)
        items = self._cache.get(key)
        if items is None:
            items = self._rows.write(start, end, heads_only=heads_only)
            if len(self._cache) < self.MAX_CACHED_PAGES:
                self._cache[key] = items
        return items


class _ListProtocol(asyncio.Protocol):
    """One connection: requests without a body, answered in order after the latency."""

    def __init__(self, rows: CachedRows, latency: float) -> None:
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
            # Build the response in a later callback: every request that is already buffered gets its due time first,
            # so the time to build responses is part of the latency instead of adding to it.
            loop.call_soon(self._respond, request.split(b" ", 2)[1].decode(), loop.time() + self._latency)

    def _respond(self, target: str, due: float) -> None:
        response = respond_to_list(self._rows, target)
        asyncio.get_running_loop().call_at(due, self._transport.write, response)


def respond_to_list(rows: Rows | CachedRows, target: str) -> bytes:
    """The complete HTTP response for one page of the list; 400 for an unsupported query."""
    try:
        status, body = "200 OK", _write_page(rows, _read_target(target))
    except ValueError:
        status, body = (
            "400 BAD REQUEST",
            b'{"_status":"ERR","_error":{"code":400,"message":"unsupported query"}}',
        )
    head = (
        f"HTTP/1.1 {status}\r\nDate: {write_date(at_epoch(time.time()))}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


# Every round requests the same pages: parse each target once.
@lru_cache(maxsize=20_000)
def _read_target(target: str) -> dict[str, str]:
    return dict(parse_qsl(target.partition("?")[2]))


def _write_page(rows: Rows | CachedRows, parameters: dict[str, str]) -> bytes:
    if parameters.get("sort", "_id") != "_id":
        raise ValueError
    low, high = _find_range(rows, json.loads(parameters.get("where", "{}")))
    number, size = int(parameters.get("page", "1")), min(int(parameters.get("max_results", "25")), 100)
    start = low + (number - 1) * size
    heads_only = json.loads(parameters.get("projection", "{}")) == {"_id": 1}
    items = rows.write(start, min(start + size, high), heads_only=heads_only)
    meta = b'{"page":%d,"max_results":%d,"total":%d}' % (number, size, max(0, high - low))
    return b'{"_items":[' + items + b'],"_meta":' + meta + b"}"


def _find_range(rows: Rows | CachedRows, where: dict[str, Any]) -> tuple[int, int]:
    """The first matching row and the one after the last."""
    low, high = 0, rows.count
    for name, operand in where.items():
        if name == "$and":
            ranges = [_find_range(rows, part) for part in operand]
        elif name == "$or":
            ranges = [_join_ranges([_find_range(rows, part) for part in operand])]
        elif name == "_id" and isinstance(operand, dict):
            ranges = [_find_bound(rows, operator, record_id) for operator, record_id in operand.items()]
        else:
            raise ValueError
        low = max([low, *(first for first, _ in ranges)])
        high = min([high, *(last for _, last in ranges)])
    return low, high


def _join_ranges(ranges: list[tuple[int, int]]) -> tuple[int, int]:
    """The only non-empty range; the client joins gaps by `$or`, and they are empty while the data does not change."""
    non_empty = [(low, high) for low, high in ranges if low < high]
    if len(non_empty) > 1:
        raise ValueError
    return non_empty[0] if non_empty else (0, 0)


def _find_bound(rows: Rows | CachedRows, operator: str, record_id: str) -> tuple[int, int]:
    if operator in {"$gt", "$gte"}:
        return rows.count_below(record_id, included=operator == "$gt"), rows.count
    if operator in {"$lt", "$lte"}:
        return 0, rows.count_below(record_id, included=operator == "$lte")
    raise ValueError


def _serve(pipe: Connection, rows: Rows, latency: float) -> None:
    pin_to_core(SERVER_CORE)
    written = CachedRows(rows)
    with suppress(ImportError):  # optional: doubles the capacity of the server
        import uvloop

        uvloop.install()

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _ListProtocol(written, latency), "127.0.0.1", 0)
        pipe.send("http://{}:{}".format(*server.sockets[0].getsockname()))
        await asyncio.to_thread(pipe.recv)
        server.close()

    asyncio.run(run())


async def _fetch_templates() -> list[bytes]:
    """The records of a sandbox, each as raw JSON."""
    templates: list[bytes] = []
    async with Sandbox(specifications=TEMPLATE_COUNT, rate_limit=None) as sandbox, aiohttp.ClientSession() as session:
        for page in range(1, TEMPLATE_COUNT // 100 + 1):
            parameters = {"page": str(page), "max_results": "100", "sort": "_id"}
            headers = {"X-API-Key": sandbox.token()}
            async with session.get(f"{sandbox.url}/{PATH}", params=parameters, headers=headers) as response:
                listing = msgspec.json.decode(await response.read(), type=dict[str, msgspec.Raw])
            templates += map(bytes, msgspec.json.decode(listing["_items"], type=list[msgspec.Raw]))
    return templates
