"""`amili pay`: one payment from options, or many from a csv file, so that a second run registers nothing twice."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Annotated

import typer
from rich.text import Text

from amili_async.cli.connect import name_source, open_client
from amili_async.cli.console import Screen
from amili_async.cli.exit_codes import INTERRUPTED, NOT_RIGHT, REFUSED, USAGE, abandon_stdout, complain, run
from amili_async.cli.options import SandboxOption
from amili_async.cli.payment_csv import EITHER, PaymentRow, read_bytes, read_payment, read_payments
from amili_async.cli.progress import show_progress
from amili_async.cli.reports.payment_outcomes import Kind, Tally, Told
from amili_async.cli.reports.payment_tables import print_plan, print_troubled, sum_up
from amili_async.errors import AmiliError, ConfigurationError
from amili_async.models import NewCreditorPayment

MOST_FAULTS = 20
"""Faults of a file that are told one by one."""
AGAIN = "run the same command again: by their references, what is registered already is found and not sent again"
"""What to do where some payments were not sent."""
LATER = f"wait some minutes, then {AGAIN}"
"""What to do where a payment may still be on its way."""
_OPTIONS = {
    "creditor": "--creditor",
    "case": "--case",
    "invoice_number": "--invoice-number",
    "amount": "--amount",
    "bank_transaction_date": "--bank-date",
    "creditor_payment_reference": "--reference",
    "client_registration_date": "--registered",
    EITHER: "--case or --invoice-number",
}


def register_payments(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="A csv file; - is standard input.", show_default=False)
    ] = None,
    *,
    creditor: Annotated[str | None, typer.Option(metavar="ID", help="The creditor.", show_default=False)] = None,
    case: Annotated[str | None, typer.Option(metavar="ID", help="The case, or …", show_default=False)] = None,
    invoice_number: Annotated[
        str | None, typer.Option(metavar="TEXT", help="… the invoice by which it is found.", show_default=False)
    ] = None,
    amount: Annotated[str | None, typer.Option(metavar="SEK", help="Such as 100.50.", show_default=False)] = None,
    bank_date: Annotated[
        str | None, typer.Option(metavar="DATE", help="When the bank booked it: 2025-07-04.", show_default=False)
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Its own: by it a second run finds the payment.", show_default=False),
    ] = None,
    registered: Annotated[
        str | None, typer.Option(metavar="DATE", help="When the creditor registered it.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and show everything, send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; it asks only on a terminal.")] = False,
    concurrency: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Requests at a time.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON, one document per outcome, as it comes.")] = False,
    sandbox: SandboxOption = False,
) -> None:
    """Register creditor payments: one from options, or many from a csv file.

    The file's header has the API's names: creditor, case or invoice_number, amount, bank_transaction_date and
    creditor_payment_reference; client_registration_date, currency and origin if wanted. All of it is checked before
    anything is sent. Run again, the same command registers nothing twice: what is registered is found by creditor and
    reference. After an interruption wait some minutes first, since a payment may still be on its way; and never run
    it twice at the same time. The exit code is 1 if a payment is refused or not completed, and 3 if it is unknown
    whether one is registered, or the API could not be reached.
    """
    cells = {
        "creditor": creditor,
        "case": case,
        "invoice_number": invoice_number,
        "amount": amount,
        "bank_transaction_date": bank_date,
        "creditor_payment_reference": reference,
        "client_registration_date": registered,
    }
    try:
        if dry_run and json:
            raise ConfigurationError("--dry-run and --json cannot go together: what is not sent has no outcome")
        rows = _read(file, {name: text for name, text in cells.items() if text is not None})
        if not (dry_run or yes or _is_agreed(rows, name_source(sandbox=sandbox))):
            complain("nothing was sent")
            raise typer.Exit(NOT_RIGHT)
    except ConfigurationError as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None
    except KeyboardInterrupt:
        complain("interrupted; nothing was sent")
        raise typer.Exit(INTERRUPTED) from None
    if dry_run:
        run(_show_plan(rows))
    source = name_source(sandbox=sandbox)
    report: _Table | _Lines = _Lines(source) if json else _Table(source)
    run(_register(rows, report, concurrency=concurrency, sandbox=sandbox), advice=lambda: LATER)


class _Table:
    """Printed at the end: one line for the payments that are right, and all others one by one."""

    is_on_screen = False

    def __init__(self, source: str) -> None:
        self.tally = Tally()
        self._source = source
        self._troubled: list[Told] = []
        self._last: Told | None = None

    def take(self, told: Told) -> None:
        self.tally.add(told)
        self._last = told
        if told.section not in (Kind.REGISTERED, Kind.FOUND):
            self._troubled.append(told)

    def conclude(self, total: int) -> None:
        screen = Screen()
        print_troubled(screen, self._troubled)
        if self._last and total == 1 and not self._troubled:
            screen.print(Text(self._last.describe()), soft_wrap=True)
        screen.print(Text(_conclude(self.tally, total, self._source)), soft_wrap=True)


class _Lines:
    """Written as they come, since they are the record of what happened; stdout holds nothing else."""

    def __init__(self, source: str) -> None:
        self.tally = Tally()
        self._source = source
        self.is_on_screen = sys.stdout.isatty()  # where a progress bar would run into them

    def take(self, told: Told) -> None:
        self.tally.add(told)
        sys.stdout.buffer.write(told.encode())
        sys.stdout.buffer.flush()

    def conclude(self, total: int) -> None:
        complain(_conclude(self.tally, total, self._source))


def _conclude(tally: Tally, total: int, source: str) -> str:
    return f"{tally.conclude(total)} ({source})" if total else tally.conclude(total)


def _read(file: str | None, given: Mapping[str, str]) -> tuple[PaymentRow, ...]:
    """The payments of the file, or the one of the options; ends the command with all that is wrong with them."""
    if file is not None and given:
        raise ConfigurationError("give either a csv FILE or the options of one payment, not both")
    if file is None and not given:
        raise ConfigurationError("give either a csv FILE, or --creditor, --amount and the like of one payment")
    if file is not None:
        read = read_payments(read_bytes(file))
        _refuse(read.faults)
        return read.rows
    payment = read_payment(given)
    if isinstance(payment, NewCreditorPayment):
        return (PaymentRow(payment=payment),)
    _refuse([f"{_OPTIONS[name]}: {fault}" for name, fault in payment.items()])
    return ()


def _refuse(faults: Sequence[str]) -> None:
    """End the command if there are any."""
    for fault in faults[:MOST_FAULTS]:
        complain(fault)
    if len(faults) > MOST_FAULTS:
        complain(f"and {len(faults) - MOST_FAULTS:,} more")
    if faults:
        raise typer.Exit(USAGE)


def _is_agreed(rows: Sequence[PaymentRow], source: str) -> bool:
    """Whether the person at the terminal wants it; where nobody can be asked, yes."""
    if not (rows and sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    sys.stderr.write(f"Register {sum_up(rows)} ({source})? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


async def _show_plan(rows: Sequence[PaymentRow]) -> None:
    print_plan(Screen(), rows)


async def _register(
    rows: Sequence[PaymentRow], report: _Table | _Lines, *, concurrency: int | None, sandbox: bool
) -> int:
    """Register them and tell what came of it, also where it ends early."""
    try:
        if rows:
            await _go_through(rows, report, concurrency=concurrency, sandbox=sandbox)
    finally:
        if report.tally.told or not rows:
            with _needing_stdout():
                report.conclude(len(rows))
    if report.tally.exit_code == REFUSED:
        complain(LATER if report.tally.is_in_doubt else AGAIN)
    return report.tally.exit_code


async def _go_through(
    rows: Sequence[PaymentRow], report: _Table | _Lines, *, concurrency: int | None, sandbox: bool
) -> None:
    async with open_client(sandbox=sandbox, is_quiet=report.is_on_screen) as amili:
        payments = [row.payment for row in rows]
        with show_progress("payments", is_quiet=report.is_on_screen) as tell:
            tell(0, len(rows), None)
            async with aclosing(amili.creditor_payments.create_many(payments, concurrency=concurrency)) as outcomes:
                async for outcome in outcomes:
                    with _needing_stdout():
                        report.take(Told(line=rows[report.tally.told].line, outcome=outcome))
                    tell(report.tally.told, len(rows), None)


@contextmanager
def _needing_stdout() -> Iterator[None]:
    """End with an error where the outcomes cannot be written, be it that their reader left."""
    try:
        yield
    except OSError as error:
        abandon_stdout()
        raise AmiliError(f"the outcomes cannot be written: {error.strerror or type(error).__name__}") from None
