"""The terminal: where tables go, and how they look."""

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

GAP = 2
"""Blanks between two columns."""


class Screen(Console):
    """A console on which nothing is shown but what was meant: no markup, emoji or colours found in records."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def on_broken_pipe(self) -> None:
        """Leave it to whoever runs the command."""
        raise BrokenPipeError


def plain_table() -> Table:
    """A table with a line under its headings, and as wide as its contents."""
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold")


def choose_columns(widths: dict[str, int], *, spare: Sequence[str], room: int) -> list[str]:
    """The columns that fit side by side, in their order; those that can be spared go first, as they are listed.

    At least one stays, however narrow the terminal.
    """
    kept = dict(widths)
    for name in (*spare, *reversed(list(widths))):
        if len(kept) == 1 or sum(kept.values()) + GAP * (len(kept) - 1) <= room:
            break
        kept.pop(name, None)
    return list(kept)


def width_of(heading: str, cells: Sequence[str]) -> int:
    """How wide a column has to be; cells count by what the terminal shows."""
    return max(map(cell_len, (*heading.split("\n"), *cells)))
