"""Whether the memory of an export stays constant: the curve over a million rows, and a check of the file."""

import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from benchmarks.export_memory_process import ExportSummary, MemorySample
from benchmarks.harness.heap import untuned_environment
from benchmarks.harness.report import Curve, GoalResult, Report, print_goals
from benchmarks.workload.parquet_check import FileContents, check_contents
from benchmarks.workload.rows import Rows
from benchmarks.workload.server import make_rows, serve

MEGABYTE = 1_000_000
PEAK_GOAL = 200
"""Megabytes."""
GROWTH_GOAL = 10
"""Megabytes, from the first tenth to the last: the memory that allocators keep varies by as much."""


def measure(*, quick: bool) -> Report:
    """Print the curve; with fewer rows if *quick*. Raises `SystemExit` if the file is not exactly as expected."""
    rows = make_rows(50_000 if quick else 1_000_000)
    print(f"\nMemory of an export of {rows.count:,} specifications to Parquet, no latency, in its own process,")
    print("with default malloc settings, as users have them")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "specifications.parquet"
        with serve(rows, latency=0) as url:
            samples, summary = _run_export(url, path)
        # In a process that ends: pyarrow would keep its memory for the rest of the run.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as checker:
            contents = checker.submit(check_contents, path, rows).result()
    goals = _judge(samples)
    print_goals(goals, is_quick=quick)
    _verify(rows, summary, contents)
    points = tuple((float(sample.rows), sample.resident / MEGABYTE) for sample in samples)
    return Report(goals=goals, curves=(Curve(figure="memory", label="resident MB", points=points),))


def _run_export(url: str, path: Path) -> tuple[list[MemorySample], ExportSummary]:
    """Run the export and print its samples as they arrive."""
    samples: list[MemorySample] = []
    command = [sys.executable, "-m", "benchmarks.export_memory_process", url, str(path)]
    print(f"  {'rows':>10} {'seconds':>8} {'resident':>10} {'peak so far':>12}")
    with subprocess.Popen(command, env=untuned_environment(), stdout=subprocess.PIPE) as child:  # noqa: S603 - our own module
        for line in child.stdout or ():
            message = msgspec.json.decode(line, type=MemorySample | ExportSummary)
            if isinstance(message, ExportSummary):
                return samples, message
            samples.append(message)
            print(
                f"  {message.rows:>10,} {message.seconds:>8.1f} {message.resident / MEGABYTE:>7,.1f} MB "
                f"{message.peak / MEGABYTE:>9,.1f} MB  {message.phase}"
            )
    raise SystemExit(f"the export exited with code {child.returncode} and without a manifest")


def _judge(samples: list[MemorySample]) -> tuple[GoalResult, ...]:
    """Expects a sample after the imports first, and one after the file was committed last."""
    imported, first, last, end = samples[0], samples[1], samples[-2], samples[-1]
    print(f"  imports: {imported.peak / MEGABYTE:,.1f} MB of the peak")
    print(f"  writing the file from the spool: {(end.peak - last.peak) / MEGABYTE:+,.1f} MB")
    growth = (last.resident - first.resident) / MEGABYTE
    return (
        GoalResult(name="peak memory of an export to Parquet", result=end.peak / MEGABYTE, goal=PEAK_GOAL, unit="MB"),
        GoalResult(name="its growth from the first tenth to the last", result=growth, goal=GROWTH_GOAL, unit="MB"),
    )


def _verify(rows: Rows, summary: ExportSummary, contents: FileContents) -> None:
    """Print what the file contains; raises `SystemExit` for an error in the file or in the manifest."""
    if contents.fault:
        raise SystemExit(f"  the file is wrong: {contents.fault}")
    for source, sums in (("file", contents.sums), ("manifest", summary.sums)):
        if sums != rows.sums():
            raise SystemExit(f"  the sums of the {source} are wrong: {sums}; expected {rows.sums()}")
    amounts = ", ".join(f"{name} {total:,}" for name, total in contents.sums.items())
    print(f"  the file contains each of the {contents.rows:,} rows once, in ascending order of _id")
    print(f"  sums of file and manifest are exact: {amounts}")
    extra = summary.requests - ceil(rows.count / 100)
    print(f"  verdict: {summary.verdict}; {summary.requests:,} requests, {extra} more than there are pages")
