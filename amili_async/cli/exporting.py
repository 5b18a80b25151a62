"""`amili export`: all records that match, into a file."""

from typing import Annotated, Any

import typer
from rich.text import Text

from amili_async.cli.arguments import (
    FieldsOption,
    OutputOption,
    ResourceName,
    SandboxOption,
    SortOption,
    WhereOption,
    read_fields,
    read_where,
)
from amili_async.cli.catalog import Entry, find_entry
from amili_async.cli.endings import NOT_RIGHT, complain, run
from amili_async.cli.progress import show_progress
from amili_async.cli.screen import Screen
from amili_async.cli.sources import open_client
from amili_async.client import AmiliClient
from amili_async.errors import ConfigurationError
from amili_async.export import Exported, export, fields_of
from amili_async.export.writers import writer_for
from amili_async.streams import Stream


def export_records(
    resource: ResourceName,
    *,
    output: OutputOption,
    where: WhereOption = None,
    sort: SortOption = None,
    fields: FieldsOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, and nothing said when all is well.")] = False,
    sandbox: SandboxOption = False,
) -> None:
    """Write records to a .ndjson, .jsonl or .csv file, which appears only when it is whole.

    Money keeps its exact digits, dates are ISO 8601 in UTC, names are the API's own. Progress is shown on stderr where
    that is a terminal. Exit code 1 means that rows came or went meanwhile: export again.
    """

    async def write() -> int | None:
        entry, names, condition = find_entry(resource), read_fields(fields), read_where(where)
        writer_for(output, names)  # an unknown suffix is told before anything else
        if output.exists() and not force:
            raise ConfigurationError(f"{output} exists already; --force replaces it")
        async with open_client(sandbox=sandbox, is_quiet=quiet) as amili:
            records = _choose_stream(amili, entry, names, where=condition, sort=sort)
            with show_progress(entry.name, is_quiet=quiet) as tell:
                exported = await export(
                    records, output, fields=names or fields_of(entry.record), overwrite=force, tell_progress=tell
                )
        return _conclude(exported, entry, is_quiet=quiet)

    run(write())


def _choose_stream(
    amili: AmiliClient, entry: Entry, names: tuple[str, ...] | None, *, where: dict[str, Any] | None, sort: str | None
) -> Stream[Any]:
    """The typed records, or, where fields are chosen, dicts: they hold fields that nobody documented, too."""
    if names is None:
        return entry.of(amili).stream(where, sort=sort)
    return entry.of(amili).stream(where, sort=sort, projection=names, into=dict)


def _conclude(exported: Exported, entry: Entry, *, is_quiet: bool) -> int | None:
    if exported.drifted:
        complain(
            f"{exported.path} may lack some {entry.name} or hold some twice, since rows came or went meanwhile: "
            "export again with --force"
        )
        return NOT_RIGHT
    screen = Screen(stderr=True)
    if screen.is_terminal and not is_quiet:
        screen.print(Text(f"{exported.rows:,} {entry.name} in {exported.path}"), soft_wrap=True)
    return None
