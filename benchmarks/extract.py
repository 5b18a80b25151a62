"""What it costs to have every record exactly once: extracting against streaming, at 50 ms latency, without a limit."""

from benchmarks.contenders import ours_extract, ours_stream
from benchmarks.harness.report import Judged, Report, print_judged
from benchmarks.harness.rounds import find_ratio, in_process_of_its_own, print_table, run_rounds
from benchmarks.workload.server import make_rows, serve

LATENCY = 0.05
GOAL = 1.1


def measure(*, quick: bool) -> Report:
    """Medians of both; fewer records and rounds if *quick*."""
    rows, rounds = (make_rows(5_000), 1) if quick else (make_rows(100_000), 3)
    with serve(rows, latency=LATENCY) as url:
        contenders = {
            ours_extract.LABEL: in_process_of_its_own("ours_extract", url, expected=rows.count),
            ours_stream.LABEL: in_process_of_its_own("ours_stream", url, expected=rows.count),
        }
        medians = run_rounds(contenders, rounds=rounds)
    print_table(
        f"Extraction of {rows.count:,} specifications, 50 ms latency, 10 in flight, no limit (medians of {rounds})",
        medians,
        baseline=ours_stream.LABEL,
        by="wall",
    )
    ratio = find_ratio(medians, ours_extract.LABEL, ours_stream.LABEL, "wall")
    judged = Judged(what="wall of extract() against stream() at 50 ms latency", result=ratio, goal=GOAL)
    print_judged([judged], is_quick=quick)
    return Report(judged=(judged,))
