"""`export`: records into one file that is whole or not there."""

from collections.abc import AsyncIterable, Mapping, Sequence
from contextlib import ExitStack, aclosing
from io import TextIOBase
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, cast

from amili_async._wire.checks import check_plain_function
from amili_async._wire.frames import hide_variables
from amili_async._wire.tasks import in_thread
from amili_async.conditions import Where
from amili_async.errors import ConfigurationError
from amili_async.export.commit import build_file, commit_stream
from amili_async.export.download import export_to_file
from amili_async.export.encoded import EncodedRecords
from amili_async.export.files import ExportPaths, find_paths, raising_export_failed
from amili_async.export.formats import Format, Parquet, check_fields, format_for, suffix_of
from amili_async.export.job import ExportResult, Progress, export_resource
from amili_async.export.journal import ExportSpec
from amili_async.export.spool import Spool
from amili_async.export.start import ExportRequest, open_stream_spool
from amili_async.extraction import Extraction
from amili_async.resources import Resource
from amili_async.streams import Stream

MANIFEST_KEY, ROUNDED_KEY = "amili_async.manifest", "amili_async.rounded"
"""In the metadata of a Parquet file of an extraction: its manifest, and how many amounts were rounded."""


@hide_variables
async def export(
    records: Resource[Any] | Extraction[Any] | Stream[Any] | AsyncIterable[Any],
    target: Path | str | BinaryIO,
    *,
    where: Where = None,
    fields: Sequence[str] | None = None,
    format: str | None = None,  # noqa: A002 - the word of the field
    overwrite: bool = False,
    resume: bool = False,
    since: bool = False,
    sweep: bool = False,
    workdir: Path | str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    on_progress: Progress | None = None,
) -> ExportResult:
    """Write all records to one file, which appears under its name only when it is whole.

    - *records*: a resource, such as `client.payouts`, an extraction, a stream, or any async iterable.
    - *target*: a path, whose suffix is the format: `.ndjson`, `.jsonl`, `.csv` or `.parquet`; text is compressed if
      `.gz` or `.zst` follows. Or a URL, or an open file.
    - *where*: which records of a resource; by default all.
    - *fields*: the API's names in the order of the columns, dotted ones too; by default those of the records' type.
    - *format*: of an open file, such as `"csv.gz"`.
    - *overwrite*: replaces an existing file; without *resume* it also discards an unfinished export.
    - *resume*: continues an unfinished export, or begins.
    - *since*: brings a file that was exported before up to date, or makes it: new and changed records replace the old.
    - *sweep*: with *since*, leaves deleted rows out, which requests a hundred ids at a time.
    - *workdir*: where the unfinished file of a URL is; by default the current folder.
    - *storage_options*: for fsspec, which opens a URL.
    - *on_progress*: a function that is called after each page with the rows so far, how many there are in all, and the
      seconds that the rate limit needs for the rest; these two are `None` if not known.

    A **resource** is extracted: each record that matches *where* is in the file exactly once, sorted by `_id`. Until
    the file is whole, `PATH.part` holds the rows and `PATH.checkpoint.json` the state of the export. Both stay if the
    export is interrupted, even if the process is killed. The resumed file is the same, byte for byte, as without the
    interruption. `PATH.manifest.json`, kept beside the finished file, holds the extraction's manifest. Fields that the
    record type lacks are left out, unless *fields* names them.

    An **extraction** that has not begun, such as one of a part of a `split()`, is written sorted by `_id`, whole or not
    at all, and cannot be resumed. Its manifest is in the result, and in the metadata of a Parquet file.

    A **URL** of S3 (`s3://`), Google Cloud Storage (`gs://`), SFTP (`sftp://`) or memory (`memory://`) is opened by
    fsspec; install the package that fsspec needs for it, such as s3fs. All of the above holds, *resume*, *since* and
    *sweep* included: `HASH-NAME.part` and `HASH-NAME.checkpoint.json` are in *workdir*, the whole file is uploaded from
    there, and *since* downloads the older one first. An upload that fails is repeated by *resume* without a request to
    the API. Other stores show a file before it is complete, and raise `ConfigurationError`.

    An **open file**, which requires a *format*, receives the rows as they arrive, in no particular
    order, and nothing is on the disk; it cannot be taken back, resumed or brought up to date. See `export_bytes()`.

    A **stream**, or any async iterable of structs or dicts, is written in its own order, whole or not at all. It is no
    complete extract: rows that were inserted or deleted during the export can be missing, which cannot always be
    noticed. A stream in which a record appears twice makes no file.

    Raises `ConfigurationError` if the call is wrong: the file exists or is unfinished, its suffix names no format, or
    the options differ from those of the unfinished export; `ExportFailed` if the file cannot be written (no such
    directory, no permission, a full disk, another export to it) or a record does not fit the format. Both are raised
    before the first request where they can be. Raises `ExtractionInterrupted` if the API failed: what was written of a
    resource stays and can be resumed. Raises `UnreadableResponse` if the API sent fewer rows than it counted.
    """
    if on_progress is not None:
        check_plain_function(on_progress, "on_progress")
    if not isinstance(target, str | PathLike):
        file, name = _check_file(target, format, options=(overwrite, resume, since, sweep))
        return await export_to_file(records, file, name, where=where, fields=fields, on_progress=on_progress)
    if format is not None:
        raise ConfigurationError("format requires an open file: the name of a file ends in it")
    paths = find_paths(target, workdir, storage_options)
    if paths.remote is not None:
        paths.remote.watch_task()
    format_for(paths.named, fields)  # rejects another suffix, or an impossible name, before anything else
    if not isinstance(records, Resource):
        if where is not None or resume or since or sweep:
            raise ConfigurationError("where, resume, since and sweep require a resource, such as client.payouts")
        return await _export_once(records, paths, fields, overwrite=overwrite, on_progress=on_progress)
    if sweep and not since:
        raise ConfigurationError("sweep requires since: a new file has no deleted rows")
    spec = ExportSpec(resource=records.path, format=suffix_of(paths.named), fields=check_fields(fields))
    request = ExportRequest(paths=paths, spec=spec, overwrite=overwrite, resume=resume, since=since, sweep=sweep)
    return await export_resource(records, request, where=where, on_progress=on_progress)


