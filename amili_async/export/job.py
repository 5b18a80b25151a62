"""A resource into a file: every record exactly once, whatever interrupts it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Raw, Struct

from amili_async._wire.tasks import finish_uncancelled, in_thread
from amili_async.errors import UnreadableResponse
from amili_async.export.commit import build, commit, read_ids
from amili_async.export.formats import Format, format_for
from amili_async.export.journal import NO_CHECKPOINT, SAVE_EVERY, FinishedExport, Journal
from amili_async.export.start import ExportRequest, open_journal
from amili_async.extraction import Checkpoint, Extraction, Manifest, Verdict
from amili_async.filters import Where
from amili_async.resources import Resource

Progress: TypeAlias = Callable[[int, int | None, float | None], object]
"""Called after each page: records written so far; how many in all, where that is known; seconds that the request budget
needs at least for the rest, where that is known."""


class ExportResult(Struct, frozen=True, kw_only=True):
    """What an export left behind."""

    path: Path
    """The file, as it was given by the caller."""
    rows: int
    """How many records are in it."""
    drifted: bool
    """Whether rows came or went meanwhile: the file of a stream may then miss some or hold some twice. The file of a
    resource holds each row that was there throughout once; of it, this says that the verdict is not `complete`."""
    manifest: Manifest | None = None
    """What the extraction says of itself: where a file was brought up to date, of the changes alone. `None` where the
    records are no resource's."""
    changed: int | None = None
    """How many rows were new or had changed, where a file was brought up to date."""


async def export_resource(
    resource: Resource[Any], request: ExportRequest, *, where: Where, on_progress: Progress | None
) -> ExportResult:
    """See `export`."""
    with ExitStack() as opened:
        journal, base = await in_thread(open_journal, request, opened)
        finished = journal.state.finished
        if finished is None:
            file_format = _format_of(resource, journal)
            extraction = _extraction_of(resource, journal, base, where)
            await _fill(journal, extraction, file_format, on_progress)
            if extraction.manifest.verdict is Verdict.PARTIAL:
                journal.discard()  # nothing can be added to it: only another extraction has everything
                raise _lacking(request, extraction.manifest)
            gone = (
                await _sweep(resource, journal, file_format, where)
                if request.sweep and base is not None
                else frozenset[str]()
            )
            finished = await in_thread(_put_together, journal, file_format, extraction, gone)
        return await in_thread(_conclude, journal, finished)


def _format_of(resource: Resource[Any], journal: Journal) -> Format:
    fields = journal.state.spec.fields
    file_format = format_for(journal.paths.target, fields, resource.record)
    if journal.state.since:
        file_format.check(journal.paths.target)
    return file_format


def _extraction_of(
    resource: Resource[Any], journal: Journal, base: FinishedExport | None, where: Where
) -> Extraction[Any]:
    """The typed records, or, where fields are chosen, dicts: they hold fields that nobody documented, too."""
    state = journal.state
    since = None if base is None else Manifest.from_json(bytes(base.manifest))
    checkpoint = None if state.checkpoint is NO_CHECKPOINT else Checkpoint.from_json(bytes(state.checkpoint))
    if state.spec.fields is None:
        return resource.extract(where, checkpoint=checkpoint, since=since)
    return resource.extract(where, into=dict, projection=state.spec.fields, checkpoint=checkpoint, since=since)


async def _fill(
    journal: Journal, extraction: Extraction[Any], file_format: Format, on_progress: Progress | None
) -> None:
    """Bring all records into the spool, and save where the extraction ended."""
    try:
        async with aclosing(extraction.batches()) as batches:
            while (batch := await _wait_for_batch(journal, extraction, batches)) is not None:
                checkpoint = journal.cover(extraction)
                if checkpoint is not None:
                    await in_thread(journal.save, checkpoint)
                journal.append(file_format, batch)
                if journal.spool.is_full:
                    await in_thread(journal.flush)
                if on_progress is not None:
                    on_progress(journal.spool.rows, extraction.total, extraction.seconds_left)
        journal.cover(extraction)
        await in_thread(journal.save, extraction.checkpoint)
    except BaseException:
        journal.leave(extraction)
        raise


async def _wait_for_batch(
    journal: Journal, extraction: Extraction[Any], batches: AsyncGenerator[tuple[Any, ...], None]
) -> tuple[Any, ...] | None:
    """The next batch; where it is long in coming, as when the budget pauses, what came before is saved meanwhile."""
    loop = asyncio.get_running_loop()
    saving: list[asyncio.Task[None]] = []
    due = loop.call_later(SAVE_EVERY, lambda: saving.append(loop.create_task(_save_if_ahead(journal, extraction))))
    try:
        batch = await anext(batches, None)
    finally:
        due.cancel()
        for task in saving:
            await finish_uncancelled(task)
    for task in saving:
        task.result()
    return batch


async def _save_if_ahead(journal: Journal, extraction: Extraction[Any]) -> None:
    checkpoint = journal.cover(extraction)
    if checkpoint is not None and journal.is_ahead:
        await in_thread(journal.save, checkpoint)


async def _sweep(resource: Resource[Any], journal: Journal, file_format: Format, where: Where) -> frozenset[str]:
    """Which rows of the file are gone."""
    return await resource.sweep(await in_thread(read_ids, journal.paths, file_format), where)


def _lacking(request: ExportRequest, manifest: Manifest) -> UnreadableResponse:
    counts = [f"{count:,}" for count in (manifest.before, manifest.after) if count is not None]
    return UnreadableResponse(
        f"{request.paths.given} was not made: {manifest.distinct:,} rows of {manifest.resource} came, but the API "
        f"counted {' and then '.join(counts)}; export again",
        request=f"GET /{manifest.resource}",
    )


def _put_together(
    journal: Journal, file_format: Format, extraction: Extraction[Any], gone: frozenset[str]
) -> FinishedExport:
    state, paths = journal.state, journal.paths
    rows, size = build(paths, journal.spool, file_format, base=paths.target if state.since else None, gone=gone)
    finished = FinishedExport(
        spec=state.spec, rows=rows, size=size, manifest=Raw(extraction.manifest.to_json().encode())
    )
    journal.finish(finished, changed=journal.spool.rows if state.since else None)
    return finished


def _conclude(journal: Journal, finished: FinishedExport) -> ExportResult:
    commit(journal, finished)
    manifest = Manifest.from_json(bytes(finished.manifest))
    return ExportResult(
        path=journal.paths.given,
        rows=finished.rows,
        drifted=manifest.verdict is not Verdict.COMPLETE,
        manifest=manifest,
        changed=journal.state.changed,
    )
