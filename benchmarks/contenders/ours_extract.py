"""The package, every record exactly once: ten requests in flight, ranges of ids."""

from amili_async import AmiliClient

LABEL = "extract()"


async def fetch_all(url: str) -> int:
    """Visit every specification, typed."""
    async with AmiliClient(url, auth="token", rate_limit=None) as amili:
        return len([record.total_amount async for record in amili.payout_specifications.extract()])
