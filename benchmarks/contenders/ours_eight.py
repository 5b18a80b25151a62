"""The package, eight requests in flight."""

from amili_async import AmiliClient

LABEL = "amili_async, concurrency=8"


async def fetch_all(url: str) -> int:
    """Visit every specification, typed."""
    async with AmiliClient(url, auth="token", rate_limit=None) as amili:
        return len([record.total_amount async for record in amili.payout_specifications.stream(concurrency=8)])
