"""`amili reconcile`: compare every payout with its specifications; a table, rows for programs, and a page."""

from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from amili_async.cli.connect import name_source, open_client
from amili_async.cli.console import write_bytes
from amili_async.cli.exit_codes import PROBLEM, run
from amili_async.cli.options import (
    ExcelOption,
    SandboxOption,
    WhereOption,
    check_matches,
    parse_where_option,
    warn_of_unknown_names,
)
from amili_async.cli.progress import show_progress
from amili_async.cli.reports.reconciliation_page import render_page
from amili_async.cli.reports.reconciliation_rows import CsvRows, JsonRows
from amili_async.cli.reports.reconciliation_table import print_report
from amili_async.cli.reports.reconciliation_words import Overview
from amili_async.cli.reports.reporter import Reporter, RowReporter, TableReporter
from amili_async.cli.resources import find_resource
from amili_async.client import AmiliClient
from amili_async.errors import AmiliError, ConfigurationError, UnreadableResponse
from amili_async.export.files import find_paths, write_file
from amili_async.reconciliation.comparison import Reconciliation


def reconcile_payouts(
    *,
    where: WhereOption = None,
    json: Annotated[bool, typer.Option("--json", help="JSON, one document per payout, exact digits.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV, one row per payout, exact digits.")] = False,
    excel: ExcelOption = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write a page for the browser, replacing FILE; - is stdout."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing unless something differs.")] = False,
    sandbox: SandboxOption = False,
) -> None:
    """Check that every payout is the sum of its specifications, to the last digit.

    Payouts that agree are one line of the table; each differing payout shows what is stated and what was found. Without
    --where, specifications of payouts that do not exist are found, too. A payout that is being booked on is shown as
    unsettled. The exit code is 0 if everything agrees and 1 if something differs or is unsettled, or nothing matches
    --where.
    """

    async def compare() -> int:
        condition, overview, source = parse_where_option(where), Overview(), name_source(sandbox=sandbox)
        warn_of_unknown_names(find_resource("payouts"), condition)
        is_stdout = str(html) == "-"
        report = _choose_reporter(overview, json=json, csv=csv, excel=excel, page=is_stdout)
        kept: list[Reconciliation] = []
        receivers = (overview.add, report.add, *([kept.append] if html else ()))
        if html and not is_stdout:
            _check_page(html)
        try:
            async with open_client(sandbox=sandbox, is_quiet=quiet) as amili:
                is_hidden = quiet or report.occupies_terminal
                total = None
                if not is_hidden:  # only the progress needs a count of the payouts
                    with suppress(UnreadableResponse):  # a server may leave out `_meta.total`
                        total = await amili.payouts.count(condition)
                await reconcile_all(amili, condition, receivers, total=total, is_hidden=is_hidden)
        except AmiliError:
            report.fail()
            raise
        report.finish(is_quiet=quiet and overview.agrees)
        if html:
            page = render_page(kept, overview, made_at=datetime.now(UTC), source=source)
            if is_stdout:
                write_bytes(page.encode())
            else:
                write_file(html, page.encode())
        is_matched = check_matches(overview.payouts, find_resource("payouts"), condition, "nothing was compared")
        return is_matched if overview.agrees else PROBLEM

    run(compare())


def _choose_reporter(overview: Overview, *, json: bool, csv: bool, excel: bool, page: bool) -> Reporter[Reconciliation]:
    chosen = [
        name for name, is_set in (("--json", json), ("--csv", csv), ("--excel", excel), ("--html -", page)) if is_set
    ]
    if len(chosen) > 1:
        raise ConfigurationError(f"{' and '.join(chosen)} cannot be combined: stdout holds one of them")
    if page:
        return RowReporter(lambda _: b"", header=b"", summarize=overview.summarize)
    if chosen:
        rows = JsonRows() if json else CsvRows(is_excel=excel)
        return RowReporter(rows.encode, header=rows.header, summarize=overview.summarize)
    return TableReporter(
        needs_attention=lambda reconciliation: not reconciliation.agrees,
        print_table=lambda console, differing: print_report(console, overview, differing),
    )


def _check_page(path: Path) -> None:
    """Reject a path that cannot become a page before anything is requested."""
    paths = find_paths(path)
    paths.check_free(may_replace=True)
    if paths.target.exists() and not paths.target.is_file():
        raise ConfigurationError(f"{path} is not a file")
    if not paths.target.parent.is_dir():
        raise ConfigurationError(f"{path} cannot be written: No such file or directory")


async def reconcile_all(
    amili: AmiliClient,
    where: dict[str, Any] | None,
    receivers: Sequence[Callable[[Reconciliation], None]],
    *,
    total: int | None,
    is_hidden: bool = False,
) -> None:
    """Pass each reconciliation to *receivers* and show the progress unless *is_hidden*."""
    done = 0
    with show_progress("payouts", is_quiet=is_hidden) as report:
        async with aclosing(amili.reconcile(where)) as reconciliations:
            async for reconciliation in reconciliations:
                for receive in receivers:
                    receive(reconciliation)
                done += reconciliation.payout is not None
                report(done, total, None)
