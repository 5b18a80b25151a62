"""What each part of the package adds to a page, so that whoever adds a part sees what it costs."""

from benchmarks.contenders.ours_layers import RUNGS
from benchmarks.harness.cell import Setting
from benchmarks.harness.report import Report
from benchmarks.harness.rounds import in_process_of_its_own, run_rounds
from benchmarks.workload.server import make_rows, serve


def measure(*, quick: bool) -> Report:
    """CPU per page, rung by rung; fewer pages and rounds if *quick*."""
    pages, rounds = (50, 1) if quick else (1_000, 9)
    with serve(make_rows(pages * 100), latency=0) as url:
        contenders = {
            rung: in_process_of_its_own(
                "ours_layers", url, expected=pages, setting=Setting(options={"rung": rung, "pages": pages})
            )
            for rung in RUNGS
        }
        medians = run_rounds(contenders, rounds=rounds)
    whole = medians[RUNGS[-1]].cpu
    print(f"\nCost per part of a page of 100 specifications (CPU, medians of {rounds}, {pages:,} pages)")
    print(f"  {'':<34} {'adds':>9} {'share':>8} {'so far':>11}")
    before = 0.0
    for rung in RUNGS:
        so_far = medians[rung].cpu
        added = so_far - before
        print(f"  {rung:<34} {added / pages * 1e6:>6,.1f} µs {added / whole:>8.1%} {so_far / pages * 1e6:>8,.1f} µs")
        before = so_far
    print("  a share of one or two per cent, or one below nothing, is noise: a part that costs less than one can tell")
    return Report()
