"""The terminal: where tables are printed, and how they look."""

import os
import sys
from collections.abc import Collection, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

COLUMN_GAP = 2
"""Blanks between two columns."""
_UNLIMITED = 10_000


class PlainConsole(Console):
    """A console that prints text unchanged: no markup, emoji or highlighting is read from records."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)
        if not self.is_terminal and "COLUMNS" not in os.environ:
            self.width = _UNLIMITED  # a pipe or a file has no width, and rich would assume 80

    def on_broken_pipe(self) -> None:
        """Raise, because rich would exit with code 1 here; each command decides what a closed pipe means."""
        raise BrokenPipeError


def printable(text: str) -> str:
    """Text whose control and format characters are escaped, so that it cannot steer a terminal or reverse a line."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def write_bytes(content: bytes) -> None:
    """Write to stdout at once: unchanged, but a terminal gets escapes instead of characters that would steer it."""
    if sys.stdout.isatty():
        content = "\n".join(map(printable, content.decode().split("\n"))).encode()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def plain_table() -> Table:
    """A table with a line under its headings, as wide as its contents."""
    return Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, COLUMN_GAP - 1, 0, 0), header_style="bold"
    )


def fit_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    *,
    left: Collection[str],
    optional: Sequence[str] = (),
    width: int | None = None,
    max_column: int | None = None,
) -> tuple[Table, list[str]]:
    """A table of the columns that fit into *width*, and the headings of the dropped ones.

    The columns *left* are aligned left, all others right. A column wider than *max_column* is folded rather than drop
    another one.
    """
    texts = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    cells = {name: [row[at] for row in texts] for at, name in enumerate(headings)}
    widths = {name: column_width(name, [cell.plain for cell in column]) for name, column in cells.items()}
    if max_column is not None:
        widths = {name: min(natural, max_column) for name, natural in widths.items()}
    kept = list(headings) if width is None else choose_columns(widths, optional=optional, width=width)
    table = plain_table()
    for name in kept:
        table.add_column(
            Text(name),
            justify="left" if name in left else "right",
            overflow="fold",
        )
    for row in zip(*(cells[name] for name in kept), strict=True):
        table.add_row(*row)
    return table, [name for name in headings if name not in kept]


def print_dropped(console: Console, dropped: Sequence[str]) -> None:
    """Name the columns that did not fit."""
    if dropped:
        console.print(Text(f"not shown, because the terminal is too narrow: {', '.join(dropped)}", style="dim"))


def choose_columns(widths: dict[str, int], *, optional: Sequence[str], width: int) -> list[str]:
    """The columns that fit side by side, in their order: *optional* ones are dropped first, then the last ones.

    At least one remains, however narrow the terminal is.
    """
    kept = dict(widths)
    for name in (*optional, *reversed(list(widths))):
        if len(kept) == 1 or table_width(kept.values()) <= width:
            break
        kept.pop(name, None)
    return list(kept)


def column_width(heading: str, cells: Sequence[str]) -> int:
    """The width of a column in terminal cells, which differ from characters for wide letters."""
    return max(map(cell_len, (*heading.split("\n"), *cells)))


def table_width(widths: Collection[int]) -> int:
    """The width of columns side by side."""
    return sum(widths) + COLUMN_GAP * (len(widths) - 1)
