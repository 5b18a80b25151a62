"""What each layer of the package adds to the CPU time of a page, and what each observer adds to it."""

from benchmarks.contenders.ours_layers import LAYERS
from benchmarks.contenders.ours_observed import OBSERVERS
from benchmarks.harness.cell import CellSettings
from benchmarks.harness.report import Report
from benchmarks.harness.rounds import in_own_process, run_rounds
from benchmarks.workload.server import make_rows, serve


def measure(*, quick: bool) -> Report:
    """Print the CPU time per page, by layer and by observer; with fewer pages and rounds if *quick*."""
    pages, rounds = (50, 1) if quick else (1_000, 9)
    with serve(make_rows(pages * 100), latency=0) as url:
        _print_layers(url, pages, rounds)
        _print_observers(url, pages, rounds)
    return Report()


def _print_layers(url: str, pages: int, rounds: int) -> None:
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


def _print_observers(url: str, pages: int, rounds: int) -> None:
    contenders = {
        name: in_own_process("ours_observed", url, expected=pages, settings=CellSettings(options={"observer": name}))
        for name in OBSERVERS
    }
    medians = run_rounds(contenders, rounds=rounds)
    none = medians[next(iter(OBSERVERS))].cpu
    print(f"\nCPU time with an observer for a page of 100 specifications (medians of {rounds}, {pages:,} pages)")
    for name, cost in medians.items():
        print(f"  {name:<34} {(cost.cpu - none) / pages * 1e6:>+6,.1f} µs {(cost.cpu - none) / none:>+8.1%}")
