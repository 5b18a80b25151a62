"""`export`: records into one file that is whole or not there."""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any

from amili_async._wire.checks import check_plain_function
from amili_async._wire.frames import hide_variables
from amili_async._wire.tasks import in_thread
from amili_async.conditions import Where
from amili_async.errors import ConfigurationError, ExportFailed, UnreadableResponse
from amili_async.export.commit import build_file, commit_stream
from amili_async.export.files import find_paths, raising_export_failed
from amili_async.export.formats import Parquet, check_fields, encode_records, format_for, suffix_of
from amili_async.export.job import ExportResult, Progress, export_resource
from amili_async.export.journal import ExportSpec
from amili_async.export.seen_ids import SeenIds
from amili_async.export.spool import KEY_SIZE, Spool
from amili_async.export.start import ExportRequest, open_stream_spool
from amili_async.extraction import Extraction, Verdict
from amili_async.resources import Resource
from amili_async.streams import Stream

MANIFEST_KEY, ROUNDED_KEY = "amili_async.manifest", "amili_async.rounded"
"""In the metadata of a Parquet file of an extraction: its manifest, and how many amounts were rounded."""
STREAM_BATCH = 500
"""Records of a plain async iterable that are written at a time."""


@hide_variables
async def export(
    records: Resource[Any] | Extraction[Any] | Stream[Any] | AsyncIterable[Any],
    path: Path | str,
    *,
    where: Where = None,
    fields: Sequence[str] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    since: bool = False,
    sweep: bool = False,
    on_progress: Progress | None = None,
) -> ExportResult:
    """Write all *records* to *path*; its suffix (`.ndjson`, `.jsonl`, `.csv`, `.parquet`) is the format.

    The file appears under its name only when it is whole. *fields* are the API's names in the order of the columns,
    dotted ones too; without them a table has the fields of the records' type.

    A **resource** is extracted: each record that matches *where* is in the file exactly once, sorted by `_id`. Until
    the file is whole, `PATH.part` holds the rows and `PATH.checkpoint.json` the state of the export. Both stay if the
    export is interrupted, even if the process is killed, and *resume* continues it (or begins, if nothing is
    unfinished). The file is then the same, byte for byte, as without the interruption. *overwrite* replaces an existing
    file; without *resume* it also discards an unfinished export. `PATH.manifest.json`, kept beside the finished file,
    holds the extraction's manifest. Fields that the record type lacks are left out, unless *fields* names them.

    With *since* a file that was exported before is brought up to date: new and changed records replace the old ones. If
    there is no file yet, it is made. Deleted rows are left out only with *sweep*, which requests a hundred ids at a
    time.

    An **extraction** that has not begun, such as one of a part of a `split()`, is written sorted by `_id`, whole or not
    at all, and cannot be resumed. Its manifest is in the result, and in the metadata of a Parquet file.

    A **stream**, or any async iterable of structs or dicts, is written in its own order, whole or not at all. It is no
    complete extract: rows that were inserted or deleted during the export can be missing, which cannot always be
    noticed. A stream in which a record appears twice makes no file.

    Raises `ConfigurationError` if the call is wrong: the file exists or is unfinished, its suffix names no format, or
    the options differ from those of the unfinished export; `ExportFailed` if the file cannot be written (no such
    directory, no permission, a full disk, another export to it) or a record does not fit the format. Both are raised
    before the first request where they can be. Raises `ExtractionInterrupted` if the API failed: what was written of a
    resource stays and can be resumed. Raises `UnreadableResponse` if the API sent fewer rows than it counted.
    """
    path = Path(path)
    format_for(path, fields)  # rejects another suffix, or an impossible name, before anything else
    if on_progress is not None:
        check_plain_function(on_progress, "on_progress")
    if not isinstance(records, Resource):
        if where is not None or resume or since or sweep:
            raise ConfigurationError("where, resume, since and sweep require a resource, such as client.payouts")
        if isinstance(records, Extraction):
            return await _export_extraction(records, path, fields, overwrite=overwrite, on_progress=on_progress)
        return await _export_stream(records, path, fields, overwrite=overwrite, on_progress=on_progress)
    if sweep and not since:
        raise ConfigurationError("sweep requires since: a new file has no deleted rows")
    request = ExportRequest(
        paths=find_paths(path),
        spec=ExportSpec(resource=records.path, format=suffix_of(path), fields=check_fields(fields)),
        overwrite=overwrite,
        resume=resume,
        since=since,
        sweep=sweep,
    )
    return await export_resource(records, request, where=where, on_progress=on_progress)


