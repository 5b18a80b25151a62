"""`amili export`: every record that matches, into a file."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from amili_async.cli.connect import open_client
from amili_async.cli.exit_codes import PROBLEM, print_error, run
from amili_async.cli.options import (
    FieldsOption,
    OutputOption,
    ResourceName,
    SandboxOption,
    SortOption,
    WhereOption,
    parse_fields_option,
    parse_where_option,
)
from amili_async.cli.progress import show_progress
from amili_async.cli.resources import ResourceEntry, find_resource
from amili_async.cli.values import show_count
from amili_async.errors import ConfigurationError, UnreadableResponse
from amili_async.export import ExportResult, export, fields_of
from amili_async.export.files import is_resumable
from amili_async.export.formats import format_for
from amili_async.resources import Resource
from amili_async.streams import Stream


def export_records(
    resource: ResourceName,
    *,
    output: OutputOption,
    where: WhereOption = None,
    fields: FieldsOption = None,
    sort: SortOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted export.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file and start anew.")] = False,
    since: Annotated[
        bool, typer.Option("--since", help="Update the file with what was created or changed since its export.")
    ] = False,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="With --since: remove deleted records; requests every id.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing unless something is wrong.")] = False,
    sandbox: SandboxOption = False,
) -> None:
    """Export every matching record exactly once to a file, sorted by _id.

    The file appears only when it is complete. An interrupted export keeps its records beside the file, and --resume
    continues from there. Money keeps its exact digits, dates are in UTC, and names are the API's own. Records created
    within the last ten seconds are left for the next export. The same command with --resume --since is always right:
    it creates, continues or updates the file. --sort excludes --resume and --since, and makes no complete extract. An
    amount with more than six decimals is rounded in .parquet, half to even, and counted.
    """

    async def write() -> int | None:
        entry, names, condition = find_resource(resource), parse_fields_option(fields), parse_where_option(where)
        if sort is not None and (resume or since or sweep):
            raise ConfigurationError("--sort excludes --resume, --since and --sweep, which need the order of _id")
        format_for(output, names)  # rejects an unknown suffix before anything else
        if output.is_file() and not (force or resume or since):
            raise ConfigurationError(f"{output} exists already; --force replaces it, --since updates it")
        async with open_client(sandbox=sandbox, is_quiet=quiet) as amili:
            with show_progress(entry.name, is_quiet=quiet) as report:
                records: Resource[Any] | Stream[Any] = entry.of(amili)
                if sort is not None:
                    # Typed records, but dicts for chosen fields, because only dicts hold undocumented ones.
                    chosen: Any = {} if names is None else {"projection": names, "into": dict}
                    records = entry.of(amili).stream(condition, sort=sort, **chosen)
                exported = await export(
                    records,
                    output,
                    where=condition if sort is None else None,
                    fields=names if sort is None else names or fields_of(entry.record),
                    overwrite=force,
                    resume=resume,
                    since=since,
                    sweep=sweep,
                    on_progress=report,
                )
        return _conclude(exported, entry, is_quiet=quiet)

    run(write(), advice=lambda error: _advise(error, output))


def _advise(error: BaseException, output: Path) -> str:
    # A row that cannot be decoded or written is met again, so resuming would fail at the same place for ever.
    meets_it_again = isinstance(error.__cause__, UnreadableResponse) or not getattr(error, "can_resume", True)
    if meets_it_again or not is_resumable(output):
        return ""
    return "the records so far are kept; run the same command with --resume to continue"


def _conclude(exported: ExportResult, entry: ResourceEntry, *, is_quiet: bool) -> int | None:
    if exported.manifest is None and exported.drifted:
        print_error(
            f"{exported.path} may miss some {entry.name}, because rows were inserted or deleted during the export; "
            "export again, without --sort if the order does not matter"
        )
        return PROBLEM
    if not is_quiet:
        sys.stderr.write(f"{_describe(exported, entry)}\n")
    return None


def _describe(exported: ExportResult, entry: ResourceEntry) -> str:
    parts = [f"{show_count(exported.rows, entry.singular)} in {exported.path}"]
    if exported.changed is not None:
        parts.append(f"{exported.changed:,} of them new or changed")
    if exported.rounded:
        parts.append(f"{show_count(exported.rounded, 'amount')} rounded to six decimals, which .csv and .ndjson keep")
    if exported.manifest is None:
        parts.append("no complete extract: with --sort, rows that change during the export can be missing unnoticed")
    if exported.manifest is not None and exported.drifted:
        parts.append(
            "rows were inserted or deleted during the export; each that existed throughout is in the file once"
        )
    if exported.manifest is not None and exported.manifest.count_past_bound:
        parts.append(f"{exported.manifest.count_past_bound:,} created too recently, left for the next export")
    return "; ".join(parts)
