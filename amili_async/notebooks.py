"""What a notebook shows: tables of records and results, and the progress of an export.

Invariant: a table is bounded in rows, columns and text, and all text is escaped. It has no script and no colour, so
that it is readable in light and dark mode.

A page that is displayed shows its records, as a data frame does; its `repr`, which tracebacks and logs print, shows
none. Displayed records are saved with the notebook: clear its output before you share it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from html import escape
from itertools import chain, islice
from typing import Any

from amili_async.errors import ConfigurationError
from amili_async.meter import Meter
from amili_async.readable import show_count, show_date, show_money

__all__ = ["NotebookProgress"]

MAX_ROWS, MAX_COLUMNS = 20, 20
MAX_TEXT = 60
"""Characters of a cell."""
MAX_DEPTH, MAX_ITEMS = 4, 20
"""Of the objects and lists within a cell."""
HIDDEN_COLUMNS = frozenset({"etag", "_etag", "_links"})
"""What no table of records shows: opaque, and wide."""


def html_table(caption: str, records: Sequence[Any]) -> str:
    """A row for each record, a column for each field that one of those shown has."""
    rows = [named_values(record) for record in records[:MAX_ROWS]]
    used = {name: value for row in rows for name, value in row.items() if value is not None}
    names = [name for name in dict.fromkeys(chain.from_iterable(rows)) if name in used and name not in HIDDEN_COLUMNS]
    if len(records) > MAX_ROWS:
        caption += f", the first {MAX_ROWS}"
    if len(names) > MAX_COLUMNS:
        caption += f", {MAX_COLUMNS} of {show_count(len(names), 'column')}"
    names = names[:MAX_COLUMNS]
    head = "".join(_cell("th", name, like=used[name]) for name in names)
    return _table(caption, head, ([_cell("td", row.get(name)) for name in names] for row in rows))


def html_fields(caption: str, fields: Mapping[str, Any]) -> str:
    """A row for each field that is not blank, and for each field of an object within, under its dotted name."""
    rows = [[_cell("th", name), _cell("td", _show(value))] for name, value in _flatten(fields) if _show(value)]
    return _table(caption, "", rows)


def _flatten(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", part) for inner, part in islice(value.items(), MAX_ITEMS))
        else:
            yield name, value


def named_values(value: Any) -> Mapping[str, Any]:
    """The fields of a struct, the items of a mapping; any other value under the empty name."""
    if isinstance(value, Mapping):
        return value
    names = getattr(value, "__struct_fields__", None)
    return {"": value} if names is None else {name: getattr(value, name) for name in names}


def _table(caption: str, head: str, rows: Iterable[list[str]]) -> str:
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f"<table>{_align('caption', caption)}{head}<tbody>{body}</tbody></table>"


def _cell(tag: str, value: Any, *, like: Any = None) -> str:
    shown = value if like is None else like
    is_number = isinstance(shown, int | Decimal) and not isinstance(shown, bool)
    return _align(tag, _cut(_show(value)), side="right" if is_number else "left")


def _align(tag: str, text: str, *, side: str = "left") -> str:
    return f'<{tag} style="text-align:{side}">{_escape(text)}</{tag}>'


def _show(value: Any, depth: int = 0) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return show_date(value)
    if isinstance(value, Decimal):
        return show_money(value)
    if isinstance(value, list | tuple):
        parts: Iterable[tuple[str, Any]] = (("", part) for part in value)
    elif isinstance(value, Mapping) or hasattr(value, "__struct_fields__"):
        parts = ((f"{name}: ", part) for name, part in named_values(value).items() if part is not None)
    else:
        return str(value)
    if depth == MAX_DEPTH:
        return "…"
    text = ", ".join(f"{label}{_show(part, depth + 1)}" for label, part in islice(parts, MAX_ITEMS))
    return f"({text})" if depth else text


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def _escape(text: str) -> str:
    # A text of the API can hold half of a character, which Jupyter cannot encode.
    return escape(text.encode(errors="replace").decode())


class NotebookProgress:
    """A bar in a notebook, updated in place: `await export(…, on_progress=NotebookProgress())`.

    For records in a loop, call it after each batch: `progress(lines.rows, lines.total, lines.seconds_left)`. It needs
    no widgets.
    """

    def __init__(self, title: str = "") -> None:
        try:
            from IPython.display import display
        except ImportError:
            raise ConfigurationError("NotebookProgress needs IPython: pip install ipython") from None
        self._title, self._meter = title, Meter()
        self._display: Any = display
        self._shown: Any = None
        self._share = ""

    def __call__(self, rows: int, total: int | None, seconds_left: float | None) -> None:
        self._meter.update(rows, total, seconds_left)
        self._share = f' value="{rows}" max="{total}"' if total else ""
        if self._shown is None:
            self._shown = self._display(self, display_id=True)
        else:
            self._shown.update(self)

    def __repr__(self) -> str:
        return ": ".join(filter(None, (self._title, self._meter.describe())))

    def _repr_html_(self) -> str:
        return f"<progress{self._share}></progress> {_escape(repr(self))}"
