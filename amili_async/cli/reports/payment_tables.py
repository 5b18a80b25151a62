"""Payments as tables: a plan of what would be registered, and the payments that need attention.

Invariant: no reference, id or amount is cut off, and no text of a record steers the terminal.
"""

from collections.abc import Sequence
from decimal import Decimal

from rich.text import Text

from amili_async.cli.console import PlainConsole, fit_table, print_dropped
from amili_async.cli.payment_csv import PaymentRow
from amili_async.cli.reports.payment_outcomes import ADVICE, HEADINGS, ReportedOutcome
from amili_async.models import NewCreditorPayment
from amili_async.readable import show_count, show_date, show_money

_LEFT = ("Reference", "Creditor", "Case or invoice", "Bank date", "What happened", "Case found")
_MAX_COLUMN_WIDTH = 24
"""The width at which a column of the caller's own texts is folded rather than drop another column."""
FIRST_ROWS, LAST_ROWS = 30, 10
"""The rows of a plan that are printed: all of a large file take minutes, and are not read."""
MAX_FAULTY_ROWS = 1_000
"""The rows that are printed where each must be corrected; as many take a second."""


def print_problems(console: PlainConsole, problems: Sequence[ReportedOutcome]) -> None:
    """The payments that are not simply registered: what happened to each, and what to do."""
    for section, advice in ADVICE.items():
        group = [reported for reported in problems if reported.section == section]
        if not group:
            continue
        console.print(Text(f"{HEADINGS.get(section, section).capitalize()}: {advice}", style="bold red"))
        descriptions = [reported.describe() for reported in group]
        cells = [
            (*_show_row(reported.line, reported.outcome.payment), description)
            for reported, description in zip(group, descriptions, strict=True)
        ]
        headings = ["Line", "Reference", "Amount", "What happened"]
        if len(group) > 1 and len(set(descriptions)) == 1:
            console.print(Text(descriptions[0]))
            headings.pop()
        console.print(fit_table(headings, [row[: len(headings)] for row in cells], left=_LEFT)[0])
        console.print()


def print_plan(
    console: PlainConsole,
    rows: Sequence[PaymentRow],
    *,
    cases: Sequence[str] = (),
    first: int = FIRST_ROWS,
    outcome: str = "nothing was sent",
) -> None:
    """The payments that would be registered, the *first* and the last, in the columns that fit, and the sum of all.

    *cases* is the text of a further column, one for each row.
    """
    headings: tuple[str, ...] = ("Line", "Reference", "Creditor", "Case or invoice", "Bank date", "Amount")
    cells = [_show_planned(row) for row in rows]
    if cases:
        headings = (*headings[:4], "Case found", *headings[4:])
        cells = [(*row[:4], case, *row[4:]) for row, case in zip(cells, cases, strict=True)]
    omitted = len(rows) - first - LAST_ROWS
    if omitted > 1:
        cells[first:-LAST_ROWS] = [("…", f"{omitted:,} more", *[""] * (len(headings) - 2))]
    optional = ("Creditor", "Bank date", "Case or invoice") if cases else ("Creditor", "Case or invoice")
    table, dropped = fit_table(
        headings, cells, left=_LEFT, optional=optional, width=console.width, max_column=_MAX_COLUMN_WIDTH
    )
    if cells:
        console.print(table)
        console.print()
    console.print(Text(f"{sum_up(rows)}; {outcome}"), soft_wrap=True)
    print_dropped(console, dropped)


def _show_planned(row: PaymentRow) -> tuple[str, ...]:
    line, reference, amount = _show_row(row.line, row.payment)
    case = str(row.payment.case or row.payment.invoice_number)
    return line, reference, row.payment.creditor, case, show_date(row.payment.bank_transaction_date), amount


def sum_up(rows: Sequence[PaymentRow]) -> str:
    """`57 payments, 12,345.00 SEK in total`."""
    total = sum((row.payment.amount for row in rows), Decimal(0))
    return f"{show_count(len(rows), 'payment')}, {show_money(total)} SEK in total"


def _show_row(line: int | None, payment: NewCreditorPayment) -> tuple[str, str, str]:
    # A new payment guarantees that its reference is printable.
    return f"{line or ''}", payment.creditor_payment_reference, show_money(payment.amount)
