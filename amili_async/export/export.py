"""`export`: records into one file that is whole or not there."""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any

from amili_async._wire.tasks import in_thread
from amili_async.conditions import Where
from amili_async.errors import ConfigurationError
from amili_async.export.commit import build, commit_alone
from amili_async.export.files import failing, find_places
from amili_async.export.formats import Format, check_fields, format_for, suffix_of
from amili_async.export.job import ExportResult, Progress, export_resource
from amili_async.export.journal import ExportSpec
from amili_async.export.records import encode
from amili_async.export.spool import KEY_SIZE, Spool
from amili_async.export.start import ExportRequest, open_alone
from amili_async.resources import Resource
from amili_async.streams import Stream

BATCH = 500
"""How many records of a plain async iterable are written at a time."""


async def export(
    records: Resource[Any] | Stream[Any] | AsyncIterable[Any],
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
    the end the rows lie in `PATH.part`, and `PATH.checkpoint.json` says how far it came: both stay when the export is
    interrupted, by whatever it be, and *resume* goes on from there (or begins, where there is nothing unfinished). The
    file is then the same, byte for byte, as without the interruption. *overwrite* replaces an existing file; alone, it
    also forgets an unfinished export. `PATH.manifest.json`, left beside the finished file, holds the extraction's
    manifest. Fields that the record type lacks are left out, unless *fields* names them.

    With *since* a file that was made so is brought up to date: what is new or has changed is put in its place. Where
    there is no file yet, it is made. Rows that are gone are left out only with *sweep*, which asks for a hundred ids
    at a time.

    A **stream**, or any async iterable of structs or dicts, is written in its own order, whole or not at all.

    `ConfigurationError` is raised before anything is asked of the API: an existing or unfinished file, one that cannot
    be written, another suffix, an export that differs from the unfinished one. Later it is `ExportFailed` if the disk
    is full or a record does not fit, or `ExtractionInterrupted`; what was written then stays, and can be resumed. Where
    fewer rows came than the API counted, it is `UnreadableResponse`, and nothing stays.
    """
    path = Path(path)
    format_for(path, fields)  # another suffix, or a name that cannot be, is refused before all else
    if not isinstance(records, Resource):
        if where is not None or resume or since or sweep:
            raise ConfigurationError("where, resume, since and sweep are for a resource, such as client.payouts")
        return await _export_stream(records, path, fields, overwrite=overwrite, on_progress=on_progress)
    if sweep and not since:
        raise ConfigurationError("sweep goes with since: a file that is made anew holds nothing that is gone")
    order = ExportRequest(
        places=find_places(path),
        plan=ExportSpec(resource=records.path, format=suffix_of(path), fields=check_fields(fields)),
        overwrite=overwrite,
        resume=resume,
        since=since,
        sweep=sweep,
    )
    return await export_resource(records, order, where=where, on_progress=on_progress)


async def _export_stream(
    records: Stream[Any] | AsyncIterable[Any],
    path: Path,
    fields: Sequence[str] | None,
    *,
    overwrite: bool,
    on_progress: Progress | None,
) -> ExportResult:
    places = find_places(path)
    form: Format | None = None
    with ExitStack() as opened:
        spool = await in_thread(open_alone, places, opened, overwrite=overwrite)
        async with aclosing(_pages(records)) as pages:
            async for page in pages:
                form = form or format_for(path, fields, type(page[0]))
                spool.append(spool.rows.to_bytes(KEY_SIZE, "big"), len(page), encode(form, page, path=path))
                if spool.is_full:
                    await in_thread(_flush, spool, path)
                if on_progress is not None:
                    on_progress(spool.rows, getattr(records, "total", None), None)
        await in_thread(build, places, spool, form or format_for(path, fields))
        await in_thread(commit_alone, places, spool, overwrite=overwrite)
    return ExportResult(path=path, rows=spool.rows, drifted=bool(getattr(records, "drifted", False)))


def _flush(spool: Spool, path: Path) -> None:
    with failing(path):
        spool.flush()


async def _pages(records: Stream[Any] | AsyncIterable[Any]) -> AsyncGenerator[Sequence[Any], None]:
    if isinstance(records, Stream):
        async with aclosing(records.pages()) as pages:
            async for page in pages:
                if page.items:
                    yield page.items
        return
    batch: list[Any] = []
    async for record in records:
        batch.append(record)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
