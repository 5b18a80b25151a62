"""A job for cron or Airflow: bring files up to date each night, and resume what the last run left unfinished.

`python -m tests.recipes.nightly_export FOLDER`, with the variables that `AmiliClient.from_env` reads. It may be killed
at any moment, and the same command is right each time: it creates, resumes or updates. The exit code is 0 only if each
file is up to date; until then the file of the last night stays. `amili export payouts -o payouts.csv --resume --since`
does the same for one file, without a line of Python.
"""

import asyncio
import sys
from pathlib import Path

from amili_async import AmiliClient
from amili_async.errors import AmiliError
from amili_async.export import export


async def update(folder: Path) -> None:
    """Fetch what was created or updated since the last run; *sweep* drops deleted rows, and requests every id again."""
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
