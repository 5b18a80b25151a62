"""`amili list`: some records, as a table or as JSON."""

import sys
from contextlib import aclosing
from typing import Annotated, Any

import typer
from rich.text import Text

from amili_async.cli.connect import open_client
from amili_async.cli.console import Screen
from amili_async.cli.exit_codes import run
from amili_async.cli.options import (
    FieldsOption,
    JsonOption,
    ResourceName,
    SandboxOption,
    SortOption,
    WhereOption,
    read_fields,
    read_where,
)
from amili_async.cli.resources import Entry, find_entry
from amili_async.cli.tables import tabulate
from amili_async.export.documents import as_document
from amili_async.export.lines import Ndjson
from amili_async.streams import Stream


def list_records(
    resource: ResourceName,
    *,
    where: WhereOption = None,
    sort: SortOption = None,
    fields: FieldsOption = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many records.")] = 20,
    json: JsonOption = False,
    sandbox: SandboxOption = False,
) -> None:
    """Show records: payouts, specifications or payments.

    A table has the columns that fit the terminal. With --json each record is one line, with the API's own names and
    exact digits; dates are ISO 8601.
    """

    async def show() -> None:
        entry, names, condition = find_entry(resource), read_fields(fields), read_where(where)
        async with open_client(sandbox=sandbox) as amili:
            records = entry.of(amili).stream(condition, sort=sort, projection=names, into=dict, max_items=limit)
            if json:
                await _write_lines(records, names)
            else:
                _print_table(await records.collect(), entry, names, total=records.total)

    run(show())


async def _write_lines(records: Stream[dict[str, Any]], names: tuple[str, ...] | None) -> None:
    writer = Ndjson(names)
    async with aclosing(records.pages()) as pages:
        async for page in pages:
            sys.stdout.buffer.write(writer.encode(page.items))
            sys.stdout.buffer.flush()


def _print_table(
    records: list[dict[str, Any]], entry: Entry, names: tuple[str, ...] | None, *, total: int | None
) -> None:
    screen = Screen()
    documents = [as_document(record) for record in records]
    table, left_out = tabulate(documents, names or entry.columns, spare=entry.spare, room=screen.width)
    if documents:
        screen.print(table)
        screen.print()
    how_many = f"{len(records):,}" if total is None else f"{len(records):,} of {total:,}"
    screen.print(Text(f"{how_many if records else 'no'} {entry.name}", style="dim"))
    if names and left_out:
        screen.print(Text(f"not shown, for want of room: {', '.join(left_out)}", style="dim"))
