"""Reconciliations for a person: the agreeing payouts in one line, and each differing one in full.

The law: no digit is cut off or rounded away, however narrow the terminal is.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from amili_async.cli.console import GAP, Screen, choose_columns, plain_table, width_of
from amili_async.cli.reports.reconciliation_overview import Overview, count_things
from amili_async.cli.reports.reconciliation_words import NOISE, name_article, put_in_words, show_gap, show_side
from amili_async.cli.values import show_date, show_money, show_text
from amili_async.reconcile import Difference, DifferenceKind, Reconciliation

_HEADINGS = ("Reconciled", "Specifications", "Currency", "Amount", "VAT", "Total")
_NARROW = {"Specifications": "Specifi-\ncations"}
_SPARE = ("Amount", "VAT", "Currency", *_NARROW.values())
_SIDES = ("Stated", "Found", "Difference")
_COMPARED = (DifferenceKind.TOTAL, DifferenceKind.ARTICLE, DifferenceKind.ROW)
"""The kinds that come down to two numbers."""
_TOLD = (DifferenceKind.NO_SPECIFICATIONS, DifferenceKind.FOREIGN)
"""The kinds of an existing payout that are sentences."""
_OF_A_ROW = "Of a specification, what is stated is total_amount, and what was found is amount + vat_amount."
_INDENT = "  "


def print_report(screen: Screen, overview: Overview, differing: Sequence[Reconciliation]) -> None:
    """What agrees, what differs, and the conclusion."""
    if overview.agreeing:
        screen.print(_fold_agreeing(overview, room=screen.width))
        screen.print()
    for reconciliation in differing:
        for part in show_differing(reconciliation, room=screen.width):
            screen.print(part, soft_wrap=isinstance(part, Text))
        screen.print()
    if any(found.kind is DifferenceKind.ROW for one in differing for found in one.differences):
        screen.print(Text(_OF_A_ROW, style="dim"), soft_wrap=True)
    screen.print(Text(overview.conclude()), soft_wrap=True)


def _fold_agreeing(overview: Overview, *, room: int) -> Table:
    """One line for all payouts that agree; one per currency where there are several."""
    rows = [
        (
            f"{payouts:,}",
            f"{sums.count:,}",
            show_text(currency) or "none",
            *(show_money(amount) for amount in (sums.amount, sums.vat_amount, sums.total_amount)),
        )
        for currency, (payouts, sums) in sorted(overview.agreeing.items())
    ]
    return lay_out(_HEADINGS, rows, spare=_SPARE, left=("Currency",), room=room)


def lay_out(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    spare: Sequence[str],
    left: Sequence[str],
    room: int,
    footer: Sequence[str] = (),
) -> Table:
    """A table of what fits: its widest heading is made narrow first, then the columns that can be spared go."""
    every = (*rows, footer) if footer else tuple(rows)
    shown = tuple(headings)
    kept = _fit(shown, every, spare, room)
    if len(kept) < len(shown):
        shown = tuple(_NARROW.get(heading, heading) for heading in shown)
        kept = _fit(shown, every, spare, room)
    table = plain_table()
    for heading in kept:
        table.add_column(heading, justify="left" if heading in left else "right", overflow="fold")
    for row in rows:
        table.add_row(*_choose(shown, row, kept))
    if footer:
        table.add_section()
        table.add_row(*_choose(shown, footer, kept), style="bold")
    return table


def _choose(headings: Sequence[str], row: Sequence[str], kept: Sequence[str]) -> Iterator[Text]:
    cells = dict(zip(headings, row, strict=True))
    return (Text(cells[heading]) for heading in kept)


def _fit(headings: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str], room: int) -> list[str]:
    widths = {heading: width_of(heading, [row[at] for row in rows]) for at, heading in enumerate(headings)}
    return choose_columns(widths, spare=spare, room=room)


def show_differing(reconciliation: Reconciliation, *, room: int) -> Iterator[RenderableType]:
    """Everything that is wrong with one payout, under a line that says which it is."""
    yield Text(name_payout(reconciliation), style="bold")
    if reconciliation.payout is None:
        yield Text(_explain_unknown(reconciliation), style="red")
    for difference in reconciliation.differences:
        if difference.kind in _TOLD:
            yield Text(put_in_words(difference), style="red")
    compared = [difference for difference in reconciliation.differences if difference.kind in _COMPARED]
    if compared:
        yield from _show_compared(compared, room=room)


def name_payout(reconciliation: Reconciliation) -> str:
    """Its id, its reference, its date and its category, as far as it has them."""
    payout = reconciliation.payout
    parts: list[object] = [reconciliation.payout_id]
    if payout is not None:
        date = payout.payout_date
        parts += [
            payout.payout_reference,
            show_date(date) if isinstance(date, datetime) else None,
            payout.finance_category,
        ]
    return _INDENT.join(show_text(part) for part in parts if isinstance(part, str) and part)


def _explain_unknown(reconciliation: Reconciliation) -> str:
    sums = reconciliation.sums
    they = "it comes" if sums.count == 1 else "they come"
    name = "names" if sums.count == 1 else "name"
    counted, total = count_things(sums.count, "specification"), show_money(sums.total_amount)
    return f"this payout does not exist, but {counted} {name} it; {they} to {total} with VAT"


def _show_compared(differences: Sequence[Difference], *, room: int) -> Iterator[RenderableType]:
    """What is stated and what was found: side by side, or one below the other where that does not fit."""
    is_noisy = any(difference.is_noise for difference in differences)
    headings = ("", *_SIDES, "") if is_noisy else ("", *_SIDES)
    rows = [
        (_name(difference), *_show_numbers(difference), NOISE if difference.is_noise else "")[: len(headings)]
        for difference in differences
    ]
    widths = [width_of(heading, [row[at] for row in rows]) for at, heading in enumerate(headings)]
    if sum(widths) + GAP * (len(widths) - 1) <= room:
        table = plain_table()
        for heading in headings:
            table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
        for row in rows:
            table.add_row(*map(Text, row))
        yield table
        return
    for difference in differences:
        yield Text(_name(difference))
        numbers = _show_numbers(difference)
        width = width_of("", numbers)
        for side, number in zip(_SIDES, numbers, strict=True):
            yield Text(f"{_INDENT}{side.lower():<10}{_INDENT}{number:>{width}}".rstrip())
        if difference.is_noise:
            yield Text(f"{_INDENT}{NOISE}")


def _show_numbers(difference: Difference) -> tuple[str, str, str]:
    name = difference.field
    return show_side(name, difference.stated), show_side(name, difference.found), show_gap(difference)


def _name(difference: Difference) -> str:
    if difference.kind is DifferenceKind.ROW:
        return f"specification {show_text(difference.specification or '')}"
    if difference.kind is DifferenceKind.ARTICLE:
        return f"{name_article(difference)}: {difference.field}"
    return f"{difference.field}"
