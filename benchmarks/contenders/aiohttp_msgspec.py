"""Hand-written for speed: aiohttp with ten workers and a msgspec struct whose dates stay text."""

import aiohttp
import msgspec

from benchmarks.contenders.aiohttp_bytes import fetch_pages
from benchmarks.workload.plain_models import PlainPage

LABEL = "aiohttp + msgspec, text and float, ten workers"


async def fetch_all(url: str) -> int:
    """Visit every record."""
    visited = 0
    decoder = msgspec.json.Decoder(PlainPage)

    def visit(body: bytes) -> int:
        nonlocal visited
        listing = decoder.decode(body)
        for item in listing.items:
            visited += item.total_amount is not None
        return listing.meta.total

    async with aiohttp.ClientSession(headers={"X-API-Key": "token"}) as session:
        await fetch_pages(session, url, visit)
    return visited
