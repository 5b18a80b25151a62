"""Rows of text: written one after the other, or merged into those of an older file, without holding them all."""

from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeAlias

from amili_async.export.spool import Frame

Row: TypeAlias = tuple[str, bytes]
"""An `_id`, and the bytes of the row with the line end."""
Frames: TypeAlias = Callable[[], Iterator[Frame]]
"""All frames from the first on, as often as it is called."""

_ROWS = 1000


def write_frames(file: BinaryIO, frames: Iterator[Frame]) -> int:
    """Write them as they are; returns the number of rows."""
    rows = 0
    for frame in frames:
        file.write(frame.payload)
        rows += frame.rows
    return rows


def merge_rows(old: Iterator[Row], new: Iterator[Row], *, gone: frozenset[str]) -> Iterator[Row]:
    """Both sequences ascend by id, and so does what comes out; a new row takes the place of an old one."""
    old = _ascending(old)
    older = next(old, None)
    for newer in new:
        while older is not None and older[0] < newer[0]:
            if older[0] not in gone:
                yield older
            older = next(old, None)
        if older is not None and older[0] == newer[0]:
            older = next(old, None)
        if newer[0] not in gone:
            yield newer
    while older is not None:
        if older[0] not in gone:
            yield older
        older = next(old, None)


def _ascending(rows: Iterator[Row]) -> Iterator[Row]:
    last = ""
    for row in rows:
        if row[0] <= last:
            raise ValueError("the rows do not ascend by _id")
        last = row[0]
        yield row


def frames_of(rows: Iterator[Row]) -> Iterator[Frame]:
    """Rows a thousand at a time."""
    batch: list[bytes] = []
    for row in rows:
        batch.append(row[1])
        if len(batch) == _ROWS:
            yield Frame(len(batch), b"".join(batch))
            batch.clear()
    yield Frame(len(batch), b"".join(batch))
