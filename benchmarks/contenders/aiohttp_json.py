"""What one writes by hand: aiohttp with ten workers, `json.loads`; no types, order, budget, retry or token renewal."""

import json

import aiohttp

from benchmarks.contenders.aiohttp_bytes import fetch_pages

LABEL = "aiohttp + json.loads to dicts, ten workers"


async def fetch_all(url: str) -> int:
    """Visit every record, as a dict."""
    visited = 0

    def visit(body: bytes) -> int:
        nonlocal visited
        answer = json.loads(body)
        for item in answer["_items"]:
            visited += item["total_amount"] is not None
        return int(answer["_meta"]["total"])

    async with aiohttp.ClientSession(headers={"X-API-Key": "token"}) as session:
        await fetch_pages(session, url, visit)
    return visited
