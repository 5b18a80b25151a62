"""Values and records as people read them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Any

from rich.table import Table
from rich.text import Text

from amili_async.cli.console import fit_table, printable
from amili_async.export.records import pick
from amili_async.models.json import encode_json
from amili_async.models.kinds import MONEY

MAX_DIGITS = 40
"""A number is filled up with zeros to at most so many digits."""
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


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


def show_money(amount: int | Decimal) -> str:
    """With thousands separators and at least two decimals; no digit is rounded away.

    A number that is longer than `MAX_DIGITS` only by zeros is in exponent form: `1E100000000` written out is 130 MB.
    """
    exact = Decimal(amount)
    if not exact.is_finite():
        return f"{exact}"
    exact = _EXACT.normalize(exact)
    _, digits, exponent = exact.as_tuple()
    decimals = max(0, -int(exponent))
    if max(exact.adjusted() + 1, 1) + decimals > max(MAX_DIGITS, len(digits)):
        return f"{exact:E}"
    return f"{exact:,.{max(2, decimals)}f}"


def show_date(moment: datetime) -> str:
    """A day for midnight in UTC, else the instant."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z").removesuffix("T00:00:00Z")


def show_count(number: int, thing: str) -> str:
    """`no payouts`, `1 payout`, `1,000 payouts`."""
    return f"{f'{number:,}' if number else 'no'} {thing}{'' if number == 1 else 's'}"


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
