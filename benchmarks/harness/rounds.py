"""Rounds in which every contender runs once, in random order, and the table of their medians."""

import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from benchmarks.harness.cell import CellSettings, Cost, Stopwatch
from benchmarks.harness.heap import MALLOC_SETTINGS, untuned_environment

Measure = Callable[[], Cost]
"""Runs a contender once."""
Metric = Literal["wall", "cpu", "memory"]
"""A field of `Cost`."""


def timed(run: Callable[[], object], *, before: Callable[[], None] = lambda: None) -> Measure:
    """Measure *run* in this process; *before* is called first and not counted."""

    def measure() -> Cost:
        before()
        watch = Stopwatch()
        run()
        return watch.read()

    return measure


def in_own_process(
    contender: str, url: str, *, expected: int, settings: CellSettings | None = None, is_malloc_tuned: bool = True
) -> Measure:
    """Measure a contender, named by its file, in a new process each time; it must fetch exactly *expected* items."""
    command = [sys.executable, "-m", "benchmarks.harness.cell", contender, url]
    command.append(msgspec.json.encode(settings or CellSettings()).decode())
    environment = os.environ | MALLOC_SETTINGS if is_malloc_tuned else untuned_environment()

    def measure() -> Cost:
        finished = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)  # noqa: S603 - our own module
        if finished.returncode:
            raise SystemExit(f"contender {contender} failed with exit code {finished.returncode}")
        # The last line only: some contenders print lines of their own.
        cost = msgspec.json.decode(finished.stdout.splitlines()[-1], type=Cost)
        if cost.fetched != expected:
            raise SystemExit(f"contender {contender} fetched {cost.fetched:,} items; expected {expected:,}")
        return cost

    return measure


def run_rounds(contenders: Mapping[str, Measure], *, rounds: int) -> dict[str, Cost]:
    """Run every contender once per round and return the medians; random order spreads disturbances evenly."""
    costs: dict[str, list[Cost]] = {label: [] for label in contenders}
    for _ in range(rounds):
        for label in random.sample(sorted(contenders), len(contenders)):
            costs[label].append(contenders[label]())
    return {label: _take_medians(runs) for label, runs in costs.items()}


def _take_medians(runs: list[Cost]) -> Cost:
    return Cost(
        wall=statistics.median(run.wall for run in runs),
        cpu=statistics.median(run.cpu for run in runs),
        memory=statistics.median(run.memory for run in runs),
        fetched=runs[0].fetched,
    )


def find_ratio(medians: Mapping[str, Cost], label: str, baseline: str, by: Metric) -> float:
    """The cost of *label* as a multiple of the baseline's."""
    return float(getattr(medians[label], by) / getattr(medians[baseline], by))


def print_table(title: str, medians: Mapping[str, Cost], *, baseline: str, by: Metric) -> None:
    """Print ratios to the baseline, then absolute values: only ratios are comparable between machines."""
    print(f"\n{title}")
    print(f"  {'':<52} {'wall':>8} {'CPU':>8} {'wall':>13} {'CPU':>13} {'memory':>10}")
    for label, median in sorted(medians.items(), key=lambda pair: float(getattr(pair[1], by))):
        wall, cpu = (find_ratio(medians, label, baseline, name) for name in ("wall", "cpu"))
        times = "".join(f" {seconds * 1000:10.1f} ms" for seconds in (median.wall, median.cpu))
        memory = f"+{median.memory / 1e6:7.1f} MB" if median.memory else ""
        print(f"  {label:<52} {wall:7.2f}x {cpu:7.2f}x {times} {memory}")
