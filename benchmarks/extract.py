"""What exactly-once delivery costs: `extract()` against `stream()`, at 50 ms latency, without a rate limit."""

from benchmarks.contenders import ours_extract, ours_stream
from benchmarks.harness.report import GoalResult, Report, print_goals
from benchmarks.harness.rounds import find_ratio, in_own_process, print_table, run_rounds
from benchmarks.workload.server import make_rows, serve

LATENCY = 0.05
"""Seconds."""
GOAL = 1.1


def measure(*, quick: bool) -> Report:
    """Medians of both; with fewer records and rounds if *quick*."""
    rows, rounds = (make_rows(5_000), 1) if quick else (make_rows(100_000), 3)
    with serve(rows, latency=LATENCY) as url:
        contenders = {
            ours_extract.LABEL: in_own_process("ours_extract", url, expected=rows.count),
            ours_stream.LABEL: in_own_process("ours_stream", url, expected=rows.count),
        }
        medians = run_rounds(contenders, rounds=rounds)
    title = (
        f"Extraction of {rows.count:,} specifications, 50 ms latency, 10 in flight, no rate limit (medians of {rounds})"
    )
    print_table(title, medians, baseline=ours_stream.LABEL, by="wall")
    ratio = find_ratio(medians, ours_extract.LABEL, ours_stream.LABEL, "wall")
    goal = GoalResult(name="duration of extract() vs. stream() at 50 ms latency", result=ratio, goal=GOAL)
    print_goals([goal], is_quick=quick)
    return Report(goals=(goal,))
