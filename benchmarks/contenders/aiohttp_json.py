"""Hand-written: aiohttp with ten workers and `json.loads`; no types, order, rate limiter, retry or token refresh."""

import json

import aiohttp

from benchmarks.contenders.aiohttp_bytes import fetch_pages

LABEL = "aiohttp + json.loads to dicts, ten workers"


async def fetch_all(url: str) -> int:
    """Visit every record, as a dict."""
    visited = 0

    def visit(body: bytes) -> int:
        nonlocal visited
        listing = json.loads(body)
        for item in listing["_items"]:
            visited += item["total_amount"] is not None
        return int(listing["_meta"]["total"])

    async with aiohttp.ClientSession(headers={"X-API-Key": "token"}) as session:
        await fetch_pages(session, url, visit)
    return visited
