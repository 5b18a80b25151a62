"""The progress of a long export in words: rows, rate and the time that is left."""

import sys
import time
from collections.abc import Callable

from amili_async.readable import show_count, show_duration

LINE_INTERVAL = 10.0
"""Seconds between two plain lines."""


class Meter:
    """Computes the rate and the remaining time from rows and seconds."""

    def __init__(self, clock: Callable[[], float] = lambda: time.monotonic()) -> None:
        self._clock, self._written = clock, clock()
        self._first: tuple[float, int] | None = None
        self._rows = 0
        self._total: int | None = None
        self._limited: float | None = None

    def update(self, rows: int, total: int | None, limited: float | None) -> None:
        """Record the progress; rows of the first call, as in a resumed export, do not count as speed."""
        self._first = self._first or (self._clock(), rows)
        self._rows, self._total, self._limited = rows, total, limited

    def write(self, title: str, rows: int, total: int | None, limited: float | None) -> None:
        """Record the progress, and write a line on stderr if the last one is `LINE_INTERVAL` ago."""
        self.update(rows, total, limited)
        if self._clock() - self._written >= LINE_INTERVAL:
            self._written = self._clock()
            sys.stderr.write(f"{title}: {self.describe()}\n")

    def describe(self) -> str:
        """`12,300 of 100,000 rows, 165/s, about 9 min left`, as far as each is known."""
        counted = show_count(self._rows if self._total is None else self._total, "row")
        parts = [counted if self._total is None else f"{self._rows:,} of {counted}"]
        began, first = self._first or (self._clock(), 0)
        seconds = self._clock() - began
        rate = (self._rows - first) / seconds if seconds > 0 else 0.0
        if rate >= 1:
            parts.append(f"{rate:,.0f}/s")
        if self._total is not None and self._rows < self._total and (rate > 0 or self._limited):
            by_rate = (self._total - self._rows) / rate if rate > 0 else 0.0
            parts.append(f"about {show_duration(max(by_rate, self._limited or 0.0))} left")
        return ", ".join(parts)
