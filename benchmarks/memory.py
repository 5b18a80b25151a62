"""What a stream holds, what records take that are kept, and how an export's memory grows: beyond the imports."""

from collections.abc import Iterable

from benchmarks import export_memory
from benchmarks.contenders import kept_dicts, kept_typed
from benchmarks.harness.cell import Setting
from benchmarks.harness.report import Judged, Report, print_judged
from benchmarks.harness.rounds import Measure, find_ratio, in_process_of_its_own, print_table, run_rounds
from benchmarks.workload.sample_pages import SIZE
from benchmarks.workload.server import make_rows, serve

STREAMED_GOAL = 6.0
"""Megabytes."""
SAME_GOAL = 1.0
"""Megabytes between a short stream and one that is five times as long."""
KEPT_GOAL = 0.75
COLLECTOR_GOAL = 1.05
UNCOLLECTED = f"{kept_typed.LABEL}, collector off"


def measure(*, quick: bool) -> Report:
    """All three; fewer records and rounds if *quick*."""
    judged = [*_measure_streams(quick=quick), *_measure_kept(quick=quick)]
    print_judged(judged, is_quick=quick)
    exported = export_memory.measure(quick=quick)
    return Report(judged=(*judged, *exported.judged), curves=exported.curves)


def _measure_streams(*, quick: bool) -> Iterable[Judged]:
    short, long, rounds = (10, 50, 1) if quick else (1_000, 5_000, 5)
    with serve(make_rows(long * 100), latency=0) as url:
        contenders = {
            f"stream() of {pages:,} pages": in_process_of_its_own(
                "ours_stream",
                url,
                expected=pages * 100,
                setting=Setting(options={"max_items": pages * 100}),
                is_steady=False,
            )
            for pages in (short, long)
        }
        medians = run_rounds(contenders, rounds=rounds)
    shorter, longer = contenders
    print_table(
        f"Memory of streams, no latency, glibc as users have it (medians of {rounds})",
        medians,
        baseline=shorter,
        by="growth",
    )
    growths = [medians[label].growth / 1e6 for label in (shorter, longer)]
    yield Judged(what=f"peak of {shorter} beyond the imports", result=growths[0], goal=STREAMED_GOAL, unit="MB")
    yield Judged(what=f"peak of {longer} beyond the imports", result=growths[1], goal=STREAMED_GOAL, unit="MB")
    yield Judged(what="between these two", result=abs(growths[1] - growths[0]), goal=SAME_GOAL, unit="MB")


def _measure_kept(*, quick: bool) -> Iterable[Judged]:
    times, rounds = (1, 1) if quick else (10, 5)
    records = times * kept_typed.PAGES * SIZE

    def keeping(name: str, *, collects: bool = True) -> Measure:
        setting = Setting(options={"times": times}, collects=collects)
        return in_process_of_its_own(name, "", expected=records, setting=setting, is_steady=False)

    contenders = {
        kept_typed.LABEL: keeping("kept_typed"),
        UNCOLLECTED: keeping("kept_typed", collects=False),
        kept_dicts.LABEL: keeping("kept_dicts"),
    }
    medians = run_rounds(contenders, rounds=rounds)
    title = f"{records:,} specifications decoded and kept, real (medians of {rounds})"
    print_table(title, medians, baseline=kept_typed.LABEL, by="growth")
    yield Judged(
        what=f"bytes of {records:,} records kept against dicts",
        result=find_ratio(medians, kept_typed.LABEL, kept_dicts.LABEL, "growth"),
        goal=KEPT_GOAL,
    )
    yield Judged(
        what="keeping them with the cyclic collector on against off, CPU",
        result=find_ratio(medians, kept_typed.LABEL, UNCOLLECTED, "cpu"),
        goal=COLLECTOR_GOAL,
    )
