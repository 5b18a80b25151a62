"""`extract().batches()` and the arrays of an export to Parquet, which Arrow batches are built like."""

from amili_async import AmiliClient
from amili_async.export.columns import find_columns
from amili_async.export.formats.arrow import BatchBuilder, load_arrow, type_of
from amili_async.models import PayoutSpecification

LABEL = "amili_async, arrays of an export to Parquet"


def prepare() -> None:
    """Import pyarrow, and with the first array pandas, which both would else be measured."""
    load_arrow().array([])


async def fetch_all(url: str) -> int:
    """Count the rows of all arrays."""
    build = BatchBuilder(find_columns(None, PayoutSpecification), type_of).build
    async with AmiliClient(url, auth="token", rate_limit=None) as amili:
        return sum([build(batch).num_rows async for batch in amili.payout_specifications.extract().batches()])
