"""The export of one resource: every record exactly once, whatever interrupts it.

Invariant: what a killed process leaves is what `resume` continues from; what cannot be resumed is removed.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Raw, Struct

from amili_async._wire.tasks import finish_uncancelled, in_thread
from amili_async.conditions import Where
from amili_async.errors import ConfigurationError, ExportFailed, UnreadableResponse
from amili_async.export.commit import build_file, commit, read_ids
from amili_async.export.files import ExportPaths, raising_export_failed
from amili_async.export.formats import Format, encode_records, format_for
from amili_async.export.journal import NO_CHECKPOINT, SAVE_EVERY, START_AGAIN, FinishedExport, Journal
from amili_async.export.start import ExportRequest, open_journal
from amili_async.extraction import Checkpoint, Extraction, Manifest, Verdict
from amili_async.resources import Resource

Progress: TypeAlias = Callable[[int, int | None, float | None], object]
"""Called after each page with the records written so far; how many there are in all, if known; the seconds that the
rate limit needs at least for the rest, if known."""


class ExportResult(Struct, frozen=True, kw_only=True):
    """What an export did."""

    path: Path | str
    """The file as the caller named it: a URL is a text, without a password; of an open file it is `export.FORMAT`."""
    rows: int
    """How many records are in it."""
    drifted: bool
    """Whether rows were seen to be inserted or deleted during the export. The file of a stream may lack some rows even
    if none was seen. The file of a resource holds each row that was present throughout exactly once; the verdict of
    its manifest is then not `complete`."""
    rounded: int = 0
    """How many amounts were rounded, half to even, because the format holds fewer decimals: Parquet holds six."""
    manifest: Manifest | None = None
    """The extraction's manifest: of the changes alone, if a file was brought up to date. `None` for a stream."""
    changed: int | None = None
    """How many rows were new or had changed, if a file was brought up to date."""

    def _repr_html_(self) -> str:
        from amili_async.notebooks import html_fields, named_values

        verdict = "" if self.manifest is None else f": {self.manifest.verdict}"
        return html_fields(f"{self.path}{verdict}", {**named_values(self), "path": None, "manifest": None})

    @property
    def is_complete(self) -> bool:
        """Whether the file is known to hold every record up to the bound of its extraction; never for a stream."""
        return self.manifest is not None and self.manifest.verdict is Verdict.COMPLETE


async def export_resource(
    resource: Resource[Any], request: ExportRequest, *, where: Where, on_progress: Progress | None
) -> ExportResult:
    """See `export`."""
    with ExitStack() as opened:
        journal, base = await in_thread(open_journal, request, opened)
        finished = journal.state.finished
        if finished is None:
            file_format = _choose_format(resource, journal)
            extraction = _start_extraction(resource, journal, base, where)
            await _fill_spool(journal, extraction, file_format, on_progress)
            removed: frozenset[str] = frozenset()
            if request.sweep and base is not None and extraction.manifest.verdict is not Verdict.PARTIAL:
                removed = await resource.sweep(await in_thread(read_ids, journal.paths, file_format), where)
            finished = await in_thread(_finish, journal, file_format, extraction, removed)
        return await in_thread(_commit, journal, finished)


def _choose_format(resource: Resource[Any], journal: Journal) -> Format:
    paths = journal.paths
    file_format = format_for(paths.target, journal.state.spec.fields, resource.record)
    with raising_export_failed(paths.given):
        reason = file_format.find_mismatch(paths.target) if journal.state.since else None
    if reason is not None:
        raise ConfigurationError(f"{paths.given} cannot be brought up to date: {reason}")
    return file_format


def _start_extraction(
    resource: Resource[Any], journal: Journal, base: FinishedExport | None, where: Where
) -> Extraction[Any]:
    """The typed records, or dicts if fields are chosen: only dicts have undocumented fields."""
    state = journal.state
    since = None if base is None else Manifest.from_json(bytes(base.manifest))
    checkpoint = None if state.checkpoint is NO_CHECKPOINT else Checkpoint.from_json(bytes(state.checkpoint))
    if state.spec.fields is None:
        return resource.extract(where, checkpoint=checkpoint, since=since)
    return resource.extract(where, into=dict, projection=state.spec.fields, checkpoint=checkpoint, since=since)


