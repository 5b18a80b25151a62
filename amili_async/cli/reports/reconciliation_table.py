"""Reconciliations for people: payouts that agree as one line or per category, and each differing payout in full.

Invariant: no digit is cut off or rounded away, however narrow the terminal is.
"""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from amili_async.cli.console import (
    PlainConsole,
    column_width,
    fit_table,
    plain_table,
    print_dropped,
    printable,
    table_width,
)
from amili_async.cli.reports.reconciliation_words import Comparison, Overview, compare, explain, has_row_difference
from amili_async.readable import show_date, show_money
from amili_async.reconciliation.comparison import Reconciliation, Sums

_SUMS = ("Amount", "VAT", "Total")
_HEADINGS = ("Reconciled", "Specifications", "Currency", *_SUMS)
_CATEGORY_HEADINGS = ("Category", "Payouts", "Specifications", *_SUMS, "Reconciled")
_NARROW = "Specifi-\ncations"
_SIDES = ("Stated", "Found", "Difference")
_ROW_NOTE = "Of a specification, what is stated is total_amount, and what was found is amount + vat_amount."
_INDENT = "  "


def print_report(console: PlainConsole, overview: Overview, differing: Sequence[Reconciliation]) -> None:
    """The payouts that agree, each differing one, and the summary."""
    if overview.agreeing:
        rows = [
            (f"{payouts:,}", f"{sums.count:,}", printable(currency) or "none", *_show_sums(sums))
            for currency, (payouts, sums) in sorted(overview.agreeing.items())
        ]
        optional = ("Amount", "VAT", "Currency", _NARROW)
        _print_fitting(console, _HEADINGS, rows, left=("Currency",), optional=optional)
        console.print()
    print_differing(console, differing)
    console.print(Text(overview.summarize()), soft_wrap=True)


def print_differing(console: PlainConsole, differing: Sequence[Reconciliation]) -> None:
    """Each differing payout in full."""
    for reconciliation in differing:
        for part in _show_differing(reconciliation, width=console.width):
            console.print(part, soft_wrap=isinstance(part, Text))
        console.print()
    if any(map(has_row_difference, differing)):
        console.print(Text(_ROW_NOTE, style="dim"), soft_wrap=True)


def print_categories(console: PlainConsole, reconciliations: Sequence[Reconciliation]) -> None:
    """A line per finance category of the existing payouts, and one for all of them."""
    groups: dict[str, list[Reconciliation]] = {}
    existing = [each for each in reconciliations if each.payout is not None]
    for each in existing:
        category = getattr(each.payout, "finance_category", None) or "none"
        groups.setdefault(printable(category).replace("_", " "), []).append(each)
    rows: list[Sequence[str | Text]] = [_sum_category(category, groups[category]) for category in sorted(groups)]
    rows.append([Text(cell, style="bold") for cell in _sum_category("all", existing)])
    left = ("Category", "Reconciled")
    _print_fitting(console, _CATEGORY_HEADINGS, rows, left=left, optional=("Amount", "VAT"))


def _sum_category(category: str, group: Sequence[Reconciliation]) -> tuple[str, ...]:
    sums = sum((each.sums for each in group), Sums())
    agreeing = sum(each.agrees for each in group)
    verdict = "yes" if agreeing == len(group) else f"no: {agreeing:,} of {len(group):,}"
    return category, f"{len(group):,}", f"{sums.count:,}", *_show_sums(sums), verdict


def _print_fitting(
    console: PlainConsole,
    headings: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    *,
    left: Sequence[str],
    optional: Sequence[str],
) -> None:
    """Print a table whose widest heading is broken before a column is dropped."""
    table, dropped = fit_table(headings, rows, left=left, width=console.width)
    if dropped:
        narrow = [_NARROW if heading == "Specifications" else heading for heading in headings]
        table, dropped = fit_table(narrow, rows, left=left, optional=optional, width=console.width)
    console.print(table)
    print_dropped(console, ["Specifications" if name == _NARROW else name for name in dropped])


def _show_sums(sums: Sums) -> tuple[str, str, str]:
    return show_money(sums.amount), show_money(sums.vat_amount), show_money(sums.total_amount)


def _show_differing(reconciliation: Reconciliation, *, width: int) -> Iterator[RenderableType]:
    """Everything that is wrong with one payout, under a line that names it."""
    yield Text(_name_payout(reconciliation), style="bold")
    for sentence in explain(reconciliation):
        yield Text(sentence, style="red")
    if comparisons := compare(reconciliation):
        yield from _show_compared(comparisons, width=width)


def _name_payout(reconciliation: Reconciliation) -> str:
    """Its id, reference, date and category, as far as it has them."""
    payout = reconciliation.payout
    parts: list[str | None] = [reconciliation.payout_id]
    if payout is not None:
        date = None if payout.payout_date is None else show_date(payout.payout_date)
        parts += [payout.payout_reference, date, payout.finance_category]
    return _INDENT.join(printable(part) for part in parts if part)


def _show_compared(comparisons: Sequence[Comparison], *, width: int) -> Iterator[RenderableType]:
    """The stated and found numbers side by side, or below one another where they do not fit."""
    headings = ("", *_SIDES, "") if any(each.note for each in comparisons) else ("", *_SIDES)
    rows = [(each.name, each.stated, each.found, each.gap, each.note)[: len(headings)] for each in comparisons]
    if table_width([column_width(heading, [row[at] for row in rows]) for at, heading in enumerate(headings)]) <= width:
        table = plain_table()
        for heading in headings:
            table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
        for row in rows:
            table.add_row(*map(Text, row))
        yield table
        return
    for each in comparisons:
        yield Text(each.name)
        numbers = (each.stated, each.found, each.gap)
        longest = max(map(len, numbers))
        for side, number in zip(_SIDES, numbers, strict=True):
            yield Text(f"{_INDENT}{side.lower():<10}{_INDENT}{number:>{longest}}".rstrip())
        if each.note:
            yield Text(f"{_INDENT}{each.note}")
