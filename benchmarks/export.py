"""What writing costs beside fetching: records per second into each kind of file, against a stream alone."""

from benchmarks.contenders import ours_csv, ours_ndjson, ours_parquet, ours_stream
from benchmarks.rounds import Cost, fetching, print_table, run_rounds
from benchmarks.serving import make_rows, serve

GOAL = 0.5


def measure(*, quick: bool) -> dict[str, Cost]:
    """Medians by kind of file; fewer records and rounds if *quick*."""
    rows, rounds = (make_rows(5_000), 3) if quick else (make_rows(100_000), 5)
    contenders = (ours_ndjson, ours_csv, ours_parquet, ours_stream)
    with serve(rows, latency=0) as url:
        medians = run_rounds(
            {contender.LABEL: fetching(contender, url, expected=rows.count) for contender in contenders}, rounds=rounds
        )
    print_table(
        f"Export of {rows.count:,} specifications, no latency, no limit, until it is on the disk (medians of {rounds})",
        medians,
        baseline=ours_stream.LABEL,
        by="wall",
    )
    streamed = medians[ours_stream.LABEL].wall
    goal = "too few records to judge" if quick else f"goal: at least {GOAL}"
    for contender in contenders:
        wall = medians[contender.LABEL].wall
        judged = f" ({goal})" if contender is ours_parquet else ""
        print(
            f"  {contender.LABEL:<44} {rows.count / wall:10,.0f} records/s, {streamed / wall:.2f} of stream(){judged}"
        )
    return medians
