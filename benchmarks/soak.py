"""Whether it stays exact and flat for as long as one likes, on one client, while a fifth of all requests fails."""

import asyncio
import gc
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from amili_async import AmiliClient, ApiCodeCredentials, RetryPolicy
from amili_async.events import Event, RetryScheduled, TokenRefreshed
from amili_async.observers import CountEvents
from benchmarks.harness.heap import read_memory
from benchmarks.harness.report import Report
from benchmarks.soak_jobs import Jobs, Journal
from benchmarks.soak_server import PATIENCE, Server, serve_unsteadily

MINUTES = 10.0
QUICK = 0.25
"""Minutes."""
MEGABYTE = 1_000_000
MEMORY_GOAL = 10
"""Megabytes from the first third to the last: what the allocators keep goes up and down by so much."""
FILES_GOAL = 20
"""Open files and sockets from the first third to the last: how many connections are kept varies by so much."""
_TELL_EVERY = 10.0
"""Seconds."""
_RETRY = RetryPolicy(attempts=6, base=0.02, max_wait=0.3)


class Sample(Struct, frozen=True):
    """What the process holds between two rounds, when nothing is under way."""

    resident: int
    """Bytes of memory."""
    files: int
    """Open files and sockets."""
    tasks: int
    """Tasks besides the one that counts them."""
    blocks: int
    """Blocks of memory that Python has given out."""


class _Retries:
    """Counts retries by the error that made them necessary, and tokens."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.tokens = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, RetryScheduled):
            self.counts[event.error] += 1
        self.tokens += isinstance(event, TokenRefreshed)


def measure(*, quick: bool, minutes: float | None = None) -> Report:
    """Run for so many minutes, else ten, or a quarter of one if *quick*; `SystemExit` if not all was exact and flat."""
    minutes = minutes or (QUICK if quick else MINUTES)
    print(f"\nSoak of {minutes:g} minutes: eight streams, an extraction, payments and a reconciliation at once on one")
    print("client, again and again; one request in five fails, tokens live one second, rows come and go all the time")
    with serve_unsteadily() as server:
        faults = asyncio.run(_soak(server, minutes * 60))
    if faults:
        raise SystemExit("  verdict: NOT good: " + "; ".join(dict.fromkeys(faults)))
    print("  verdict: all exact, and flat")
    return Report()


async def _soak(server: Server, seconds: float) -> list[str]:
    counter, retries, journal = CountEvents(), _Retries(), Journal()
    samples: list[Sample] = []
    start = server.start
    began = told = time.monotonic()
    amili = AmiliClient(
        start.url,
        auth=ApiCodeCredentials(start.api_code, start.private_key),
        page_size=50,
        rate_limit=None,
        retry=_RETRY,
        timeout=PATIENCE,
        observers=[counter, retries],
    )
    async with amili:
        jobs = Jobs(amili, server, journal)
        while time.monotonic() - began < seconds or len(samples) < 3:
            await jobs.run_round()
            samples.append(await _take_sample())
            if time.monotonic() - told > _TELL_EVERY or len(samples) == 1:
                told = time.monotonic()
                _tell_progress(told - began, samples, counter, journal)
    await asyncio.sleep(0)
    left = await _take_sample()
    journal.hold(left.tasks == 0, f"{left.tasks} tasks are left behind by a closed client")
    _print_table(samples, counter, retries, journal)
    return [*journal.faults, *_find_growth(samples)]


async def _take_sample() -> Sample:
    """Count once nothing is under way but, perhaps, an early refresh of the token, which is given time to end."""
    for _ in range(100):
        if len(asyncio.all_tasks()) == 1:
            break
        await asyncio.sleep(0.05)
    gc.collect()
    resident, _ = read_memory()
    files = len(os.listdir("/dev/fd"))  # noqa: PTH208 - they are only counted
    return Sample(resident, files, len(asyncio.all_tasks()) - 1, sys.getallocatedblocks())


def _find_growth(samples: Sequence[Sample]) -> list[str]:
    """What was not flat, once the process was warm: in a fifth of the time."""
    first, last = _thirds(samples)
    faults = []
    for name, unit, goal in (("resident", MEGABYTE, MEMORY_GOAL), ("files", 1, FILES_GOAL)):
        growth = (_median(last, name) - _median(first, name)) / unit
        if growth > goal:
            faults.append(f"{name} grew by {growth:.1f}, more than {goal}")
    if any(sample.tasks for sample in samples):
        faults.append(f"up to {max(sample.tasks for sample in samples)} tasks were left behind by what had ended")
    return faults


def _thirds(samples: Sequence[Sample]) -> tuple[Sequence[Sample], Sequence[Sample]]:
    warm = samples[max(1, len(samples) // 5) :]
    third = max(1, len(warm) // 3)
    return warm[:third], warm[-third:]


def _median(samples: Sequence[Sample], name: str) -> float:
    return float(statistics.median(getattr(sample, name) for sample in samples))


def _tell_progress(seconds: float, samples: Sequence[Sample], counter: CountEvents, journal: Journal) -> None:
    sample, counts = samples[-1], journal.counts
    print(
        f"  {seconds:6.0f} s: {len(samples):4} rounds, {counter.requests:8,} requests, "
        f"{counts['rows of streams'] + counts['rows of extractions']:10,} rows, {counts['payments']:6,} payments; "
        f"{sample.resident / MEGABYTE:.1f} MB, {sample.blocks:,} blocks, {sample.files} files; "
        f"{len(journal.faults)} faults",
        flush=True,
    )


def _print_table(samples: Sequence[Sample], counter: CountEvents, retries: _Retries, journal: Journal) -> None:
    failed = sum(counter.errors.values()) + sum(n for status, n in counter.statuses.items() if status >= 400)
    first, last = _thirds(samples)
    rows: dict[str, object] = {
        "rounds": f"{len(samples):,}",
        "requests": f"{counter.requests:,}, of which {failed / counter.requests:.1%} failed",
        "answers": _list_counts(counter.statuses),
        "tries without an answer": _list_counts(counter.errors),
        "retries": _list_counts(retries.counts),
        "tokens": f"{retries.tokens:,}",
        **{name: f"{count:,}" for name, count in sorted(journal.counts.items())},
        "calls that failed for good": _list_counts(journal.errors),
        "resident, first and last third": " and ".join(
            f"{_median(part, 'resident') / MEGABYTE:.1f} MB" for part in (first, last)
        ),
        "files and sockets, first and last": " and ".join(f"{_median(part, 'files'):g}" for part in (first, last)),
        "not exact": f"{len(journal.faults)}",
    }
    for name, value in rows.items():
        print(f"  {name:<36} {value}")


def _list_counts(counts: Counter[str] | Counter[int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.most_common()) or "none"
