"""What it costs to have every record exactly once: extracting against streaming, at 50 ms latency, without a limit."""

from benchmarks.contenders import ours_extract, ours_stream
from benchmarks.rounds import Cost, fetching, print_table, run_rounds
from benchmarks.serving import make_rows, serve

LATENCY = 0.05
GOAL = 1.1


def measure(*, quick: bool) -> dict[str, Cost]:
    """Medians of both; fewer records and rounds if *quick*."""
    rows, rounds = (make_rows(5_000), 3) if quick else (make_rows(100_000), 5)
    with serve(rows, latency=LATENCY) as url:
        contenders = {
            contender.LABEL: fetching(contender, url, expected=rows.count) for contender in (ours_extract, ours_stream)
        }
        medians = run_rounds(contenders, rounds=rounds)
    print_table(
        f"Extraction of {rows.count:,} specifications, 50 ms latency, 10 in flight, no limit (medians of {rounds})",
        medians,
        baseline=ours_stream.LABEL,
        by="wall",
    )
    extracted, streamed = medians[ours_extract.LABEL], medians[ours_stream.LABEL]
    pages = rows.count / 100
    goal = "too few records to judge" if quick else f"goal: at most {GOAL}"
    print(f"  extract() takes {extracted.wall / streamed.wall:.3f} of the time of stream() ({goal})")
    print(
        f"  and {extracted.cpu / streamed.cpu:.2f} of its CPU: {extracted.cpu / pages * 1e6:,.0f} µs per page against "
        f"{streamed.cpu / pages * 1e6:,.0f} (no goal)"
    )
    return medians
