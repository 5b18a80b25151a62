"""`amili pay`: register one payment from options or many from a CSV file; a second run registers nothing twice."""

import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, aclosing, contextmanager
from functools import partial
from typing import Annotated, Any, TypeVar

import typer
from msgspec.structs import replace
from rich.text import Text

from amili_async.cli.claims import ClaimsOption, open_claims
from amili_async.cli.connect import name_source, open_client
from amili_async.cli.console import PlainConsole
from amili_async.cli.exit_codes import (
    API_FAILED,
    INTERRUPTED,
    PROBLEM,
    SUCCESS,
    USAGE,
    call,
    print_error,
    run,
    silence_stdout,
)
from amili_async.cli.options import SandboxOption
from amili_async.cli.payment_checks import StatusReasons, check_cases, find_creditor_ids
from amili_async.cli.payment_csv import (
    CASE_OR_INVOICE,
    CreditorIds,
    PaymentFile,
    PaymentRow,
    find_creditor_numbers,
    is_number,
    parse_payment,
    parse_payments,
)
from amili_async.cli.payment_input import read_input
from amili_async.cli.progress import show_progress
from amili_async.cli.reports.payment_outcomes import ADVICE, OutcomeCounts, ReportedOutcome
from amili_async.cli.reports.payment_tables import FIRST_ROWS, MAX_FAULTY_ROWS, print_plan, print_problems, sum_up
from amili_async.cli.reports.reporter import Reporter, RowReporter, TableReporter
from amili_async.client import AmiliClient
from amili_async.errors import AmiliError, ConfigurationError
from amili_async.models import NewCreditorPayment
from amili_async.readable import show_count

T = TypeVar("T")

MAX_FAULTS = 20
"""Faults of a file that are printed one by one."""
RUN_AGAIN = "run the same command again: registered payments are found by their references and not sent again"
"""What to do where some payments were not sent."""
WAIT_AND_RUN_AGAIN = f"wait some minutes, then {RUN_AGAIN}"
"""What to do where a payment may still be in flight."""
_OPTIONS = {
    "creditor": "--creditor",
    "case": "--case",
    "invoice_number": "--invoice-number",
    "amount": "--amount",
    "bank_transaction_date": "--bank-date",
    "creditor_payment_reference": "--reference",
    "client_registration_date": "--registered",
}


