"""The package: every record, typed, in one list."""

from amili_async import AmiliClient

LABEL = "amili_async, collect()"


async def fetch_all(url: str) -> int:
    """Keep every record."""
    async with AmiliClient(url, auth="token", rate_limit=None) as amili:
        records = await amili.payout_specifications.stream().collect()
    return len(records)
