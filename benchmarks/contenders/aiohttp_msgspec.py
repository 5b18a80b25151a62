"""What one writes by hand who knows what is fast: aiohttp with ten workers, a msgspec struct with dates as text."""

import aiohttp
import msgspec

from benchmarks.contenders.aiohttp_bytes import fetch_pages
from benchmarks.plain import PlainListing

LABEL = "aiohttp + msgspec, text and float, ten workers"


async def fetch_all(url: str) -> int:
    """Visit every record."""
    amounts: list[float | None] = []
    decoder = msgspec.json.Decoder(PlainListing)

    def visit(body: bytes) -> int:
        listing = decoder.decode(body)
        amounts.extend(item.total_amount for item in listing.items)
        return listing.meta.total

    async with aiohttp.ClientSession(headers={"X-API-Key": "token"}) as session:
        await fetch_pages(session, url, visit)
    return len(amounts)
