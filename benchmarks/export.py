"""What writing costs beside fetching: records per second into each kind of file, against a stream alone."""

from benchmarks.contenders import ours_export, ours_stream
from benchmarks.harness.cell import Setting
from benchmarks.harness.report import Judged, Report, print_judged
from benchmarks.harness.rounds import find_ratio, in_process_of_its_own, print_table, run_rounds
from benchmarks.workload.server import make_rows, serve

SUFFIXES = (".ndjson", ".csv", ".parquet")
GOAL = 0.5


def measure(*, quick: bool) -> Report:
    """Medians by kind of file, all cores at everybody's disposal; fewer records and rounds if *quick*."""
    rows, rounds = (make_rows(5_000), 1) if quick else (make_rows(100_000), 5)
    with serve(rows, latency=0) as url:
        streaming = in_process_of_its_own("ours_stream", url, expected=rows.count, setting=Setting(is_pinned=False))
        contenders = {
            f"{ours_export.LABEL} to {suffix}": in_process_of_its_own(
                "ours_export",
                url,
                expected=rows.count,
                setting=Setting(options={"suffix": suffix}, is_pinned=False),
            )
            for suffix in SUFFIXES
        }
        medians = run_rounds({ours_stream.LABEL: streaming, **contenders}, rounds=rounds)
    print_table(
        f"Export of {rows.count:,} specifications, no latency, no limit, until it is on the disk (medians of {rounds})",
        medians,
        baseline=ours_stream.LABEL,
        by="wall",
    )
    for label, median in medians.items():
        print(f"  {label:<40} {rows.count / median.wall:10,.0f} records/s")
    judged = Judged(
        what="records per second into Parquet against stream() alone",
        result=find_ratio(medians, ours_stream.LABEL, f"{ours_export.LABEL} to .parquet", "wall"),
        goal=GOAL,
        is_least=True,
    )
    print_judged([judged], is_quick=quick)
    return Report(judged=(judged,))
