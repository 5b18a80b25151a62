"""What the formats of text share: rows written one after the other, or merged into those of an older file.

Invariant: a merge holds one row of the older file and one frame of new rows in memory, however large both are.
"""

import heapq
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias

from amili_async.export.formats.compression import open_decompressed
from amili_async.export.formats.writing import TextWriter
from amili_async.export.spool import Frame

TextRow: TypeAlias = tuple[str, bytes]
"""An `_id`, and the bytes of the row with its line end."""

WITHOUT_ID = "its rows have no _id; export it again with that field"
OTHER_COLUMNS = "its columns differ; export it again with overwrite (--force)"
_ROWS = 1000


class TextFormat(TextWriter):
    """A file of text of which each row is found by its `_id`."""

    @abstractmethod
    def read_rows(self, lines: Iterable[bytes]) -> Iterator[TextRow]:
        """The rows in lines of a file or of a payload, each line with its end."""

    def merge(self, path: Path, frames: Iterator[Frame], removed: frozenset[str]) -> Iterator[Frame]:
        new = (row for frame in frames for row in self.read_rows(frame.payload.splitlines(keepends=True)))
        rows = merge_rows(self._read_file(path), new, removed=removed)
        # A thousand rows at a time: one write for each row would cost more than the merge.
        while batch := [row for _, row in islice(rows, _ROWS)]:
            yield Frame(len(batch), b"".join(batch))

    def read_ids(self, path: Path) -> Iterator[str]:
        return (row_id for row_id, _ in self._read_file(path))

    def _read_file(self, path: Path) -> Iterator[TextRow]:
        with open_decompressed(path, self.compression) as file:
            file.read(len(self.header))
            yield from self.read_rows(file)


def merge_rows(old: Iterator[TextRow], new: Iterator[TextRow], *, removed: frozenset[str]) -> Iterator[TextRow]:
    """Merge two sequences that ascend by `_id` into one, without the *removed* ones.

    A new row replaces the old one with its `_id`. `ValueError` if *old* does not ascend.
    """
    last = ""
    # Of rows with one `_id` the new one precedes: heapq.merge keeps the order of its arguments.
    for row in heapq.merge(new, _check_ascending(old), key=itemgetter(0)):
        # A new row, too, can be among the removed: one deleted after it was extracted and before the sweep.
        if row[0] != last and row[0] not in removed:
            yield row
        last = row[0]


def _check_ascending(rows: Iterator[TextRow]) -> Iterator[TextRow]:
    # A file that was sorted otherwise since its export keeps its size, which is all that is checked before.
    last = ""
    for row in rows:
        if row[0] <= last:
            raise ValueError("the rows do not ascend by _id")
        last = row[0]
        yield row
