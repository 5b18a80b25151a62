"""What one writes by hand: aiohttp with ten workers, `json.loads`; no types, order, budget, retry or token renewal."""

import json
from typing import Any

import aiohttp

from benchmarks.contenders.aiohttp_bytes import fetch_pages

LABEL = "aiohttp + json.loads to dicts, ten workers"


async def fetch_all(url: str, *, keeps: bool = False) -> int:
    """Visit every record, as a dict; or keep them all."""
    kept: list[Any] = []
    amounts: list[float] = []

    def visit(body: bytes) -> int:
        answer = json.loads(body)
        amounts.extend(item["total_amount"] for item in answer["_items"])
        if keeps:
            kept.extend(answer["_items"])
        return int(answer["_meta"]["total"])

    async with aiohttp.ClientSession(headers={"X-API-Key": "token"}) as session:
        await fetch_pages(session, url, visit)
    return len(amounts)
