"""`amili reconcile`: every payout held to its specifications, as a table, as rows for programs, and as a page."""

import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from amili_async.cli.arguments import SandboxOption, read_where
from amili_async.cli.endings import GOOD, NOT_RIGHT, abandon_stdout, complain, run
from amili_async.cli.page import render_page
from amili_async.cli.progress import show_progress
from amili_async.cli.reconciliation_overview import Overview
from amili_async.cli.reconciliation_rows import CsvRows, JsonRows, Rows
from amili_async.cli.reconciliation_table import print_report
from amili_async.cli.replacing import replace_at_end
from amili_async.cli.screen import Screen
from amili_async.cli.sources import name_source, open_client
from amili_async.client import AmiliClient
from amili_async.errors import AmiliError, ConfigurationError, UnreadableResponse
from amili_async.export.files import raising_export_failed
from amili_async.reconciliation.comparison import Reconciliation

_Take = Callable[[Reconciliation], None]


def reconcile_payouts(
    *,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="""Which payouts, in the API's own JSON; dates may be ISO: {"payout_date": {"$gte": "2025-06-01"}}.""",
            show_default=False,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON, one document per payout, with exact digits.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV, one row per payout, with exact digits.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also make a page for the browser; replaces the file.", show_default=False),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, and nothing said when all is well.")] = False,
    sandbox: SandboxOption = False,
) -> None:
    """Hold every payout to the specifications that it is the sum of, to the last digit.

    Payouts that agree are one line of the table; of each other one it says what is stated and what was found. Without
    --where it also finds specifications that name a payout that does not exist. The exit code is 0 if everything
    agrees, and 1 if something differs.
    """

    async def compare() -> int:
        condition, report = read_where(where), _choose_report(json=json, csv=csv)
        with _keep_for_page(html, source=name_source(sandbox=sandbox)) as keep:
            try:
                async with open_client(sandbox=sandbox, is_quiet=quiet) as amili:
                    is_hidden = quiet or report.is_on_screen
                    await _go_through(amili, condition, (report.take, keep), is_hidden=is_hidden)
            except AmiliError:
                report.break_off()
                raise
            report.conclude(is_silent=quiet and report.overview.agrees)
        return GOOD if report.overview.agrees else NOT_RIGHT

    run(compare())


class _Table:
    """Printed at the end, since its first line is of all payouts that agree."""

    is_on_screen = False

    def __init__(self) -> None:
        self.overview = Overview()
        self._differing: list[Reconciliation] = []

    def take(self, reconciliation: Reconciliation) -> None:
        self.overview.add(reconciliation)
        if not reconciliation.agrees:
            self._differing.append(reconciliation)

    def conclude(self, *, is_silent: bool) -> None:
        if not is_silent:
            print_report(Screen(), self.overview, self._differing)

    def break_off(self) -> None:
        """What was found to differ is told, although there is more that was not compared."""
        if self._differing:
            self.conclude(is_silent=False)
            complain("unfinished: what stands above was compared before it failed")


class _Lines:
    """Written as they come, so that what is there stays if the API fails; stdout holds nothing else."""

    def __init__(self, rows: Rows) -> None:
        self.overview = Overview()
        self.is_on_screen = sys.stdout.isatty()  # where a progress bar would run into them
        self._is_read = True
        self._rows = rows
        self._header = rows.header

    def take(self, reconciliation: Reconciliation) -> None:
        self.overview.add(reconciliation)
        self._write(self._rows.encode(reconciliation))

    def conclude(self, *, is_silent: bool) -> None:
        self._write(b"")
        if not is_silent and self._is_read:
            sys.stderr.write(f"amili: {self.overview.conclude()}\n")

    def break_off(self) -> None:
        """All that was compared is written already."""

    def _write(self, row: bytes) -> None:
        """Write while somebody reads; where nobody does any more, the verdict is still the exit code."""
        if self._is_read:
            try:
                sys.stdout.buffer.write(self._header + row)
                sys.stdout.buffer.flush()
            except BrokenPipeError:
                abandon_stdout()
                self._is_read = False
        self._header = b""


def _choose_report(*, json: bool, csv: bool) -> _Table | _Lines:
    if json and csv:
        raise ConfigurationError("--json and --csv cannot go together: stdout holds one of the two")
    return _Lines(JsonRows()) if json else _Lines(CsvRows()) if csv else _Table()


@contextmanager
def _keep_for_page(path: Path | None, *, source: str) -> Iterator[_Take]:
    """Keep what the page is made of, which takes them all; without a page keep nothing."""
    if path is None:
        yield lambda _: None
        return
    kept: list[Reconciliation] = []
    with replace_at_end(path) as file:
        yield kept.append
        with raising_export_failed(path):
            file.write(render_page(kept, made_at=datetime.now(UTC), source=source))


async def _go_through(
    amili: AmiliClient, where: dict[str, Any] | None, takers: tuple[_Take, ...], *, is_hidden: bool
) -> None:
    """Hand on what comes, and show how far it is; only for that the payouts are counted, where the API counts."""
    total, done = None, 0
    if not is_hidden:
        with suppress(UnreadableResponse):
            total = await amili.payouts.count(where)
    with show_progress("payouts", is_quiet=is_hidden) as tell:
        async with aclosing(amili.reconcile(where)) as reconciliations:
            async for reconciliation in reconciliations:
                for take in takers:
                    take(reconciliation)
                done += reconciliation.payout is not None
                tell(done, total, None)
