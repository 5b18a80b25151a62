"""`extract().for_each()`: a handler for every record that only visits it."""

from amili_async import AmiliClient, PayoutSpecification

LABEL = "amili_async, extract().for_each()"


async def fetch_all(url: str) -> int:
    """Visit every record."""
    visited = 0

    async def visit(record: PayoutSpecification) -> None:
        nonlocal visited
        visited += record.total_amount is not None

    async with AmiliClient(url, auth="token", rate_limit=None) as amili:
        await amili.payout_specifications.extract().for_each(visit)
    return visited
