"""Payments as tables: those that are to be registered, and those that are not simply registered.

The law: no reference, id or amount is cut off, and nothing in a record steers the terminal.
"""

from collections.abc import Sequence
from decimal import Decimal

from msgspec import UNSET
from rich.table import Table
from rich.text import Text

from amili_async.cli.console import Screen, choose_columns, plain_table, width_of
from amili_async.cli.payment_csv import PaymentRow
from amili_async.cli.reports.payment_outcomes import ADVICE, Told, name_section
from amili_async.cli.reports.reconciliation_overview import count_things
from amili_async.cli.values import show_date, show_money
from amili_async.models import NewCreditorPayment

_FOLDED = 24
"""How wide a text that the caller chose may make its column before it is folded."""


def print_troubled(screen: Screen, troubled: Sequence[Told]) -> None:
    """Which payments are not simply registered, what happened to each, and what to do."""
    for section, advice in ADVICE.items():
        group = [told for told in troubled if told.section == section]
        if not group:
            continue
        screen.print(Text(f"{name_section(section).capitalize()}: {advice}", style="bold red"))
        happened = [told.describe() for told in group]
        cells = [
            (_show_line(told.line), *_show_payment(told.outcome.payment), what)
            for told, what in zip(group, happened, strict=True)
        ]
        headings = ["Line", "Reference", "Amount", "What happened"]
        if len(group) > 1 and len(set(happened)) == 1:
            screen.print(Text(happened[0]))
            headings.pop()
        screen.print(_lay_out(headings, cells))
        screen.print()


def print_plan(screen: Screen, rows: Sequence[PaymentRow]) -> None:
    """What would be registered, in the columns for which there is room, and how much it is in all."""
    headings = ("Line", "Reference", "Creditor", "Case or invoice", "Bank date", "Amount")
    cells = [
        (_show_line(row.line), reference, row.payment.creditor, *_show_rest(row.payment), amount)
        for row in rows
        for reference, amount in [_show_payment(row.payment)]
    ]
    widths = {name: min(width_of(name, [row[at] for row in cells]), _FOLDED) for at, name in enumerate(headings)}
    kept = choose_columns(widths, spare=("Creditor", "Case or invoice"), room=screen.width)
    at = [headings.index(name) for name in kept]
    if cells:
        screen.print(_lay_out(kept, [[row[each] for each in at] for row in cells]))
        screen.print()
    screen.print(Text(f"{sum_up(rows)}; nothing was sent"), soft_wrap=True)
    if len(kept) < len(headings):
        left_out = ", ".join(name for name in headings if name not in kept)
        screen.print(Text(f"not shown, for want of room: {left_out}", style="dim"), soft_wrap=True)


def sum_up(rows: Sequence[PaymentRow]) -> str:
    """`57 payments, 12,345.00 SEK in all`."""
    total = sum((row.payment.amount for row in rows), Decimal(0))
    return f"{count_things(len(rows), 'payment')}, {show_money(total)} SEK in all"


def _lay_out(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> Table:
    """A table that is folded rather than cut, its widest columns first."""
    table = plain_table()
    for heading in headings:
        table.add_column(heading, justify="right" if heading in ("Line", "Amount") else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row[: len(headings)]))
    return table


def _show_line(line: int | None) -> str:
    return "" if line is None else f"{line}"


def _show_payment(payment: NewCreditorPayment) -> tuple[str, str]:
    """Its reference, which is printable as all its texts are, and its amount."""
    return payment.creditor_payment_reference, show_money(payment.amount)


def _show_rest(payment: NewCreditorPayment) -> tuple[str, str]:
    case = payment.invoice_number if payment.case is UNSET else payment.case
    return str(case), show_date(payment.bank_transaction_date)
