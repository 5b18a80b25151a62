"""A progress bar on stderr, where that is a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from amili_async.cli.screen import Screen

Tell = Callable[[int, int | None], None]
"""How many there are so far, and how many in all where that is known."""


class _CountColumn(ProgressColumn):
    """`1,200 of 5,000`."""

    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f" of {task.total:,.0f}"
        return Text(f"{task.completed:,.0f}{total}", style="progress.download")


@contextmanager
def show_progress(what: str, *, is_quiet: bool = False) -> Iterator[Tell]:
    """A bar while the block runs; gone when it ends."""
    screen = Screen(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), _CountColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=is_quiet or not screen.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda rows, total: progress.update(task, completed=rows, total=total)
