"""`amili export`: every record that matches, into a file."""

import sys
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from amili_async.cli.connect import open_client
from amili_async.cli.console import write_bytes
from amili_async.cli.excel import ExcelCsv
from amili_async.cli.exit_codes import PROBLEM, SUCCESS, print_error, run
from amili_async.cli.options import (
    ExcelOption,
    FieldsOption,
    OutputOption,
    ResourceName,
    SandboxOption,
    SortOption,
    WhereOption,
    check_matches,
    parse_fields_option,
    parse_where_option,
    warn_of_unknown_names,
)
from amili_async.cli.progress import ReportProgress, show_progress
from amili_async.cli.resources import ResourceEntry, find_resource
from amili_async.errors import ConfigurationError, UnreadableResponse
from amili_async.export import ExportResult, export, fields_of
from amili_async.export.download import write_chunks
from amili_async.export.encoded import EncodedRecords
from amili_async.export.files import ExportPaths, find_paths, is_resumable, write_file
from amili_async.export.formats import Ndjson, format_for, suffix_of
from amili_async.export.formats.writing import Encoder
from amili_async.extraction import Extraction
from amili_async.readable import show_count
from amili_async.resources import Resource
from amili_async.streams import Stream

STDOUT = "-"


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
    excel: ExcelOption = False,
    workdir: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="With a URL: the folder of the unfinished export, instead of this one."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing unless something is wrong.")] = False,
    sandbox: SandboxOption = False,
) -> None:
    """Export every matching record exactly once to a file, sorted by _id.

    The file appears only when it is complete. An interrupted export keeps its records beside the file, and --resume
    continues from there. Money keeps its exact digits, dates are in UTC, and names are the API's own. Records created
    within the last ten seconds are left for the next export. The same command with --resume --since is always right:
    it creates, continues or updates the file. --sort, --excel and -o - exclude --resume and --since; --sort makes no
    complete extract. If nothing matches --where, no file is written, an existing one stays, and the exit code is 1. A
    .csv file is for programs: its text is unchanged, and a spreadsheet misreads it; with --excel it is for a person who
    opens it in one. An amount with more than six decimals is rounded in .parquet, half to even, and counted.
    """
    target = output if "://" in output else Path(output)

    async def write() -> int | None:
        entry, names, condition = find_resource(resource), parse_fields_option(fields), parse_where_option(where)
        is_update, is_stdout = resume or since or sweep, output == STDOUT
        if is_update and (sort is not None or excel or is_stdout):
            raise ConfigurationError("--sort, --excel and -o - exclude --resume, --since and --sweep")
        if not is_stdout:
            _check_output(find_paths(target, workdir), names, is_excel=excel, may_exist=force or is_update)
        warn_of_unknown_names(entry, condition, sort, names)
        async with open_client(sandbox=sandbox, is_quiet=quiet) as amili:
            records: Resource[Any] | Extraction[Any] | Stream[Any] = entry.of(amili)
            if condition and not await _is_matched(entry.of(amili), entry, condition, target):
                return PROBLEM
            if sort is not None:
                # Typed records, but dicts for chosen fields, because only dicts hold undocumented ones.
                chosen: Any = {} if names is None else {"projection": names, "into": dict}
                records = entry.of(amili).stream(condition, sort=sort, **chosen)
            with show_progress(entry.name, is_quiet=quiet or (is_stdout and sys.stdout.isatty())) as report:
                if excel or is_stdout:
                    if isinstance(records, Resource):
                        records = records.extract(condition, into=dict, projection=names)
                    file_format = ExcelCsv(names or fields_of(entry.record)) if excel else Ndjson(names)
                    exported = await _write_once(records, Path(output), file_format, on_progress=report)
                else:
                    exported = await export(
                        records,
                        target,
                        where=condition if sort is None else None,
                        fields=names if sort is None else names or fields_of(entry.record),
                        overwrite=force,
                        resume=resume,
                        since=since,
                        sweep=sweep,
                        workdir=workdir,
                        on_progress=report,
                    )
        return _conclude(exported, entry, is_quiet=quiet)

    run(write(), advice=lambda error: _advise(error, target, workdir))


def _check_output(paths: ExportPaths, fields: tuple[str, ...] | None, *, is_excel: bool, may_exist: bool) -> None:
    """Reject what cannot be written before anything is requested."""
    if is_excel and (suffix_of(paths.named) != ".csv" or paths.remote is not None):
        raise ConfigurationError("--excel writes CSV: the name of the file must end in .csv, and be no URL")
    format_for(paths.named, fields)
    if paths.remote is None and paths.named.is_file() and not may_exist:
        raise ConfigurationError(f"{paths.given} exists already; --force replaces it, --since updates it")
    if is_excel:
        paths.check_free(may_replace=may_exist)


async def _is_matched(resource: Resource[Any], entry: ResourceEntry, where: dict[str, Any], target: Path | str) -> bool:
    """Whether the filter matches a record: a mistyped one must not replace a good file by an empty one."""
    with suppress(UnreadableResponse):  # a server may leave out `_meta.total`
        outcome = "" if target == Path(STDOUT) else f"{target} was not written"
        return check_matches(await resource.count(where), entry, where, outcome) == SUCCESS
    return True


async def _write_once(
    records: Extraction[Any] | Stream[Any], output: Path, file_format: Encoder, *, on_progress: ReportProgress
) -> ExportResult:
    """Write records to stdout while they arrive, or a file for a spreadsheet, which holds a million rows at most."""
    is_stdout = output == Path(STDOUT)
    name = Path("stdout") if is_stdout else output
    encoded = EncodedRecords(
        records, name, file_format=file_format, on_progress=on_progress, outcome="is incomplete", in_memory=True
    )
    parts: list[bytes] = []
    async with aclosing(write_chunks(encoded)) as chunks:
        async for chunk in chunks:
            if is_stdout:
                write_bytes(chunk)
            else:
                parts.append(chunk)
    if not is_stdout:
        write_file(output, b"".join(parts))
    return encoded.result


def _advise(error: BaseException, target: Path | str, workdir: str | None) -> str:
    # A row that cannot be decoded or written is met again, so resuming would fail at the same place for ever.
    meets_it_again = isinstance(error.__cause__, UnreadableResponse) or not getattr(error, "can_resume", True)
    if meets_it_again or not is_resumable(target, workdir):
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
