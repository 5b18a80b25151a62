"""The package, into a ndjson file."""

from pathlib import Path
from tempfile import TemporaryDirectory

from amili_async import AmiliClient
from amili_async.export import export

LABEL = "export() to ndjson"


async def fetch_all(url: str) -> int:
    """Write every specification, typed."""
    with TemporaryDirectory() as folder:
        async with AmiliClient(url, auth="token", rate_limit=None) as amili:
            exported = await export(amili.payout_specifications, Path(folder) / "specifications.ndjson")
    return exported.rows
