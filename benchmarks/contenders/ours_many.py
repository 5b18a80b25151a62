"""Several concurrent streams on one client, each with the same number of records."""

import asyncio

from amili_async import AmiliClient

LABEL = "amili_async, concurrent streams"


async def fetch_all(url: str, *, streams: int, max_items: int) -> int:
    """Visit *max_items* records in each stream."""

    async def visit() -> int:
        stream = amili.payout_specifications.stream(max_items=max_items)
        visited = 0
        async for record in stream:
            visited += record.total_amount is not None
        return visited

    async with AmiliClient(url, auth="token", rate_limit=None) as amili:
        return sum(await asyncio.gather(*(visit() for _ in range(streams))))
