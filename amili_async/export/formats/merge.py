"""What the formats of text share: rows written one after the other, or merged into those of an older file.

Invariant: a merge holds one row of the older file and one frame of new rows in memory, however large both are.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

from amili_async.export.spool import Frame, Frames

TextRow: TypeAlias = tuple[str, bytes]
"""An `_id`, and the bytes of the row with its line end."""

_ROWS = 1000


class TextFormat(ABC):
    """A file of text is its header and then the payload of each frame, unchanged."""

    @property
    def header(self) -> bytes:
        """What precedes the first row."""
        return b""

    @abstractmethod
    def read_rows(self, lines: Iterable[bytes]) -> Iterator[TextRow]:
        """The rows in lines of a file or of a payload, each line with its end."""

    def write(self, file: BinaryIO, frames: Frames) -> int:
        file.write(self.header)
        rows = 0
        for frame in frames():
            file.write(frame.payload)
            rows += frame.rows
        return rows

    def merge(self, path: Path, frames: Iterator[Frame], removed: frozenset[str]) -> Iterator[Frame]:
        new = (row for frame in frames for row in self.read_rows(frame.payload.splitlines(keepends=True)))
        with path.open("rb") as file:
            file.seek(len(self.header))
            yield from _group(merge_rows(self.read_rows(file), new, removed=removed))

    def read_ids(self, path: Path) -> Iterator[str]:
        with path.open("rb") as file:
            file.seek(len(self.header))
            for row_id, _ in self.read_rows(file):
                yield row_id


def merge_rows(old: Iterator[TextRow], new: Iterator[TextRow], *, removed: frozenset[str]) -> Iterator[TextRow]:
    """Merge two sequences that ascend by `_id` into one, without the *removed* ones.

    A new row replaces the old one with its `_id`. `ValueError` if *old* does not ascend.
    """
    old = _check_ascending(old)
    older = next(old, None)
    for newer in new:
        while older is not None and older[0] < newer[0]:
            if older[0] not in removed:
                yield older
            older = next(old, None)
        if older is not None and older[0] == newer[0]:
            older = next(old, None)
        # A row can be deleted after it was extracted and before the sweep.
        if newer[0] not in removed:
            yield newer
    while older is not None:
        if older[0] not in removed:
            yield older
        older = next(old, None)


def _check_ascending(rows: Iterator[TextRow]) -> Iterator[TextRow]:
    # A file that was sorted otherwise since its export keeps its size, which is all that is checked before.
    last = ""
    for row in rows:
        if row[0] <= last:
            raise ValueError("the rows do not ascend by _id")
        last = row[0]
        yield row


def _group(rows: Iterator[TextRow]) -> Iterator[Frame]:
    """Rows a thousand at a time: one write for each row would cost more than the merge."""
    batch: list[bytes] = []
    for row in rows:
        batch.append(row[1])
        if len(batch) == _ROWS:
            yield Frame(len(batch), b"".join(batch))
            batch.clear()
    yield Frame(len(batch), b"".join(batch))
