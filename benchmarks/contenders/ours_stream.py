"""`stream()`: every record, typed and in order."""

from amili_async import AmiliClient

LABEL = "amili_async, stream()"


async def fetch_all(url: str, *, concurrency: int = 10, max_items: int | None = None) -> int:
    """Visit every record."""
    async with AmiliClient(url, auth="token", rate_limit=None) as amili:
        stream = amili.payout_specifications.stream(concurrency=concurrency, max_items=max_items)
        visited = 0
        async for record in stream:
            visited += record.total_amount is not None
    return visited