def _check_file(file: object, format_: str | None, *, options: tuple[bool, ...]) -> tuple[BinaryIO, str]:
    if not callable(getattr(file, "write", None)) or isinstance(file, TextIOBase):
        raise ConfigurationError("the target must be a path, a URL, or a file that is open for writing bytes")
    if format_ is None:
        raise ConfigurationError('an open file requires a format, such as format="csv"')
    if any(options):
        raise ConfigurationError(
            "overwrite, resume, since and sweep require a path or a URL: an open file is written once"
        )
    return cast("BinaryIO", file), format_


async def _export_once(
    records: Extraction[Any] | Stream[Any] | AsyncIterable[Any],
    paths: ExportPaths,
    fields: Sequence[str] | None,
    *,
    overwrite: bool,
    on_progress: Progress | None,
) -> ExportResult:
    with ExitStack() as opened:
        encoded = EncodedRecords(records, paths.named, fields, name=paths.given, on_progress=on_progress)
        opened.callback(encoded.close)
        spool = await in_thread(open_stream_spool, paths, opened, overwrite=overwrite)
        async with aclosing(encoded.frames()) as frames:
            async for key, frame in frames:
                spool.append(key, frame)
                if spool.is_full:
                    await in_thread(_write_waiting, spool, paths)
        manifest = encoded.manifest
        if isinstance(encoded.file_format, Parquet) and manifest is not None:
            encoded.file_format.metadata = {MANIFEST_KEY: manifest.to_json(), ROUNDED_KEY: str(spool.rounded)}
        await in_thread(build_file, paths, spool, cast("Format", encoded.file_format))
        await in_thread(commit_stream, paths, spool, overwrite=overwrite)
    return encoded.result


def _write_waiting(spool: Spool, paths: ExportPaths) -> None:
    with raising_export_failed(paths.given):
        spool.flush()