async def _fill_spool(
    journal: Journal, extraction: Extraction[Any], file_format: Format, on_progress: Progress | None
) -> None:
    """Append all records to the spool, and save the state with which the extraction ended."""
    path = journal.paths.given
    try:
        async with aclosing(extraction.batches()) as batches:
            while (batch := await _wait_for_batch(journal, extraction, batches)) is not None:
                # Before this batch is appended: the checkpoint covers the batches before it.
                checkpoint = journal.cover(extraction)
                if checkpoint is not None:
                    await in_thread(journal.save, checkpoint)
                journal.append(batch, encode_records(file_format, batch, path=path))
                if journal.spool.is_full:
                    await in_thread(journal.flush)
                if on_progress is not None:
                    on_progress(journal.spool.rows, extraction.total, extraction.seconds_left)
        journal.cover(extraction)
        await in_thread(journal.save, extraction.checkpoint)
    except BaseException:
        # Not in a thread: a coroutine that is closed, by GeneratorExit, may not await.
        journal.suspend(extraction)
        raise


async def _wait_for_batch(
    journal: Journal, extraction: Extraction[Any], batches: AsyncGenerator[tuple[Any, ...], None]
) -> tuple[Any, ...] | None:
    """The next batch; if it takes long, as when the rate limiter pauses, what was appended before is saved already."""
    loop = asyncio.get_running_loop()
    saving: list[asyncio.Task[None]] = []
    # A timer, not a task for each batch: almost every batch arrives before it, and a task costs as much as its page.
    due = loop.call_later(SAVE_EVERY, lambda: saving.append(loop.create_task(_save_if_ahead(journal, extraction))))
    try:
        batch = await anext(batches, None)
    finally:
        due.cancel()
        for task in saving:
            # The next save must not run beside this one, nor the spool be closed under it.
            await finish_uncancelled(task)
    for task in saving:
        task.result()
    return batch


async def _save_if_ahead(journal: Journal, extraction: Extraction[Any]) -> None:
    checkpoint = journal.cover(extraction)
    if checkpoint is not None and journal.is_ahead:
        await in_thread(journal.save, checkpoint)


def _incomplete(paths: ExportPaths, manifest: Manifest) -> UnreadableResponse:
    counts = [f"{count:,}" for count in (manifest.count_before, manifest.count_after) if count is not None]
    return UnreadableResponse(
        f"{paths.given} was not written: of {manifest.resource} the API sent {manifest.distinct:,} but counted "
        f"{' and then '.join(counts)}; what it sent is in {paths.partial}; export again",
        request=f"GET /{manifest.resource}",
    )


def _finish(
    journal: Journal, file_format: Format, extraction: Extraction[Any], removed: frozenset[str]
) -> FinishedExport:
    state, paths = journal.state, journal.paths
    # Compared before the file is made: nothing else notices that a file system has lost a part of the spool.
    if journal.spool.rows != extraction.manifest.rows:
        message = f"{paths.spool} lacks rows of the export: {START_AGAIN}"
        raise ExportFailed(message, path=paths.given, can_resume=False)
    base = paths.target if state.since else None
    rows, size = build_file(paths, journal.spool, file_format, base=base, removed=removed)
    manifest = Raw(extraction.manifest.to_json().encode())
    rounded = journal.spool.rounded
    finished = FinishedExport(spec=state.spec, rows=rows, size=size, rounded=rounded, manifest=manifest)
    journal.finish(finished, changed=journal.spool.rows if state.since else None)
    return finished


def _commit(journal: Journal, finished: FinishedExport) -> ExportResult:
    manifest = Manifest.from_json(bytes(finished.manifest))
    is_partial = manifest.verdict is Verdict.PARTIAL
    commit(journal, finished, is_partial=is_partial)
    if is_partial:  # resuming would not help: only another extraction can find the missing rows
        raise _incomplete(journal.paths, manifest)
    return ExportResult(
        path=journal.paths.given,
        rows=finished.rows,
        rounded=finished.rounded,
        drifted=manifest.verdict is not Verdict.COMPLETE,
        manifest=manifest,
        changed=journal.state.changed,
    )
