"""The package, as it is without any option: ten requests in flight, pages by their number."""

from amili_async import AmiliClient

LABEL = "stream()"


async def fetch_all(url: str) -> int:
    """Visit every specification, typed."""
    async with AmiliClient(url, auth="token", rate_limit=None) as amili:
        return len([record.total_amount async for record in amili.payout_specifications.stream()])
