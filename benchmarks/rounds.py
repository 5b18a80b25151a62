"""Rounds in which every contender runs once, in random order, and the table of their medians."""

import random
import statistics
from collections.abc import Callable, Mapping

Measure = Callable[[], float]
"""Runs a contender once and returns seconds."""


def run_rounds(contenders: Mapping[str, Measure], *, rounds: int) -> dict[str, float]:
    """The median seconds of each; whatever disturbs the machine disturbs all alike."""
    seconds: dict[str, list[float]] = {label: [] for label in contenders}
    for _ in range(rounds):
        for label in random.sample(sorted(contenders), len(contenders)):
            seconds[label].append(contenders[label]())
    return {label: statistics.median(runs) for label, runs in seconds.items()}


def print_table(title: str, medians: Mapping[str, float], *, baseline: str) -> None:
    """Ratios to the baseline first, absolute times after them: only the ratios carry over to another machine."""
    print(f"\n{title}")
    for label, median in sorted(medians.items(), key=lambda pair: pair[1]):
        print(f"  {label:<44} {median / medians[baseline]:6.2f}x  {median * 1000:10.2f} ms")
