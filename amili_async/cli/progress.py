"""The progress of a long command: a bar where stderr is a terminal, else a plain line every ten seconds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from amili_async.cli.console import PlainConsole
from amili_async.meter import Meter

ReportProgress = Callable[[int, int | None, float | None], None]
"""Receives the rows so far, the rows in total, and the seconds that the rate limiter needs for the rest."""


@contextmanager
def show_progress(title: str, *, is_quiet: bool = False) -> Iterator[ReportProgress]:
    """Show the progress while the block runs."""
    console, meter = PlainConsole(stderr=True), Meter()
    if is_quiet:
        yield meter.update
    elif console.is_terminal:
        columns = (
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[rows]}", "progress.download", markup=False, table_column=Column(no_wrap=True)),
        )
        # A transient bar leaves no trace, so that the command's result is all that remains on the terminal.
        with Progress(*columns, console=console, transient=True, expand=True) as progress:
            task = progress.add_task(title, total=None, rows=meter.describe())

            def show(rows: int, total: int | None, limited: float | None) -> None:
                meter.update(rows, total, limited)
                progress.update(task, completed=rows, total=total, rows=meter.describe())

            yield show
    else:
        yield lambda rows, total, limited: meter.write(title, rows, total, limited)
