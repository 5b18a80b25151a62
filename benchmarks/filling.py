"""`python -m benchmarks.filling URL FILE`: exports all specifications, and prints how much memory it holds meanwhile.

It imports and does what a user's script would: what is measured is this whole process.
"""

import asyncio
import sys
import time
from decimal import Decimal
from itertools import count
from pathlib import Path

import msgspec
from msgspec import Struct

from amili_async import AmiliClient
from amili_async.export import export
from benchmarks.heap import read_memory

STEPS = 10
"""In how many parts the rows are divided."""


class Reading(Struct, frozen=True, tag=True):
    """What the process holds at one moment."""

    moment: str
    """In words, where it is not one of the tenths."""
    seconds: float
    """Since the export began."""
    rows: int
    """Written so far."""
    resident: int
    """Bytes of memory that it holds."""
    peak: int
    """The most that it ever held."""


class Ending(Struct, frozen=True, tag=True):
    """What the export says of itself."""

    rows: int
    """In the file."""
    verdict: str
    """Of the manifest."""
    requests: int
    """Pages and counts."""
    sums: dict[str, Decimal | None]
    """Of the money, by the manifest."""


async def fill(url: str, path: Path) -> None:
    """Export, with a reading before, one at each tenth of the rows, and one after."""
    began, steps = time.perf_counter(), count(1)
    due = next(steps)

    def read(moment: str, rows: int) -> None:
        tell(Reading(moment, time.perf_counter() - began, rows, *read_memory()))

    def on_progress(rows: int, total: int | None, _seconds_left: float | None) -> None:
        nonlocal due
        if total is not None and rows * STEPS >= due * total:
            read("", rows)
            due = next(steps)

    read("imported", 0)
    async with AmiliClient(url, auth="token", rate_limit=None) as amili:
        exported = await export(amili.payout_specifications, path, on_progress=on_progress)
    read("file put together", exported.rows)
    if (manifest := exported.manifest) is not None:
        tell(Ending(exported.rows, manifest.verdict, manifest.requests, manifest.sums))


def tell(said: Reading | Ending) -> None:
    """Print it as one line of JSON."""
    print(msgspec.json.encode(said).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(fill(sys.argv[1], Path(sys.argv[2])))
