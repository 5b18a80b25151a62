"""The package: several streams at once on one client, each with records of its own to bring."""

import asyncio

from amili_async import AmiliClient

LABEL = "amili_async, many streams"


async def fetch_all(url: str, *, streams: int, max_items: int) -> int:
    """Visit so many records by each stream."""

    async def visit() -> int:
        stream = amili.payout_specifications.stream(max_items=max_items)
        visited = 0
        async for record in stream:
            visited += record.total_amount is not None
        return visited

    async with AmiliClient(url, auth="token", rate_limit=None) as amili:
        return sum(await asyncio.gather(*(visit() for _ in range(streams))))
