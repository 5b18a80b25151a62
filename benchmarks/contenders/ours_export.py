"""`export()`: every record exactly once, into a file."""

from pathlib import Path
from tempfile import TemporaryDirectory

from amili_async import AmiliClient
from amili_async.export import export

LABEL = "amili_async, export()"


async def fetch_all(url: str, *, suffix: str) -> int:
    """Export every record; *suffix* selects the format."""
    with TemporaryDirectory() as folder:
        async with AmiliClient(url, auth="token", rate_limit=None) as amili:
            exported = await export(amili.payout_specifications, Path(folder) / f"specifications{suffix}")
    return exported.rows
