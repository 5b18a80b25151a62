"""Whether time and memory grow as they should: with the number of pages, and with the number of streams at once."""

from collections.abc import Mapping

from benchmarks.harness.cell import Cost, Setting
from benchmarks.harness.report import Curve, Report
from benchmarks.harness.rounds import in_process_of_its_own, run_rounds
from benchmarks.workload.server import make_rows, serve

PAGES = (100, 1_000, 10_000)
STREAMS = (1, 10, 50)
TOGETHER = 1_000
"""Pages of all streams together."""


def measure(*, quick: bool) -> Report:
    """Medians by pages and by streams; fewer of both if *quick*."""
    pages, together, rounds = ((10, 50, 100), 100, 1) if quick else (PAGES, TOGETHER, 3)
    print(f"\nGrowth, no latency, no limit, glibc as users have it (medians of {rounds}, each in a process of its own)")
    with serve(make_rows(pages[-1] * 100), latency=0) as url:
        by_pages = {
            str(count): in_process_of_its_own(
                "ours_stream",
                url,
                expected=count * 100,
                setting=Setting(options={"max_items": count * 100}),
                is_steady=False,
            )
            for count in pages
        }
        by_streams = {
            str(count): in_process_of_its_own(
                "ours_many",
                url,
                expected=together * 100,
                setting=Setting(options={"streams": count, "max_items": together * 100 // count}),
                is_steady=False,
            )
            for count in STREAMS
        }
        found = {
            "pages": run_rounds(by_pages, rounds=rounds),
            "streams at once": run_rounds(by_streams, rounds=rounds),
        }
    _print(found["pages"], "pages", each=dict(zip(found["pages"], pages, strict=True)))
    _print(found["streams at once"], "streams", each=dict.fromkeys(found["streams at once"], together))
    return Report(curves=tuple(curve for what, medians in found.items() for curve in _draw(what, medians)))


def _print(medians: Mapping[str, Cost], what: str, *, each: Mapping[str, int]) -> None:
    print(f"  {what:>10} {'wall per page':>15} {'CPU per page':>15} {'memory':>12}")
    for label, median in medians.items():
        wall, cpu = (seconds / each[label] * 1e6 for seconds in (median.wall, median.cpu))
        print(f"  {int(label):>10,} {wall:>12,.0f} µs {cpu:>12,.0f} µs {median.growth / 1e6:>+9,.1f} MB")


def _draw(what: str, medians: Mapping[str, Cost]) -> list[Curve]:
    measures = {"seconds of wall": "wall", "seconds of CPU": "cpu", "MB beyond the imports": "growth"}
    return [
        Curve(
            figure=f"growth with {what}",
            label=label,
            points=tuple(
                (float(count), getattr(cost, name) / (1e6 if name == "growth" else 1))
                for count, cost in medians.items()
            ),
        )
        for label, name in measures.items()
    ]
