"""Records as a table, and one record as a list of its fields."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from amili_async.cli.screen import choose_columns, plain_table, width_of
from amili_async.cli.values import MONEY, show_value
from amili_async.export.documents import pick


def tabulate(
    documents: Sequence[Mapping[str, Any]], names: Sequence[str], *, spare: Sequence[str], room: int
) -> tuple[Table, list[str]]:
    """The table, and the columns that had to be left out of it; absent fields are blank, `null` says so."""
    cells = {name: [_show_field(document, name) for document in documents] for name in names}
    widths = {name: width_of(name, [cell.plain for cell in column]) for name, column in cells.items()}
    kept = choose_columns(widths, spare=spare, room=room)
    table = plain_table()
    for name in kept:
        table.add_column(Text(name), justify="right" if _is_number(name) else "left", no_wrap=True, overflow="ellipsis")
    for row in range(len(documents)):
        table.add_row(*(cells[name][row] for name in kept))
    return table, [name for name in names if name not in kept]


def list_fields(document: Mapping[str, Any]) -> Table:
    """Each field that is there, under the API's name; amounts stand above each other, digit above digit."""
    shown = {name: _show_part(name, value) for name, value in document.items() if name != "_links"}
    width = max(
        (len(text.plain) for name, text in shown.items() if name in MONEY and isinstance(text, Text)), default=0
    )
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, part in shown.items():
        if name in MONEY and isinstance(part, Text):
            part.pad_left(width - len(part.plain))
        grid.add_row(Text(name), part)
    return grid


def _show_field(document: Mapping[str, Any], name: str) -> Text:
    is_absent = "." not in name and name not in document
    value = pick(document, name)
    return Text() if is_absent or ("." in name and value is None) else show_value(name.rpartition(".")[2], value)


def _show_part(name: str, value: Any) -> RenderableType:
    if not isinstance(value, dict) or not value:
        return show_value(name, value)
    if all(isinstance(part, dict) for part in value.values()):
        return _show_groups(value)
    return list_fields(value)


def _show_groups(groups: Mapping[str, Mapping[str, Any]]) -> Table:
    """Objects of the same kind by name, such as a payout's summary: one row each."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    table = plain_table()
    table.add_column("")
    for name in names:
        table.add_column(Text(name), justify="right" if _is_number(name) else "left")
    for key, group in groups.items():
        table.add_row(Text(key), *(_show_field(group, name) for name in names))
    return table


def _is_number(name: str) -> bool:
    return name.rpartition(".")[2] in MONEY or name == "count"
