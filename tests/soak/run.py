"""One client over a server that fails a fifth of all requests: results stay exact, and memory and sockets stay flat."""

import asyncio
import gc
import os
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from amili_async import AmiliClient, ApiCodeCredentials, RetryPolicy
from amili_async.events import Event, RetryScheduled, TokenRefreshed
from amili_async.observers import CountEvents
from tests.soak.jobs import Jobs, Journal
from tests.soak.server import TIMEOUT, Server, serve_unsteadily

MINUTES = 10.0
MEGABYTE = 1_000_000
MEMORY_GOAL = 10
"""Megabytes from the first third to the last: what the allocators keep varies by that much."""
FILES_GOAL = 20
"""Open files and sockets from the first third to the last: the number of pooled connections varies by that much."""
_REPORT_EVERY = 10.0
"""Seconds."""
_RETRY = RetryPolicy(attempts=6, base=0.02, max_wait=0.3)


class Sample(Struct, frozen=True):
    """What the process holds between two rounds, while no call is in flight."""

    resident: int
    """Bytes of memory."""
    files: int
    """Open files and sockets."""
    tasks: int
    """Tasks other than the one that counts them."""
    blocks: int
    """Blocks of memory that Python has allocated."""


class _Retries:
    """Counts retries by the error that caused them, and tokens."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.tokens = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, RetryScheduled):
            self.counts[event.error] += 1
        self.tokens += isinstance(event, TokenRefreshed)


def soak(minutes: float) -> None:
    """Run for so many minutes; `SystemExit` unless all results were exact and the process stayed flat."""
    print(f"Soak of {minutes:g} minutes: eight streams, an extraction, payments and a reconciliation share")
    print("one client, in rounds; one request in five fails, tokens live one second, rows are inserted and deleted")
    with serve_unsteadily() as server:
        faults = asyncio.run(_soak(server, minutes * 60))
    if faults:
        raise SystemExit("  verdict: FAILED: " + "; ".join(dict.fromkeys(faults)))
    print("  verdict: all exact, and flat")


async def _soak(server: Server, seconds: float) -> list[str]:
    counter, retries, journal = CountEvents(), _Retries(), Journal()
    samples: list[Sample] = []
    start = server.start
    began = reported = time.monotonic()
    amili = AmiliClient(
        start.url,
        auth=ApiCodeCredentials(start.api_code, start.private_key),
        page_size=50,
        rate_limit=None,
        retry=_RETRY,
        timeout=TIMEOUT,
        observers=[counter, retries],
    )
    async with amili:
        jobs = Jobs(amili, server, journal)
        while time.monotonic() - began < seconds or len(samples) < 3:
            await jobs.run_round()
            samples.append(await _take_sample())
            if time.monotonic() - reported > _REPORT_EVERY or len(samples) == 1:
                reported = time.monotonic()
                _print_progress(reported - began, samples, counter, journal)
    await asyncio.sleep(0)
    left = await _take_sample()
    journal.check(left.tasks == 0, f"a closed client left {left.tasks} tasks behind")
    _print_table(samples, counter, retries, journal)
    return [*journal.faults, *_find_growth(samples)]


async def _take_sample() -> Sample:
    """Count once no task is left; an early refresh of the token may still run, and gets time to finish."""
    for _ in range(100):
        if len(asyncio.all_tasks()) == 1:
            break
        await asyncio.sleep(0.05)
    gc.collect()
    resident = _read_resident()
    files = len(os.listdir("/dev/fd"))  # noqa: PTH208 - only their number matters
    return Sample(resident, files, len(asyncio.all_tasks()) - 1, sys.getallocatedblocks())


def _read_resident() -> int:
    """Bytes of resident memory; where there is no /proc, the most there ever were."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _find_growth(samples: Sequence[Sample]) -> list[str]:
    """What grew once the process was warm, which a fifth of the time allows for."""
    first, last = _thirds(samples)
    faults = []
    for name, unit, goal in (("resident", MEGABYTE, MEMORY_GOAL), ("files", 1, FILES_GOAL)):
        growth = (_median(last, name) - _median(first, name)) / unit
        if growth > goal:
            faults.append(f"{name} grew by {growth:.1f}, more than {goal}")
    if any(sample.tasks for sample in samples):
        faults.append(f"up to {max(sample.tasks for sample in samples)} tasks of finished calls were left behind")
    return faults


def _thirds(samples: Sequence[Sample]) -> tuple[Sequence[Sample], Sequence[Sample]]:
    warm = samples[max(1, len(samples) // 5) :]
    third = max(1, len(warm) // 3)
    return warm[:third], warm[-third:]


def _median(samples: Sequence[Sample], name: str) -> float:
    return float(statistics.median(getattr(sample, name) for sample in samples))


def _print_progress(seconds: float, samples: Sequence[Sample], counter: CountEvents, journal: Journal) -> None:
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
        "responses": _list_counts(counter.statuses),
        "attempts without a response": _list_counts(counter.errors),
        "retries": _list_counts(retries.counts),
        "tokens": f"{retries.tokens:,}",
        **{name: f"{count:,}" for name, count in sorted(journal.counts.items())},
        "calls that failed": _list_counts(journal.errors),
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