async def _export_extraction(
    extraction: Extraction[Any],
    path: Path,
    fields: Sequence[str] | None,
    *,
    overwrite: bool,
    on_progress: Progress | None,
) -> ExportResult:
    paths, file_format = find_paths(path), format_for(path, fields, extraction.record)
    if extraction.checkpoint.distinct:
        raise ConfigurationError("the extraction has begun, so that the file would lack rows: make another one")
    with ExitStack() as opened:
        spool = await in_thread(open_stream_spool, paths, opened, overwrite=overwrite)
        async with aclosing(extraction.batches()) as batches:
            async for batch in batches:
                spool.append_sorted(batch, encode_records(file_format, batch, path=path))
                if spool.is_full:
                    await in_thread(_write_waiting, spool, path)
                if on_progress is not None:
                    on_progress(spool.rows, extraction.total, extraction.seconds_left)
        manifest = extraction.manifest
        if manifest.verdict is Verdict.PARTIAL:
            label = f"GET /{manifest.resource}"
            message = f"{path} was not written: {label} sent fewer rows than it counted; export again"
            raise UnreadableResponse(message, request=label)
        if isinstance(file_format, Parquet):
            file_format.metadata = {MANIFEST_KEY: manifest.to_json(), ROUNDED_KEY: str(spool.rounded)}
        await in_thread(build_file, paths, spool, file_format)
        await in_thread(commit_stream, paths, spool, overwrite=overwrite)
    drifted = manifest.verdict is not Verdict.COMPLETE
    return ExportResult(path=path, rows=spool.rows, drifted=drifted, rounded=spool.rounded, manifest=manifest)


async def _export_stream(
    records: AsyncIterable[Any],
    path: Path,
    fields: Sequence[str] | None,
    *,
    overwrite: bool,
    on_progress: Progress | None,
) -> ExportResult:
    paths = find_paths(path)
    # The columns do not depend on the rows: a stream has its record type, any other iterable that of its first record.
    file_format = format_for(path, fields, records.record) if isinstance(records, Stream) else None
    seen = SeenIds()
    with ExitStack() as opened:
        opened.callback(seen.close)
        spool = await in_thread(open_stream_spool, paths, opened, overwrite=overwrite)
        async with aclosing(_batches(records)) as batches:
            async for batch in batches:
                file_format = file_format or format_for(path, fields, type(batch[0]))
                # A spool is read in the order of its keys: the row's number keeps the order of the stream.
                key = spool.rows.to_bytes(KEY_SIZE, "big")
                spool.append(key, encode_records(file_format, batch, path=path))
                if isinstance(records, Stream):
                    seen.add(batch)
                if spool.is_full:
                    await in_thread(_write_waiting, spool, path, seen)
                if on_progress is not None:
                    on_progress(spool.rows, getattr(records, "total", None), None)
        await in_thread(_check_distinct, seen, path)
        await in_thread(build_file, paths, spool, file_format or format_for(path, fields))
        await in_thread(commit_stream, paths, spool, overwrite=overwrite)
    drifted = bool(getattr(records, "drifted", False))
    return ExportResult(path=path, rows=spool.rows, drifted=drifted, rounded=spool.rounded)


def _write_waiting(spool: Spool, path: Path, seen: SeenIds | None = None) -> None:
    with raising_export_failed(path):
        spool.flush()
        if seen is not None:
            seen.spill()


def _check_distinct(seen: SeenIds, path: Path) -> None:
    with raising_export_failed(path):
        duplicate = seen.find_duplicate()
    if duplicate is not None:
        raise ExportFailed(
            f"{path} was not written: record {duplicate} appears twice, since rows were inserted or deleted during the "
            "export or the API repeated a page; export the resource, without a sort, to get each record once",
            path=path,
            record_id=duplicate,
            can_resume=False,
        )


async def _batches(records: AsyncIterable[Any]) -> AsyncGenerator[Sequence[Any], None]:
    if isinstance(records, Stream):
        async with aclosing(records.pages()) as pages:
            async for page in pages:
                if page.items:
                    yield page.items
        return
    batch: list[Any] = []
    async for record in records:
        batch.append(record)
        if len(batch) == STREAM_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
