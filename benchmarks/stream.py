"""A whole stream at 50 ms latency, without a limit: concurrency against page after page."""

from benchmarks.contenders import ours_eight, ours_one, plain_loop
from benchmarks.rounds import Cost, fetching, print_table, run_rounds
from benchmarks.serving import make_rows, serve

LATENCY = 0.05


def measure(*, quick: bool) -> dict[str, Cost]:
    """Medians by contender; fewer records and rounds if *quick*."""
    rows, rounds = (make_rows(2_000), 1) if quick else (make_rows(5_000), 5)
    with serve(rows, latency=LATENCY) as url:
        contenders = {
            contender.LABEL: fetching(contender, url, expected=rows.count)
            for contender in (ours_eight, ours_one, plain_loop)
        }
        medians = run_rounds(contenders, rounds=rounds)
    print_table(
        f"Stream of {rows.count:,} specifications, {rows.count // 100} pages, 50 ms latency, no limit "
        f"(wall, medians of {rounds})",
        medians,
        baseline=ours_one.LABEL,
        by="wall",
    )
    gain = medians[ours_one.LABEL].wall / medians[ours_eight.LABEL].wall
    goal = "too few pages to judge" if quick else "goal: at least 6"
    print(f"  concurrency=8 is {gain:.2f} times as fast as concurrency=1 ({goal})")
    return medians
