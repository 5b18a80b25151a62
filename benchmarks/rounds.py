"""Rounds in which every contender runs once, in random order, and the table of their medians."""

import asyncio
import random
import statistics
import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Literal

from msgspec import Struct


class Cost(Struct, frozen=True):
    """What a run took."""

    wall: float
    """Seconds that passed."""
    cpu: float
    """Seconds of this process alone, all its threads together."""


Measure = Callable[[], Cost]
"""Runs a contender once."""


def timed(run: Callable[[], object]) -> Measure:
    """What *run* takes."""

    def measure() -> Cost:
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        return Cost(time.perf_counter() - wall, time.process_time() - cpu)

    return measure


def fetching(contender: ModuleType, url: str, *, expected: int) -> Measure:
    """What it takes a contender to fetch all records; the benchmark ends where it fetched more or fewer."""

    def run() -> None:
        fetched = asyncio.run(contender.fetch_all(url))
        if fetched != expected:
            raise SystemExit(f"{contender.LABEL} fetched {fetched} of {expected} records")

    return timed(run)


def run_rounds(contenders: Mapping[str, Measure], *, rounds: int) -> dict[str, Cost]:
    """The medians of each; whatever disturbs the machine disturbs all alike."""
    costs: dict[str, list[Cost]] = {label: [] for label in contenders}
    for _ in range(rounds):
        for label in random.sample(sorted(contenders), len(contenders)):
            costs[label].append(contenders[label]())
    return {
        label: Cost(statistics.median(run.wall for run in runs), statistics.median(run.cpu for run in runs))
        for label, runs in costs.items()
    }


def print_table(title: str, medians: Mapping[str, Cost], *, baseline: str, by: Literal["wall", "cpu"]) -> None:
    """Ratios to the baseline first, absolute times after them: only the ratios carry over to another machine."""
    print(f"\n{title}")
    for label, median in sorted(medians.items(), key=lambda pair: getattr(pair[1], by)):
        ratio = getattr(median, by) / getattr(medians[baseline], by)
        print(f"  {label:<44} {ratio:6.2f}x  {median.wall * 1000:10.2f} ms wall  {median.cpu * 1000:10.2f} ms CPU")
