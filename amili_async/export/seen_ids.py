"""Whether an id appears twice among the rows of a stream.

Invariant: beside the runs, memory holds one run of ids and a few of each other run, however many there are. Runs are
sorted and kept in a temporary file, unless the caller wants none. They are compared only if one does not follow the one
before: in a stream sorted by `_id` all do.
"""

import heapq
import operator
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from io import BytesIO
from itertools import pairwise
from tempfile import SpooledTemporaryFile
from typing import Any

RUN = 2**16
"""Ids in a run, at least."""
KEY_BYTES = 12
"""Bytes of a key: as many as an ObjectId has, and a hash of any other id."""
_CHUNK = 256 * KEY_BYTES
_IN_MEMORY = 2**20


class SeenIds:
    """The ids so far; `close` removes what is on the disk. *in_memory* keeps all of them in memory."""

    def __init__(self, *, in_memory: bool = False) -> None:
        self._recent: list[bytes] = []
        self._file: Any = BytesIO() if in_memory else SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed below
        self._ends = [0]
        self._last = b""
        self._must_compare = False

    def add(self, records: Sequence[Any]) -> None:
        """Note the ids of a page; a record without one is left out."""
        self._recent += [_key_of(row_id) for row_id in _ids_of(records) if row_id is not None]

    @property
    def is_full(self) -> bool:
        """Whether enough for a run waits in memory."""
        return len(self._recent) >= RUN

    def spill(self, *, at_least: int = RUN) -> None:
        """Move what waits in memory to the file, if it is enough for a run."""
        if len(self._recent) < at_least:
            return
        run = sorted(self._recent)
        self._must_compare |= run[0] <= self._last or any(map(operator.eq, run, run[1:]))
        self._last = max(self._last, run[-1])
        self._file.seek(self._ends[-1])
        self._file.write(b"".join(run))
        self._ends.append(self._file.tell())
        self._recent.clear()

    def find_duplicate(self) -> str | None:
        """An id that appears twice, in hexadecimal digits."""
        self.spill(at_least=1)
        if not self._must_compare:
            return None
        keys = heapq.merge(*(self._read(*run) for run in pairwise(self._ends)))
        return next((key.hex() for key, after in pairwise(keys) if key == after), None)

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def _read(self, start: int, end: int) -> Iterator[bytes]:
        for position in range(start, end, _CHUNK):
            self._file.seek(position)
            chunk = self._file.read(min(_CHUNK, end - position))
            yield from (chunk[place : place + KEY_BYTES] for place in range(0, len(chunk), KEY_BYTES))


def _ids_of(records: Sequence[Any]) -> Sequence[Any]:
    if isinstance(records[0], dict):
        return [record.get("_id") for record in records]
    names = dict(zip(records[0].__struct_encode_fields__, records[0].__struct_fields__, strict=True))
    # A caller's struct may declare the API's name, or `id`.
    name = names.get("_id") or names.get("id")
    return [] if name is None else list(map(operator.attrgetter(name), records))


def _key_of(row_id: Any) -> bytes:
    try:
        key = bytes.fromhex(row_id)
    except (TypeError, ValueError):
        key = b""
    return key if len(key) == KEY_BYTES else blake2b(repr(row_id).encode(), digest_size=KEY_BYTES).digest()
