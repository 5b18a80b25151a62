"""`python -m benchmarks.export_memory_process URL FILE` exports all specifications and prints its own memory use.

It imports and calls only what a user's script would, so that the memory of the whole process is a user's.
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
from benchmarks.harness.heap import read_memory

SAMPLES = 10
"""Number of samples during the export."""


class MemorySample(Struct, frozen=True, tag=True):
    """Memory of the process at one point of the export."""

    phase: str
    """Name of the point; empty for a sample during the export."""
    seconds: float
    """Time since the start."""
    rows: int
    """Rows written so far."""
    resident: int
    """Bytes of resident memory."""
    peak: int
    """Bytes of peak resident memory so far."""


class ExportSummary(Struct, frozen=True, tag=True):
    """The result of the export."""

    rows: int
    """Rows in the file."""
    verdict: str
    """Verdict of the manifest."""
    requests: int
    """Requests sent: pages and counts."""
    sums: dict[str, Decimal | None]
    """Sums of the money columns in the manifest."""


async def run_export(url: str, path: Path) -> None:
    """Export, with a sample before, one after each tenth of the rows, and one after the commit."""
    started, numbers = time.perf_counter(), count(1)
    next_sample = next(numbers)

    def take_sample(phase: str, rows: int) -> None:
        print_message(MemorySample(phase, time.perf_counter() - started, rows, *read_memory()))

    def on_progress(rows: int, total: int | None, _seconds_left: float | None) -> None:
        nonlocal next_sample
        if total is not None and rows * SAMPLES >= next_sample * total:
            take_sample("", rows)
            next_sample = next(numbers)

    take_sample("imports done", 0)
    async with AmiliClient(url, auth="token", rate_limit=None) as amili:
        exported = await export(amili.payout_specifications, path, on_progress=on_progress)
    take_sample("file written", exported.rows)
    if (manifest := exported.manifest) is not None:
        print_message(ExportSummary(exported.rows, manifest.verdict, manifest.requests, manifest.sums))


def print_message(message: MemorySample | ExportSummary) -> None:
    """Print one line of JSON."""
    print(msgspec.json.encode(message).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(run_export(sys.argv[1], Path(sys.argv[2])))
