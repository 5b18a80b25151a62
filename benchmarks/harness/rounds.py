"""Rounds in which every contender runs once, in random order, and the table of their medians."""

import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from benchmarks.harness.cell import Cost, Setting, Stopwatch
from benchmarks.harness.heap import STEADY, as_users_have_it

Measure = Callable[[], Cost]
"""Runs a contender once."""
By = Literal["wall", "cpu", "growth"]


def timed(run: Callable[[], object], *, before: Callable[[], None] = lambda: None) -> Measure:
    """What *run* takes in this process, but not what is to be done *before*."""

    def measure() -> Cost:
        before()
        watch = Stopwatch()
        run()
        return watch.read()

    return measure


def in_process_of_its_own(
    contender: str, url: str, *, expected: int, setting: Setting | None = None, is_steady: bool = True
) -> Measure:
    """What a contender takes that starts anew, by the name of its file; it must bring as much as *expected*."""
    command = [sys.executable, "-m", "benchmarks.harness.cell", contender, url]
    command.append(msgspec.json.encode(setting or Setting()).decode())
    environment = os.environ | STEADY if is_steady else as_users_have_it()

    def measure() -> Cost:
        ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)  # noqa: S603 - ours
        if ended.returncode:
            raise SystemExit(f"{contender} ended with {ended.returncode}")
        cost = msgspec.json.decode(ended.stdout.splitlines()[-1], type=Cost)
        if cost.brought != expected:
            raise SystemExit(f"{contender} brought {cost.brought:,} instead of {expected:,}")
        return cost

    return measure


def run_rounds(contenders: Mapping[str, Measure], *, rounds: int) -> dict[str, Cost]:
    """The medians of each; whatever disturbs the machine disturbs all alike."""
    costs: dict[str, list[Cost]] = {label: [] for label in contenders}
    for _ in range(rounds):
        for label in random.sample(sorted(contenders), len(contenders)):
            costs[label].append(contenders[label]())
    return {label: _take_medians(runs) for label, runs in costs.items()}


def _take_medians(runs: list[Cost]) -> Cost:
    return Cost(
        wall=statistics.median(run.wall for run in runs),
        cpu=statistics.median(run.cpu for run in runs),
        growth=statistics.median(run.growth for run in runs),
        brought=runs[0].brought,
    )


def find_ratio(medians: Mapping[str, Cost], label: str, baseline: str, by: By) -> float:
    """How much of what the baseline takes."""
    return float(getattr(medians[label], by) / getattr(medians[baseline], by))


def print_table(title: str, medians: Mapping[str, Cost], *, baseline: str, by: By) -> None:
    """Ratios to the baseline first, absolute figures after them: only the ratios carry over to another machine."""
    print(f"\n{title}")
    print(f"  {'':<52} {'wall':>8} {'CPU':>8} {'wall':>13} {'CPU':>13} {'memory':>10}")
    for label, median in sorted(medians.items(), key=lambda pair: float(getattr(pair[1], by))):
        wall, cpu = (find_ratio(medians, label, baseline, name) for name in ("wall", "cpu"))
        times = "".join(f" {seconds * 1000:10.1f} ms" for seconds in (median.wall, median.cpu))
        memory = f"+{median.growth / 1e6:7.1f} MB" if median.growth else ""
        print(f"  {label:<52} {wall:7.2f}x {cpu:7.2f}x {times} {memory}")
