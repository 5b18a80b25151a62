"""Whether an export's memory stays the same however long it is: the curve over a million rows, and what came out."""

import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from benchmarks.export_memory_process import Ending, Reading
from benchmarks.harness.heap import as_users_have_it
from benchmarks.harness.report import Curve, Judged, Report, print_judged
from benchmarks.workload.parquet_check import Contents, read_contents
from benchmarks.workload.rows import Rows
from benchmarks.workload.server import make_rows, serve

MEGABYTE = 1_000_000
PEAK_GOAL = 200
"""Megabytes."""
GROWTH_GOAL = 10
"""Megabytes, from the first tenth to the last: what the allocators keep goes up and down by so much."""


def measure(*, quick: bool) -> Report:
    """The curve; fewer rows if *quick*. Ends the benchmark where the file is not exactly what it must be."""
    rows = make_rows(50_000 if quick else 1_000_000)
    print(
        f"\nMemory of an export of {rows.count:,} specifications to Parquet, no latency, in a process of its own, run"
    )
    print("without the two variables that hold glibc's heap steady in all other benchmarks: no user sets them")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "specifications.parquet"
        with serve(rows, latency=0) as url:
            readings, ending = _fill(url, path)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as another:
            contents = another.submit(read_contents, path, rows).result()
    judged = _judge(readings)
    print_judged(judged, is_quick=quick)
    _compare(rows, ending, contents)
    points = tuple((float(reading.rows), reading.resident / MEGABYTE) for reading in readings)
    return Report(judged=judged, curves=(Curve(figure="memory", label="resident MB", points=points),))


def _fill(url: str, path: Path) -> tuple[list[Reading], Ending]:
    """Run the export, and print the curve while it grows."""
    readings: list[Reading] = []
    command = [sys.executable, "-m", "benchmarks.export_memory_process", url, str(path)]
    print(f"  {'rows':>10} {'seconds':>8} {'resident':>10} {'peak so far':>12}")
    with subprocess.Popen(command, env=as_users_have_it(), stdout=subprocess.PIPE) as child:  # noqa: S603 - ours
        for line in child.stdout or ():
            said = msgspec.json.decode(line, type=Reading | Ending)
            if isinstance(said, Ending):
                return readings, said
            readings.append(said)
            print(
                f"  {said.rows:>10,} {said.seconds:>8.1f} {said.resident / MEGABYTE:>7,.1f} MB "
                f"{said.peak / MEGABYTE:>9,.1f} MB  {said.moment}"
            )
    raise SystemExit(f"the export ended with {child.returncode}, and without a manifest")


def _judge(readings: list[Reading]) -> tuple[Judged, ...]:
    """The first reading is that of the imported package, the last one that after the file was put together."""
    imported, first, last, end = readings[0], readings[1], readings[-2], readings[-1]
    print(f"  {imported.peak / MEGABYTE:,.1f} MB of the peak are imports, and putting the file together added")
    print(f"  {(end.peak - last.peak) / MEGABYTE:+,.1f} MB to it")
    growth = (last.resident - first.resident) / MEGABYTE
    return (
        Judged(what="peak of an export to Parquet", result=end.peak / MEGABYTE, goal=PEAK_GOAL, unit="MB"),
        Judged(what="its growth from the first tenth to the last", result=growth, goal=GROWTH_GOAL, unit="MB"),
    )


def _compare(rows: Rows, ending: Ending, contents: Contents) -> None:
    """Say what the file holds; `SystemExit` for a fault in it, or in the manifest."""
    if contents.fault:
        raise SystemExit(f"  the file is wrong: {contents.fault}")
    for source, sums in (("file", contents.sums), ("manifest", ending.sums)):
        if sums != rows.sums():
            raise SystemExit(f"  the sums of the {source} are wrong: {sums} instead of {rows.sums()}")
    amounts = ", ".join(f"{name} {total:,}" for name, total in contents.sums.items())
    print(f"  each of the {contents.rows:,} rows is in the file once, ascending by _id;")
    print(f"  its sums and the manifest's are exact: {amounts}")
    extra = ending.requests - ceil(rows.count / 100)
    print(f"  verdict: {ending.verdict}; {ending.requests:,} requests, {extra} more than the rows fill pages")
