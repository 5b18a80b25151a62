"""A job for cron or Airflow: bring a file up to date each night, and resume what the last run left unfinished.

`python -m tests.recipes.nightly_export FOLDER`, with the variables that `AmiliClient.from_env` reads. The exit code is
0 only if each file is complete; the job may be killed at any moment and started again.
"""

import asyncio
import sys
from pathlib import Path

from amili_async import AmiliClient
from amili_async.errors import AmiliError
from amili_async.export import export


async def update(folder: Path) -> None:
    """Fetch what was created or updated since the last run, and drop the rows that were deleted."""
    async with AmiliClient.from_env() as amili:
        for resource in (amili.payouts, amili.payout_specifications):
            written = await export(resource, folder / f"{resource.path}.csv", resume=True, since=True, sweep=True)
            print(f"{resource.path}: {written.rows} rows, {written.manifest and written.manifest.verdict}")


def main() -> int:
    """The exit code."""
    try:
        asyncio.run(update(Path(sys.argv[1])))
    except AmiliError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