def register_payments(
    file: Annotated[str | None, typer.Argument(metavar="FILE", help="A CSV file; - is standard input.")] = None,
    *,
    creditor: Annotated[
        str | None, typer.Option(metavar="ID", help="Id, creditor number or organisation number.")
    ] = None,
    case: Annotated[str | None, typer.Option(metavar="ID", help="Id of the case; or --invoice-number.")] = None,
    invoice_number: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Invoice number that identifies the case; or --case.")
    ] = None,
    amount: Annotated[str | None, typer.Option(metavar="SEK", help="Amount, such as 100.50.")] = None,
    bank_date: Annotated[
        str | None, typer.Option(metavar="DATE", help="Day or time of the bank transaction: 2025-07-04.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Unique reference; a second run finds the payment by it.")
    ] = None,
    registered: Annotated[
        str | None, typer.Option(metavar="DATE", help="Day or time at which the creditor registered it.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Send nothing unless each payment belongs to exactly one open case."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and show everything, send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation on a terminal.")] = False,
    concurrency: Annotated[int | None, typer.Option(metavar="N", min=1, help="At most N requests in flight.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON, one document per outcome, written at once.")] = False,
    any_date: Annotated[
        bool, typer.Option("--any-date", help="Accept dates over 7 days ahead or over 10 years ago.")
    ] = False,
    claims: ClaimsOption = None,
    sandbox: SandboxOption = False,
) -> None:
    """Register one creditor payment from options, or many from a CSV file.

    The file's header has the API's names: creditor, case or invoice_number, amount, bank_transaction_date and
    creditor_payment_reference; optionally client_registration_date, currency, origin and account. A creditor is an id,
    a creditor number or an organisation number, which exactly one creditor must have. The whole file is checked before
    anything is sent. Run again, the same command registers nothing twice: registered payments are found by
    creditor and reference. After an interruption wait some minutes first, because a payment may still be in flight. A
    second run of the same file at the same time is rejected; never run a copy of the file, or one payment, twice at the
    same time, unless both runs have the same --claims. The exit code is 1 if a payment is rejected or not completed,
    and 3 if it is unknown whether one is registered, or the API could not be reached.
    """
    values = (creditor, case, invoice_number, amount, bank_date, reference, registered)
    texts = {name: text for name, text in zip(_OPTIONS, values, strict=True) if text is not None}
    with ExitStack() as held:
        try:
            if dry_run and json:
                raise ConfigurationError("--dry-run and --json cannot be combined: unsent payments have no outcome")
            source = name_source(sandbox=sandbox)
            rows = _read(file, texts, held=None if dry_run else held, any_date=any_date, sandbox=sandbox)
            if check and rows:
                _check(rows, is_dry_run=dry_run, sandbox=sandbox)
            if not (dry_run or yes or _confirm(rows, source)):
                print_error("nothing was sent")
                raise typer.Exit(PROBLEM)
        except ConfigurationError as error:
            print_error(str(error))
            raise typer.Exit(USAGE) from None
        except KeyboardInterrupt:
            print_error("interrupted; nothing was sent")
            raise typer.Exit(INTERRUPTED) from None
        if dry_run:
            run(_show_plan(rows))
        counts = OutcomeCounts(len(rows), source)
        registration = _register(
            rows,
            counts,
            _choose_reporter(counts, is_json=json),
            concurrency=concurrency,
            claims=claims,
            sandbox=sandbox,
        )
        run(registration, advice=lambda _: WAIT_AND_RUN_AGAIN)


def _choose_reporter(counts: OutcomeCounts, *, is_json: bool) -> Reporter[ReportedOutcome]:
    if is_json:
        return RowReporter(ReportedOutcome.encode, header=b"", summarize=counts.summarize, needs_reader=True)

    def print_table(console: PlainConsole, kept: Sequence[ReportedOutcome]) -> None:
        print_problems(console, kept)
        if counts.total == 1 and kept and kept[0].section not in ADVICE:
            console.print(Text(kept[0].describe()), soft_wrap=True)
        console.print(Text(counts.summarize()), soft_wrap=True)

    return TableReporter(
        needs_attention=lambda reported: counts.total == 1 or reported.section in ADVICE, print_table=print_table
    )


def _read(
    file: str | None, texts: Mapping[str, str], *, held: ExitStack | None, any_date: bool, sandbox: bool
) -> tuple[PaymentRow, ...]:
    """The payments of the file, or the one of the options; prints every fault and exits where there is one."""
    if file is not None and texts:
        raise ConfigurationError("FILE and the options of one payment cannot be combined")
    if file is None and not texts:
        raise ConfigurationError("give a CSV FILE, or one payment by --creditor, --amount and so on (see --help)")
    parse: Callable[..., PaymentFile]
    if file is not None:
        content = read_input(file, held=held)
        numbers, parse = find_creditor_numbers(content), partial(parse_payments, content, any_date=any_date)
    else:
        numbers = tuple(filter(is_number, (texts.get("creditor", ""),)))
        parse = partial(_parse_options, texts, any_date=any_date)
    # First with placeholders: a fault that needs no request is reported without one.
    parsed = parse(creditors={number: [f"{at:024x}"] for at, number in enumerate(numbers)})
    _reject(parsed.faults)
    if numbers:
        parsed = parse(creditors=call(_request(lambda amili: find_creditor_ids(amili, numbers), sandbox=sandbox)))
        _reject(parsed.faults)
    return parsed.rows


def _parse_options(texts: Mapping[str, str], *, any_date: bool, creditors: CreditorIds) -> PaymentFile:
    payment = parse_payment(texts, any_date=any_date, creditors=creditors)
    if isinstance(payment, NewCreditorPayment):
        return PaymentFile(rows=(PaymentRow(payment=payment),))
    options = _OPTIONS | {CASE_OR_INVOICE: "--case or --invoice-number"}
    return PaymentFile(faults=tuple(f"{options[name]}: {fault}" for name, fault in payment.items()))


async def _request(ask: Callable[[AmiliClient], Coroutine[Any, Any, T]], *, sandbox: bool) -> T:
    async with open_client(sandbox=sandbox) as amili:
        return await ask(amili)


def _check(rows: Sequence[PaymentRow], *, is_dry_run: bool, sandbox: bool) -> None:
    """Show the case of each payment; exits where one has none, and after a dry run."""
    checked = call(_request(lambda amili: check_cases(amili, rows), sandbox=sandbox))
    faulty = [each for each in checked if each.fault]
    outcome = f"{show_count(len(faulty), 'payment')} without exactly one open case" if faulty else "one open case each"
    is_over = is_dry_run or bool(faulty)
    # On stderr before a registration, because stdout may be the record of the outcomes.
    print_plan(
        PlainConsole(stderr=not is_dry_run),
        [each.row for each in faulty or checked],
        cases=[each.describe() for each in faulty or checked],
        first=MAX_FAULTY_ROWS if faulty else FIRST_ROWS,
        outcome=f"{outcome}; nothing was sent" if is_over else outcome,
    )
    if is_over:
        raise typer.Exit(PROBLEM if faulty else SUCCESS)


def _reject(faults: Sequence[str]) -> None:
    for fault in faults[:MAX_FAULTS]:
        print_error(fault)
    if len(faults) > MAX_FAULTS:
        print_error(f"and {show_count(len(faults) - MAX_FAULTS, 'more fault')}")
    if faults:
        raise typer.Exit(USAGE)


def _confirm(rows: Sequence[PaymentRow], source: str) -> bool:
    """Whether the person at the terminal confirms; without a terminal there is no question."""
    if not (rows and sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    # The question is on stderr, because stdout may be the record of the outcomes.
    sys.stderr.write(f"Register {sum_up(rows)} ({source})? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")  # the end of input is an empty line, which is a no


async def _show_plan(rows: Sequence[PaymentRow]) -> None:
    print_plan(PlainConsole(), rows)


async def _register(
    rows: Sequence[PaymentRow],
    counts: OutcomeCounts,
    report: Reporter[ReportedOutcome],
    *,
    concurrency: int | None,
    claims: str | None,
    sandbox: bool,
) -> int:
    """Register the payments and report the outcomes, also when the run ends early."""
    is_hidden, payments = report.occupies_terminal, [row.payment for row in rows]
    try:
        async with AsyncExitStack() as stack:
            if rows:
                amili = await stack.enter_async_context(open_client(sandbox=sandbox, is_quiet=is_hidden))
                store = await stack.enter_async_context(open_claims(claims))
                report_progress = stack.enter_context(show_progress("payments", is_quiet=is_hidden))
                report_progress(0, len(rows), None)
                reasons = StatusReasons(amili)
                outcomes = amili.creditor_payments.create_many(payments, concurrency=concurrency, claims=store)
                async for outcome in await stack.enter_async_context(aclosing(outcomes)):
                    reported = ReportedOutcome(line=rows[counts.reported].line, outcome=outcome)
                    try:
                        key = None if outcome.created is None else outcome.created.status_reason_locale
                        reported = replace(reported, reason=await reasons.find(key))
                    finally:  # reported without the reason if the run is interrupted
                        counts.add(reported)
                        with _requiring_stdout():
                            report.add(reported)
                    report_progress(counts.reported, len(rows), None)
    finally:
        # Without any outcome the error is the whole report.
        if counts.reported or not rows:
            with _requiring_stdout():
                report.finish()
    if counts.exit_code == API_FAILED:
        print_error(WAIT_AND_RUN_AGAIN if counts.is_in_doubt else RUN_AGAIN)
    return counts.exit_code


@contextmanager
def _requiring_stdout() -> Iterator[None]:
    """Raise `AmiliError` where the outcomes cannot be written, a closed pipe included."""
    try:
        yield
    except OSError as error:
        silence_stdout()
        raise AmiliError(f"the outcomes cannot be written: {error.strerror or type(error).__name__}") from None
