"""What each layer of the package adds to the CPU time of a page."""

from benchmarks.contenders.ours_layers import LAYERS
from benchmarks.harness.cell import CellSettings
from benchmarks.harness.report import Report
from benchmarks.harness.rounds import in_own_process, run_rounds
from benchmarks.workload.server import make_rows, serve


def measure(*, quick: bool) -> Report:
    """Print the CPU time per page, layer by layer; with fewer pages and rounds if *quick*."""
    pages, rounds = (50, 1) if quick else (1_000, 9)
    with serve(make_rows(pages * 100), latency=0) as url:
        contenders = {
            layer: in_own_process(
                "ours_layers", url, expected=pages, settings=CellSettings(options={"layer": layer, "pages": pages})
            )
            for layer in LAYERS
        }
        medians = run_rounds(contenders, rounds=rounds)
    whole = medians[LAYERS[-1]].cpu
    print(f"\nCPU time per layer for a page of 100 specifications (medians of {rounds}, {pages:,} pages)")
    print(f"  {'':<34} {'adds':>9} {'share':>8} {'sum':>11}")
    before = 0.0
    for layer in LAYERS:
        total = medians[layer].cpu
        added = total - before
        print(f"  {layer:<34} {added / pages * 1e6:>6,.1f} µs {added / whole:>8.1%} {total / pages * 1e6:>8,.1f} µs")
        before = total
    print("  shares below two per cent, and negative ones, are noise")
    return Report()
