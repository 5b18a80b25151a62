"""`amili export`: every record that matches, into a file."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from amili_async.cli.arguments import (
    FieldsOption,
    OutputOption,
    ResourceName,
    SandboxOption,
    WhereOption,
    read_fields,
    read_where,
)
from amili_async.cli.catalog import Entry, find_entry
from amili_async.cli.endings import NOT_RIGHT, complain, run
from amili_async.cli.progress import show_progress
from amili_async.cli.sources import open_client
from amili_async.client import AmiliClient
from amili_async.errors import ConfigurationError
from amili_async.export import ExportResult, export, fields_of
from amili_async.export.files import find_places
from amili_async.export.formats import format_for
from amili_async.streams import Stream


def export_records(
    resource: ResourceName,
    *,
    output: OutputOption,
    where: WhereOption = None,
    fields: FieldsOption = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="FIELDS", help="Another order than by _id: paged by number and not resumable.", show_default=False
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an export that was interrupted.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists, begin anew.")] = False,
    since: Annotated[
        bool, typer.Option("--since", help="Bring the file up to date with what was created or changed since.")
    ] = False,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="With --since: leave out what is gone; asks for every id.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, and nothing said when all is well.")] = False,
    sandbox: SandboxOption = False,
) -> None:
    """Write every record exactly once to a .ndjson, .jsonl, .csv or .parquet file, sorted by _id.

    The file appears only when it is whole. What an interrupted export wrote is kept beside it, and --resume goes on
    from there, however it was interrupted. Money keeps its exact digits, dates are in UTC, names are the API's own.
    Records made in the last ten seconds are left for the next time. With --resume --since the same command always does
    what is needed: it makes the file, goes on with it, or brings it up to date.
    """

    async def write() -> int | None:
        entry, names, condition = find_entry(resource), read_fields(fields), read_where(where)
        if sort is not None and (resume or since or sweep):
            raise ConfigurationError("--sort cannot go with --resume, --since or --sweep: those need the order of _id")
        format_for(output, names)  # an unknown suffix is told before anything else
        if output.is_file() and not (force or resume or since):
            raise ConfigurationError(f"{output} exists already; --force replaces it, --since brings it up to date")
        async with open_client(sandbox=sandbox, is_quiet=quiet) as amili:
            with show_progress(entry.name, is_quiet=quiet) as tell:
                if sort is not None:
                    records = _sorted_stream(amili, entry, names, where=condition, sort=sort)
                    chosen = names or fields_of(entry.record)
                    exported = await export(records, output, fields=chosen, overwrite=force, on_progress=tell)
                else:
                    exported = await export(
                        entry.of(amili),
                        output,
                        where=condition,
                        fields=names,
                        overwrite=force,
                        resume=resume,
                        since=since,
                        sweep=sweep,
                        on_progress=tell,
                    )
        return _conclude(exported, entry, is_quiet=quiet)

    run(write(), advice=lambda: _advise(output))


def _sorted_stream(
    amili: AmiliClient, entry: Entry, names: tuple[str, ...] | None, *, where: dict[str, Any] | None, sort: str
) -> Stream[Any]:
    """The typed records, or, where fields are chosen, dicts: they hold fields that nobody documented, too."""
    if names is None:
        return entry.of(amili).stream(where, sort=sort)
    return entry.of(amili).stream(where, sort=sort, projection=names, into=dict)


def _advise(output: Path) -> str:
    """What to do after a failure."""
    is_kept = find_places(output).state.exists()
    return "what was written is kept: the same command with --resume goes on" if is_kept else ""


def _conclude(exported: ExportResult, entry: Entry, *, is_quiet: bool) -> int | None:
    name, manifest = entry.name, exported.manifest
    if manifest is None and exported.drifted:
        complain(
            f"{exported.path} may lack some {name} or hold some twice, since rows came or went meanwhile: "
            "export again, without --sort if the order is not needed"
        )
        return NOT_RIGHT
    if not is_quiet:
        sys.stderr.write(f"{_describe(exported, name)}\n")
    return None


def _describe(exported: ExportResult, name: str) -> str:
    parts = [f"{exported.rows:,} {name} in {exported.path}"]
    if exported.changed is not None:
        parts.append(f"{exported.changed:,} of them new or changed")
    if exported.manifest is not None and exported.drifted:
        parts.append("rows came or went meanwhile, and each that was there all the time is there once")
    if exported.manifest is not None and exported.manifest.count_past_bound:
        parts.append(f"{exported.manifest.count_past_bound:,} that are too new are left for the next time")
    return "; ".join(parts)
