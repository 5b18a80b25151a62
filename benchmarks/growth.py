"""Whether time and memory stay proportional: to the number of pages, and to the number of concurrent streams."""

from collections.abc import Mapping

from benchmarks.harness.cell import CellSettings, Cost
from benchmarks.harness.report import Curve, Report
from benchmarks.harness.rounds import Measure, in_own_process, run_rounds
from benchmarks.workload.server import make_rows, serve

PAGES = (100, 1_000, 10_000)
STREAMS = (1, 10, 50)
SHARED_PAGES = 1_000
"""Pages of all concurrent streams together."""


def measure(*, quick: bool) -> Report:
    """Medians by pages and by streams; with fewer pages and rounds if *quick*."""
    pages, shared, rounds = ((10, 50, 100), 100, 1) if quick else (PAGES, SHARED_PAGES, 3)
    print(f"\nGrowth, no latency, no rate limit, default malloc settings (medians of {rounds}, one process per run)")
    with serve(make_rows(pages[-1] * 100), latency=0) as url:
        by_pages = run_rounds({str(count): streaming(url, pages=count) for count in pages}, rounds=rounds)
        by_streams = run_rounds(
            {str(count): _streaming_concurrently(url, streams=count, pages=shared) for count in STREAMS}, rounds=rounds
        )
    _print_costs("pages", by_pages, pages=dict(zip(by_pages, pages, strict=True)))
    _print_costs("streams", by_streams, pages=dict.fromkeys(by_streams, shared))
    return Report(
        curves=(*_make_curves("growth with pages", by_pages), *_make_curves("growth with streams at once", by_streams))
    )


def streaming(url: str, *, pages: int) -> Measure:
    """Measure one stream of *pages* pages, with default malloc settings."""
    settings = CellSettings(options={"max_items": pages * 100})
    return in_own_process("ours_stream", url, expected=pages * 100, settings=settings, is_malloc_tuned=False)


def _streaming_concurrently(url: str, *, streams: int, pages: int) -> Measure:
    settings = CellSettings(options={"streams": streams, "max_items": pages * 100 // streams})
    return in_own_process("ours_many", url, expected=pages * 100, settings=settings, is_malloc_tuned=False)


def _print_costs(what: str, medians: Mapping[str, Cost], *, pages: Mapping[str, int]) -> None:
    print(f"  {what:>10} {'wall per page':>15} {'CPU per page':>15} {'memory':>12}")
    for label, median in medians.items():
        wall, cpu = (seconds / pages[label] * 1e6 for seconds in (median.wall, median.cpu))
        print(f"  {int(label):>10,} {wall:>12,.0f} µs {cpu:>12,.0f} µs {median.memory / 1e6:>+9,.1f} MB")


def _make_curves(figure: str, medians: Mapping[str, Cost]) -> list[Curve]:
    quantities = {"seconds, wall": "wall", "seconds, CPU": "cpu", "MB above the imports": "memory"}
    return [
        Curve(
            figure=figure,
            label=label,
            points=tuple(
                (float(count), getattr(cost, name) / (1e6 if name == "memory" else 1))
                for count, cost in medians.items()
            ),
        )
        for label, name in quantities.items()
    ]
