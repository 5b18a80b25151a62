"""Values and records as people read them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.table import Table
from rich.text import Text

from amili_async.cli.console import fit_table, printable
from amili_async.export.records import pick
from amili_async.models.json import encode_json
from amili_async.models.kinds import MONEY
from amili_async.readable import show_date, show_money


def show_value(name: str, value: Any) -> Text:
    """The value of a field."""
    if value is None:
        return Text("null", style="dim")
    if isinstance(value, bool):
        return Text("true" if value else "false")
    if isinstance(value, datetime):
        return Text(show_date(value))
    if isinstance(value, (int, Decimal)):
        return Text(show_money(value) if name in MONEY else f"{value}")
    if isinstance(value, dict):
        return Text(printable(encode_json(value)))
    if isinstance(value, (list, tuple)):
        return Text(", ".join(show_value(name, part).plain for part in value))
    return Text(printable(str(value)))


def tabulate(
    documents: Sequence[Mapping[str, Any]], names: Sequence[str], *, optional: Sequence[str], width: int
) -> tuple[Table, list[str]]:
    """The table, and the columns that did not fit; absent fields are blank, `null` is shown as null."""
    rows = [[_show_field(document, name) for name in names] for document in documents]
    left = [printable(name) for name in names if _last_part(name) not in MONEY and name != "count"]
    return fit_table([printable(name) for name in names], rows, left=left, optional=optional, width=width)


def list_fields(document: Mapping[str, Any]) -> Table:
    """Each present field under the API's name, dotted within objects; the digits of amounts are aligned."""
    shown = {name: show_value(_last_part(name), value) for name, value in _flatten(document, "") if name != "_links"}
    width = max((len(text.plain) for name, text in shown.items() if _last_part(name) in MONEY), default=0)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in shown.items():
        if _last_part(name) in MONEY:
            text.pad_left(width - len(text.plain))
        grid.add_row(Text(printable(name)), text)
    return grid


def _flatten(document: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _show_field(document: Mapping[str, Any], name: str) -> Text:
    is_absent = "." not in name and name not in document
    value = pick(document, name)
    return Text() if is_absent or ("." in name and value is None) else show_value(_last_part(name), value)


def _last_part(name: str) -> str:
    return name.rpartition(".")[2]
