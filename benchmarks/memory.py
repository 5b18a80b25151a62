"""How much memory streams, kept records and exports hold, above the level after the imports."""

from collections.abc import Iterable

from benchmarks import export_memory
from benchmarks.contenders import kept_dicts, kept_typed
from benchmarks.growth import streaming
from benchmarks.harness.cell import CellSettings
from benchmarks.harness.report import GoalResult, Report, print_goals
from benchmarks.harness.rounds import Measure, find_ratio, in_own_process, print_table, run_rounds
from benchmarks.workload.sample_pages import PAGE_SIZE
from benchmarks.workload.server import make_rows, serve

STREAM_GOAL = 6.0
"""Megabytes."""
DIFFERENCE_GOAL = 1.0
"""Megabytes between a short stream and one five times as long."""
KEPT_GOAL = 0.75
COLLECTOR_GOAL = 1.05
WITHOUT_GC = f"{kept_typed.LABEL}, garbage collector off"


def measure(*, quick: bool) -> Report:
    """Measure all three; with fewer records and rounds if *quick*."""
    goals = [*_measure_streams(quick=quick), *_measure_kept(quick=quick)]
    print_goals(goals, is_quick=quick)
    exported = export_memory.measure(quick=quick)
    return Report(goals=(*goals, *exported.goals), curves=exported.curves)


def _measure_streams(*, quick: bool) -> Iterable[GoalResult]:
    short, long, rounds = (10, 50, 1) if quick else (1_000, 5_000, 5)
    with serve(make_rows(long * 100), latency=0) as url:
        contenders = {f"stream() of {pages:,} pages": streaming(url, pages=pages) for pages in (short, long)}
        medians = run_rounds(contenders, rounds=rounds)
    shorter, longer = contenders
    title = f"Memory of streams, no latency, default malloc settings (medians of {rounds})"
    print_table(title, medians, baseline=shorter, by="memory")
    peaks = [medians[label].memory / 1e6 for label in (shorter, longer)]
    yield GoalResult(name=f"peak memory of {shorter}", result=peaks[0], goal=STREAM_GOAL, unit="MB")
    yield GoalResult(name=f"peak memory of {longer}", result=peaks[1], goal=STREAM_GOAL, unit="MB")
    yield GoalResult(
        name="difference between the two", result=abs(peaks[1] - peaks[0]), goal=DIFFERENCE_GOAL, unit="MB"
    )


def _measure_kept(*, quick: bool) -> Iterable[GoalResult]:
    times, rounds = (1, 1) if quick else (10, 5)
    records = times * kept_dicts.PAGES * PAGE_SIZE

    def keeping(name: str, *, gc_enabled: bool = True) -> Measure:
        settings = CellSettings(options={"times": times}, gc_enabled=gc_enabled)
        return in_own_process(name, "", expected=records, settings=settings, is_malloc_tuned=False)

    # Records are structs with gc=False, which the collector skips; this verifies that it costs nothing.
    contenders = {
        kept_typed.LABEL: keeping("kept_typed"),
        WITHOUT_GC: keeping("kept_typed", gc_enabled=False),
        kept_dicts.LABEL: keeping("kept_dicts"),
    }
    medians = run_rounds(contenders, rounds=rounds)
    title = f"{records:,} specifications decoded and kept, profile batched (medians of {rounds})"
    print_table(title, medians, baseline=kept_typed.LABEL, by="memory")
    yield GoalResult(
        name=f"memory of {records:,} kept records vs. dicts",
        result=find_ratio(medians, kept_typed.LABEL, kept_dicts.LABEL, "memory"),
        goal=KEPT_GOAL,
    )
    yield GoalResult(
        name="CPU of keeping them, garbage collector on vs. off",
        result=find_ratio(medians, kept_typed.LABEL, WITHOUT_GC, "cpu"),
        goal=COLLECTOR_GOAL,
    )
