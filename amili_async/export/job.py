"""A resource into a file: every record exactly once, whatever interrupts it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Raw, Struct

from amili_async._wire.tasks import finish_uncancelled, in_thread
from amili_async.conditions import Where
from amili_async.errors import UnreadableResponse
from amili_async.export.commit import build, commit, read_ids
from amili_async.export.formats import Format, format_for
from amili_async.export.journal import NOTHING, SAVE_EVERY, FinishedExport, Journal
from amili_async.export.start import ExportRequest, open_ledger
from amili_async.extraction import Checkpoint, Extraction, Manifest, Verdict
from amili_async.resources import Resource

Progress: TypeAlias = Callable[[int, int | None, float | None], object]
"""Called after each page: records written so far; how many in all, where that is known; seconds that the request budget
needs at least for the rest, where that is known."""


class ExportResult(Struct, frozen=True, kw_only=True):
    """What an export left behind."""

    path: Path
    """The file, as it was named by the caller."""
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
    resource: Resource[Any], order: ExportRequest, *, where: Where, on_progress: Progress | None
) -> ExportResult:
    """See `export`."""
    with ExitStack() as opened:
        ledger, base = await in_thread(open_ledger, order, opened)
        summary = ledger.state.finished
        if summary is None:
            form = _format_of(resource, ledger)
            extraction = _extraction_of(resource, ledger, base, where)
            await _fill(ledger, extraction, form, on_progress)
            if extraction.manifest.verdict is Verdict.PARTIAL:
                ledger.discard()  # nothing can be added to it: only another extraction has everything
                raise _lacking(order, extraction.manifest)
            gone = await _sweep(resource, ledger, form, where) if order.sweep and base is not None else frozenset[str]()
            summary = await in_thread(_put_together, ledger, form, extraction, gone)
        return await in_thread(_conclude, ledger, summary)


def _format_of(resource: Resource[Any], ledger: Journal) -> Format:
    fields = ledger.state.plan.fields
    form = format_for(ledger.places.target, fields, resource.record)
    if ledger.state.since:
        form.check(ledger.places.target)
    return form


def _extraction_of(
    resource: Resource[Any], ledger: Journal, base: FinishedExport | None, where: Where
) -> Extraction[Any]:
    """The typed records, or, where fields are chosen, dicts: they hold fields that nobody documented, too."""
    state = ledger.state
    since = None if base is None else Manifest.from_json(bytes(base.manifest))
    checkpoint = None if state.checkpoint is NOTHING else Checkpoint.from_json(bytes(state.checkpoint))
    if state.plan.fields is None:
        return resource.extract(where, checkpoint=checkpoint, since=since)
    return resource.extract(where, into=dict, projection=state.plan.fields, checkpoint=checkpoint, since=since)


async def _fill(ledger: Journal, extraction: Extraction[Any], form: Format, on_progress: Progress | None) -> None:
    """Bring all records into the spool, and save where the extraction ended."""
    try:
        async with aclosing(extraction.batches()) as batches:
            while (batch := await _wait_for_batch(ledger, extraction, batches)) is not None:
                checkpoint = ledger.cover(extraction)
                if checkpoint is not None:
                    await in_thread(ledger.save, checkpoint)
                ledger.append(form, batch)
                if ledger.spool.is_full:
                    await in_thread(ledger.flush)
                if on_progress is not None:
                    on_progress(ledger.spool.rows, extraction.total, extraction.seconds_left)
        ledger.cover(extraction)
        await in_thread(ledger.save, extraction.checkpoint)
    except BaseException:
        ledger.leave(extraction)
        raise


async def _wait_for_batch(
    ledger: Journal, extraction: Extraction[Any], batches: AsyncGenerator[tuple[Any, ...], None]
) -> tuple[Any, ...] | None:
    """The next batch; where it is long in coming, as when the budget pauses, what came before is saved meanwhile."""
    loop = asyncio.get_running_loop()
    saving: list[asyncio.Task[None]] = []
    due = loop.call_later(SAVE_EVERY, lambda: saving.append(loop.create_task(_save_if_ahead(ledger, extraction))))
    try:
        batch = await anext(batches, None)
    finally:
        due.cancel()
        for task in saving:
            await finish_uncancelled(task)
    for task in saving:
        task.result()
    return batch


async def _save_if_ahead(ledger: Journal, extraction: Extraction[Any]) -> None:
    checkpoint = ledger.cover(extraction)
    if checkpoint is not None and ledger.is_ahead:
        await in_thread(ledger.save, checkpoint)


async def _sweep(resource: Resource[Any], ledger: Journal, form: Format, where: Where) -> frozenset[str]:
    """Which rows of the file are gone."""
    return await resource.sweep(await in_thread(read_ids, ledger.places, form), where)


def _lacking(order: ExportRequest, manifest: Manifest) -> UnreadableResponse:
    counts = [f"{count:,}" for count in (manifest.count_before, manifest.count_after) if count is not None]
    return UnreadableResponse(
        f"{order.places.named} was not made: {manifest.distinct:,} rows of {manifest.resource} came, but the API "
        f"counted {' and then '.join(counts)}; export again",
        request=f"GET /{manifest.resource}",
    )


def _put_together(ledger: Journal, form: Format, extraction: Extraction[Any], gone: frozenset[str]) -> FinishedExport:
    state, places = ledger.state, ledger.places
    rows, size = build(places, ledger.spool, form, base=places.target if state.since else None, gone=gone)
    summary = FinishedExport(
        plan=state.plan, rows=rows, size=size, manifest=Raw(extraction.manifest.to_json().encode())
    )
    ledger.finish(summary, changed=ledger.spool.rows if state.since else None)
    return summary


def _conclude(ledger: Journal, summary: FinishedExport) -> ExportResult:
    commit(ledger, summary)
    manifest = Manifest.from_json(bytes(summary.manifest))
    return ExportResult(
        path=ledger.places.named,
        rows=summary.rows,
        drifted=manifest.verdict is not Verdict.COMPLETE,
        manifest=manifest,
        changed=ledger.state.changed,
    )
