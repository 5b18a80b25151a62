"""From constructing a client to the first record of a `stream()`, including the connection."""

from contextlib import aclosing

from amili_async import AmiliClient

LABEL = "amili_async, the first record of a stream()"


async def fetch_all(url: str) -> int:
    """Visit the first record and leave the stream."""
    async with (
        AmiliClient(url, auth="token", rate_limit=None) as amili,
        aclosing(aiter(amili.payout_specifications.stream())) as records,
    ):
        return 0 if await anext(records, None) is None else 1
