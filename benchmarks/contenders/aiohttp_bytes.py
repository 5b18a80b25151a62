"""Bare aiohttp: ten workers that read page bodies; only the first is decoded, for the total."""

import asyncio
from collections.abc import Callable

import aiohttp
import msgspec

from benchmarks.workload.plain_models import PlainMeta, PlainPage
from benchmarks.workload.server import PATH

LABEL = "bare aiohttp, ten workers, nothing decoded"


class _RawPage(msgspec.Struct):
    items: list[msgspec.Raw] = msgspec.field(name="_items")
    meta: PlainMeta = msgspec.field(name="_meta")


async def fetch_all(url: str) -> int:
    """Read every page; returns the number of pages."""
    pages = 0

    def visit(body: bytes) -> int:
        nonlocal pages
        pages += 1
        return msgspec.json.decode(body, type=PlainPage).meta.total if pages == 1 else 0

    async with aiohttp.ClientSession(headers={"X-API-Key": "token"}) as session:
        await fetch_pages(session, url, visit)
    return pages


async def fetch_pages(
    session: aiohttp.ClientSession, url: str, visit: Callable[[bytes], int], *, concurrency: int = 10
) -> None:
    """Pass every page to *visit* in order of arrival; *visit* returns the total of the first page."""

    async def fetch(number: int) -> bytes:
        parameters = {"page": str(number), "max_results": "100", "sort": "_id"}
        async with session.get(f"{url}/{PATH}", params=parameters) as response:
            response.raise_for_status()
            return await response.read()

    async def work() -> None:
        for number in numbers:
            visit(await fetch(number))

    total = visit(await fetch(1))
    numbers = iter(range(2, -(-total // 100) + 1))
    await asyncio.gather(*(work() for _ in range(concurrency)))


async def fetch_lines(url: str) -> bytes:
    """All rows as lines of JSON, undecoded, in order of arrival."""
    lines: list[msgspec.Raw] = []

    def visit(body: bytes) -> int:
        page = msgspec.json.decode(body, type=_RawPage)
        lines.extend(page.items)
        return page.meta.total

    async with aiohttp.ClientSession(headers={"X-API-Key": "token"}) as session:
        await fetch_pages(session, url, visit)
    return b"\n".join(lines)
