"""`extract()`: every record exactly once, by a partitioned scan."""

from amili_async import AmiliClient

LABEL = "amili_async, extract()"


async def fetch_all(url: str) -> int:
    """Visit every record."""
    async with AmiliClient(url, auth="token", rate_limit=None) as amili:
        visited = 0
        async for record in amili.payout_specifications.extract():
            visited += record.total_amount is not None
    return visited
