"""How far an export is: a bar where stderr is a terminal, else a plain line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from amili_async.cli.console import Screen

Tell = Callable[[int, int | None, float | None], None]
"""How many rows there are so far, how many in all, and the seconds that the request budget needs for the rest."""

LINE_EVERY = 10.0
"""Seconds between two plain lines."""


class Meter:
    """What rows and seconds say of the rate and of the time that is left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[float, int] | None = None
        self._rows = 0
        self._total: int | None = None
        self._budgeted: float | None = None

    def note(self, rows: int, total: int | None, budgeted: float | None) -> None:
        """Take in how far it is; the rows that were there at first are not counted as speed."""
        self._first = self._first or (self._clock(), rows)
        self._rows, self._total, self._budgeted = rows, total, budgeted

    def describe(self) -> str:
        """`12,300 of 100,000 rows, 165/s, about 9 min left`, as far as each is known."""
        parts = [f"{self._rows:,} rows" if self._total is None else f"{self._rows:,} of {self._total:,} rows"]
        began, first = self._first or (self._clock(), 0)
        seconds = self._clock() - began
        rate = (self._rows - first) / seconds if seconds > 0 else 0.0
        if rate >= 1:
            parts.append(f"{rate:,.0f}/s")
        if self._total is not None and self._rows < self._total and (rate > 0 or self._budgeted):
            by_rate = (self._total - self._rows) / rate if rate > 0 else 0.0
            parts.append(f"about {show_duration(max(by_rate, self._budgeted or 0.0))} left")
        return ", ".join(parts)


def show_duration(seconds: float) -> str:
    """In the one unit that a person would use."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class _MeterColumn(ProgressColumn):
    """What the meter says."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._meter = meter

    def render(self, task: Task) -> Text:  # noqa: ARG002 - what rich asks for
        return Text(self._meter.describe(), style="progress.download")


@contextmanager
def show_progress(what: str, *, is_quiet: bool = False) -> Iterator[Tell]:
    """Show it while the block runs."""
    screen, meter = Screen(stderr=True), Meter()
    if is_quiet:
        yield meter.note
    elif screen.is_terminal:
        columns = (
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None),
            _MeterColumn(meter),
        )
        with Progress(*columns, console=screen, transient=True, expand=True) as progress:
            task = progress.add_task(what, total=None)

            def show(rows: int, total: int | None, budgeted: float | None) -> None:
                meter.note(rows, total, budgeted)
                progress.update(task, completed=rows, total=total)

            yield show
    else:
        yield _write_lines(what, meter)


def _write_lines(what: str, meter: Meter, clock: Callable[[], float] = time.monotonic) -> Tell:
    last = clock()

    def write(rows: int, total: int | None, budgeted: float | None) -> None:
        nonlocal last
        meter.note(rows, total, budgeted)
        if clock() - last >= LINE_EVERY:
            last = clock()
            sys.stderr.write(f"{what}: {meter.describe()}\n")

    return write
