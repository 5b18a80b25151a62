"""`extract().arrow_batches()`: every record exactly once, in Arrow record batches."""

from amili_async import AmiliClient
from amili_async.export.formats.arrow import load_arrow

LABEL = "amili_async, arrow_batches()"


def prepare() -> None:
    """Import pyarrow, and with the first array pandas, which both would else be measured."""
    load_arrow().array([])


async def fetch_all(url: str) -> int:
    """Count the rows of all batches."""
    async with AmiliClient(url, auth="token", rate_limit=None) as amili:
        return sum([batch.num_rows async for batch in amili.payout_specifications.extract().arrow_batches()])
