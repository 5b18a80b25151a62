"""`amili list`: some records, as a table or as JSON."""

from contextlib import aclosing
from typing import Annotated, Any

import typer
from rich.text import Text

from amili_async.cli.connect import open_client
from amili_async.cli.console import PlainConsole, print_dropped, write_bytes
from amili_async.cli.excel import ExcelCsv
from amili_async.cli.exit_codes import run
from amili_async.cli.options import (
    ExcelOption,
    FieldsOption,
    JsonOption,
    ResourceName,
    SandboxOption,
    SortOption,
    WhereOption,
    check_matches,
    parse_fields_option,
    parse_where_option,
    warn_of_unknown_names,
)
from amili_async.cli.resources import ResourceEntry, find_resource
from amili_async.cli.values import tabulate
from amili_async.errors import ConfigurationError
from amili_async.export import FORMATS, fields_of
from amili_async.export.records import as_document
from amili_async.readable import show_count


def list_records(
    resource: ResourceName,
    *,
    where: WhereOption = None,
    sort: SortOption = None,
    fields: FieldsOption = None,
    invoice: Annotated[str | None, typer.Option(metavar="TEXT", help="Only the cases of this invoice number.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Show at most N records.")] = 20,
    json: JsonOption = False,
    excel: ExcelOption = False,
    sandbox: SandboxOption = False,
) -> None:
    """List payouts, specifications, payments, creditors or cases, as a table or as JSON.

    The table shows the columns that fit the terminal. With --json each record is one line with the API's own names and
    exact digits; dates are ISO 8601. --excel writes all columns as CSV for a spreadsheet. No field of a debtor is
    requested, unless --fields names it. The exit code is 1 if nothing matches --where or --invoice.
    """

    async def show() -> int:
        entry, names, condition = find_resource(resource), parse_fields_option(fields), parse_where_option(where)
        if json and excel:
            raise ConfigurationError("--json and --excel cannot be combined: stdout holds one of them")
        warn_of_unknown_names(entry, condition, sort, names)
        if invoice is not None:
            condition = _of_invoice(invoice, entry, condition)
        options = "--invoice" if where is None else "--where" if invoice is None else "--where and --invoice"
        async with open_client(sandbox=sandbox) as amili:
            records = entry.of(amili).stream(condition, sort=sort, projection=names, into=dict, max_items=limit)
            if not (json or excel):
                found = await records.collect()
                _print_table(found, entry, names, total=records.total)
                return check_matches(len(found), entry, condition, options=options)
            writer = ExcelCsv(names or fields_of(entry.record)) if excel else FORMATS[".ndjson"](names, None)
            rows = 0
            write_bytes(writer.header if isinstance(writer, ExcelCsv) else b"")
            async with aclosing(records.pages()) as pages:
                async for page in pages:
                    write_bytes(writer.encode(page.items))
                    rows += len(page.items)
            return check_matches(rows, entry, condition, options=options)

    run(show())


def _of_invoice(invoice: str, entry: ResourceEntry, where: dict[str, Any] | None) -> dict[str, Any]:
    if entry.name != "cases":
        raise ConfigurationError("--invoice is for cases; filter other records by --where")
    condition: dict[str, Any] = {"debt.invoice_number": invoice}
    return {"$and": [where, condition]} if where else condition


def _print_table(
    records: list[dict[str, Any]], entry: ResourceEntry, names: tuple[str, ...] | None, *, total: int | None
) -> None:
    console = PlainConsole()
    documents = [as_document(record) for record in records]
    table, dropped = tabulate(documents, names or entry.columns, optional=entry.optional, width=console.width)
    if documents:
        console.print(table)
        console.print()
    print_dropped(console, dropped if documents else ())
    counted = show_count(len(records) if total is None else total, entry.singular)
    shown = counted if total is None or not records else f"{len(records):,} of {counted}"
    console.print(Text(shown if records else f"no {entry.name}", style="dim"))
