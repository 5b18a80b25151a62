"""From a stream to a file: page by page, so that memory stays bounded whatever the number of records."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct

from amili_async.export.target import Target
from amili_async.export.writers import Writer, writer_for
from amili_async.resources import Resource
from amili_async.streams import Stream

BATCH = 500
"""How many records of a plain async iterable are written at a time."""

Progress: TypeAlias = Callable[[int, int | None], object]
"""Called after each page with the records written so far, and with how many there are in all where that is known."""


class Exported(Struct, frozen=True, kw_only=True):
    """What an export left behind."""

    path: Path
    """The file, as it was named by the caller."""
    rows: int
    """How many records are in it."""
    drifted: bool
    """Whether rows came or went meanwhile, so that the file may miss some or hold some twice."""


async def export(
    records: Resource[Any] | Stream[Any] | AsyncIterable[Any],
    path: Path | str,
    *,
    fields: Sequence[str] | None = None,
    overwrite: bool = False,
    tell_progress: Progress | None = None,
) -> Exported:
    """Write all *records*, structs or dicts, to *path*; its suffix (`.ndjson`, `.jsonl`, `.csv`) is the format.

    The file appears under its name only when it is whole; until then there is a `.part` beside it, which goes away
    with any failure. *fields* are the API's names in the order of the columns, dotted ones too; without them a csv
    has the fields of the first record's type, and no header if there is no record.

    `ConfigurationError` names the file that exists already (unless *overwrite*), cannot be written or has another
    suffix; the first and the last of these before anything is asked of the API.
    """
    path = Path(path)
    writer = writer_for(path, fields)
    target = Target(path, overwrite=overwrite)
    stream = records.stream() if isinstance(records, Resource) else records
    rows = 0
    try:
        await _in_thread(_begin, target, writer)
        async with aclosing(_pages(stream)) as pages:
            async for page in pages:
                await _in_thread(_write_page, target, writer, page)
                rows += len(page)
                if tell_progress is not None:
                    tell_progress(rows, getattr(stream, "total", None))
        await _in_thread(target.keep)
    finally:
        target.discard()
    return Exported(path=path, rows=rows, drifted=bool(getattr(stream, "drifted", False)))


def _begin(target: Target, writer: Writer) -> None:
    target.open()
    target.write(writer.encode(()))


def _write_page(target: Target, writer: Writer, page: Sequence[Any]) -> None:
    target.write(writer.encode(page))


async def _pages(records: Stream[Any] | AsyncIterable[Any]) -> AsyncGenerator[Sequence[Any], None]:
    if isinstance(records, Stream):
        async with aclosing(records.pages()) as pages:
            async for page in pages:
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


async def _in_thread(work: Callable[..., None], *arguments: Any) -> None:
    """Run blocking *work* beside the event loop; a cancellation waits for it: what it writes to is closed next."""
    writing = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait((writing,))
        if not writing.cancelled():
            writing.exception()  # looked at, so that asyncio does not report it as forgotten
        raise
