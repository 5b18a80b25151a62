"""What is added to fetching: by a file, in records per second, and by a handler for each record, in CPU time."""

from benchmarks.contenders import ours_export, ours_extract, ours_for_each, ours_stream
from benchmarks.harness.cell import CellSettings
from benchmarks.harness.report import GoalResult, Report, print_goals
from benchmarks.harness.rounds import find_ratio, in_own_process, print_table, run_rounds
from benchmarks.workload.server import make_rows, serve

SUFFIXES = (".ndjson", ".csv", ".parquet")
GOAL = 0.5
MOST_PER_HANDLER = 15.0
"""Microseconds that `for_each()` adds for a record whose handler only visits it."""


def measure(*, quick: bool) -> Report:
    """Medians by format, on all cores; with fewer records and rounds if *quick*."""
    rows, rounds = (make_rows(5_000), 1) if quick else (make_rows(100_000), 5)
    with serve(rows, latency=0) as url:
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
    for label, median in medians.items():
        print(f"  {label:<40} {rows.count / median.wall:10,.0f} records/s")
    goal = GoalResult(
        name="records per second into Parquet vs. stream() alone",
        result=find_ratio(medians, ours_stream.LABEL, f"{ours_export.LABEL} to .parquet", "wall"),
        goal=GOAL,
        is_minimum=True,
    )
    seconds = medians[ours_for_each.LABEL].cpu - medians[ours_extract.LABEL].cpu
    overhead = GoalResult(
        name="CPU per record that for_each() adds to extract(), with a handler that only visits it",
        result=seconds / rows.count * 1e6,
        goal=MOST_PER_HANDLER,
        unit=" µs",
    )
    print_goals([goal, overhead], is_quick=quick)
    return Report(goals=(goal, overhead))
