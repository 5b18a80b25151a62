"""What is added to fetching: by a file in records per second, by handlers for each record and tables in CPU time."""

from collections.abc import Iterator, Mapping

from benchmarks.contenders import (
    ours_arrays,
    ours_arrow,
    ours_export,
    ours_extract,
    ours_for_each,
    ours_stream,
    polars_ndjson,
    pyarrow_json,
)
from benchmarks.harness.cell import CellSettings, Cost
from benchmarks.harness.report import GoalResult, Report, print_goals
from benchmarks.harness.rounds import find_ratio, in_own_process, print_table, run_rounds
from benchmarks.workload.rows import Rows
from benchmarks.workload.server import make_rows, serve

SUFFIXES = (".ndjson", ".csv", ".parquet")
GOAL = 0.5
MOST_PER_HANDLER = 15.0
"""Microseconds that `for_each()` adds for a record whose handler only visits it."""
ARRAYS_GOAL = 1.25
POLARS_GOAL = 1.0


def measure(*, quick: bool) -> Report:
    """Medians by format, on all cores, and of tables, on one; with fewer records and rounds if *quick*."""
    rows, rounds = (make_rows(5_000), 1) if quick else (make_rows(100_000), 5)
    with serve(rows, latency=0) as url:
        goals = (*_measure_files(url, rows, rounds), *_measure_tables(url, rows, rounds))
    print_goals(goals, is_quick=quick)
    return Report(goals=goals)


def _measure_files(url: str, rows: Rows, rounds: int) -> Iterator[GoalResult]:
    # Files are written in threads; on a single core they would compete with fetching.
    unpinned = CellSettings(is_pinned=False)
    streaming = in_own_process("ours_stream", url, expected=rows.count, settings=unpinned)
    contenders = {
        f"{ours_export.LABEL} to {suffix}": in_own_process(
            "ours_export",
            url,
            expected=rows.count,
            settings=CellSettings(options={"suffix": suffix}, is_pinned=False),
        )
        for suffix in SUFFIXES
    }
    handling = {
        contender.LABEL: in_own_process(name, url, expected=rows.count, settings=unpinned)
        for name, contender in (("ours_extract", ours_extract), ("ours_for_each", ours_for_each))
    }
    medians = run_rounds({ours_stream.LABEL: streaming, **handling, **contenders}, rounds=rounds)
    title = f"Export of {rows.count:,} specifications to disk, no latency, no rate limit (medians of {rounds})"
    print_table(title, medians, baseline=ours_stream.LABEL, by="wall")
    _print_rates(medians, rows)
    yield GoalResult(
        name="records per second into Parquet vs. stream() alone",
        result=find_ratio(medians, ours_stream.LABEL, f"{ours_export.LABEL} to .parquet", "wall"),
        goal=GOAL,
        is_minimum=True,
    )
    seconds = medians[ours_for_each.LABEL].cpu - medians[ours_extract.LABEL].cpu
    yield GoalResult(
        name="CPU per record that for_each() adds to extract(), with a handler that only visits it",
        result=seconds / rows.count * 1e6,
        goal=MOST_PER_HANDLER,
        unit=" µs",
    )


def _measure_tables(url: str, rows: Rows, rounds: int) -> Iterator[GoalResult]:
    names = {
        ours_stream.LABEL: "ours_stream",
        ours_arrow.LABEL: "ours_arrow",
        ours_arrays.LABEL: "ours_arrays",
        polars_ndjson.LABEL: "polars_ndjson",
        pyarrow_json.LABEL: "pyarrow_json",
    }
    contenders = {label: in_own_process(name, url, expected=rows.count) for label, name in names.items()}
    medians = run_rounds(contenders, rounds=rounds)
    title = f"{rows.count:,} specifications as Arrow tables, no latency, no rate limit (CPU, medians of {rounds})"
    print_table(title, medians, baseline=ours_stream.LABEL, by="cpu")
    _print_rates(medians, rows)
    for label, name, goal in (
        (ours_arrays.LABEL, "CPU of arrow_batches() vs. the arrays of an export to Parquet", ARRAYS_GOAL),
        (polars_ndjson.LABEL, "CPU of arrow_batches() vs. polars.read_ndjson made exact", POLARS_GOAL),
    ):
        yield GoalResult(name=name, result=find_ratio(medians, ours_arrow.LABEL, label, "cpu"), goal=goal)


def _print_rates(medians: Mapping[str, Cost], rows: Rows) -> None:
    for label, median in medians.items():
        print(f"  {label:<44} {rows.count / median.wall:10,.0f} records/s")
