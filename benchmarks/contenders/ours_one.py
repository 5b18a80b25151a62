"""The package, one request at a time."""

from amili_async import AmiliClient

LABEL = "amili_async, concurrency=1"


async def fetch_all(url: str) -> int:
    """Visit every specification, typed."""
    async with AmiliClient(url, auth="token", rate_limit=None) as amili:
        return len([record.total_amount async for record in amili.payout_specifications.stream(concurrency=1)])
