"""The rows of an export that is under way: frames in one file, in the order in which they came.

The law: a spool is known by its length. What lies beyond the length that was last noted elsewhere, be it half a frame,
is cut off when the spool is taken up again. Frames come out in the order of their keys, whatever order they came in.
One process at a time: whoever has opened a spool holds its lock.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from struct import Struct as Layout
from typing import BinaryIO, TypeAlias

from msgspec import Struct

from amili_async.errors import ConfigurationError

MAGIC = b"rows of an amili export, unfinished; version 1\n"
KEY_SIZE = 12
"""Bytes of a key: as many as an ObjectId has."""
MOST_WAITING = 2**20
"""Bytes that wait in memory before they are written: a write for each page would cost as much as the page."""
_HEADER = Layout(f">{KEY_SIZE}sII")


class Frame(Struct, frozen=True):
    """Some rows, as bytes that the format understands."""

    rows: int
    """How many."""
    payload: bytes
    """The bytes."""


Frames: TypeAlias = Callable[[], Iterator[Frame]]
"""All frames from the first on, each time that it is called."""


class Spool:
    """One file of frames, open and locked."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._index: list[tuple[bytes, int]] = []  # 10,000 for a million rows
        self._waiting: list[bytes] = []
        self._written = 0
        self.length = 0
        """Bytes, up to the end of the last whole frame."""
        self.rows = 0
        """In all frames."""

    def clear(self) -> None:
        """Begin anew."""
        self._index.clear()
        self.rows = 0
        self.cut(0)
        self._waiting.append(MAGIC)
        self.length = len(MAGIC)
        self.flush()

    def take_up(self, length: int) -> None:
        """Go on with the frames in the first *length* bytes; `ConfigurationError` where they are not there."""
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)
        position, self.rows = len(MAGIC), 0
        self._index.clear()
        if size < length or self._file.read(len(MAGIC)) != MAGIC:
            raise ConfigurationError(f"{self._path} lacks rows that it held: begin anew with overwrite (--force)")
        self._written = self.length = size
        while position < length:
            key, rows, payload = self._read_header(position)
            self._index.append((key, position))
            self.rows += rows
            position += _HEADER.size + payload
        self.cut(length)

    def append(self, key: bytes, rows: int, payload: bytes) -> None:
        """Add a frame, which waits in memory for the next `flush`."""
        self._waiting += (_HEADER.pack(key, rows, len(payload)), payload)
        self._index.append((key, self.length))
        self.rows += rows
        self.length += _HEADER.size + len(payload)

    @property
    def is_open(self) -> bool:
        """Whether the file, and the lock, are still ours."""
        return not self._file.closed

    @property
    def is_full(self) -> bool:
        """Whether so much waits in memory that it should be written."""
        return self.length - self._written >= MOST_WAITING

    def flush(self) -> None:
        """Write what waits in memory; where that fails, it still waits."""
        self._file.seek(self._written)
        rest = memoryview(b"".join(self._waiting))
        while rest:  # a disk that is nearly full takes a part of it
            rest = rest[os.write(self._file.fileno(), rest) :]
        self._written = self.length
        self._waiting.clear()

    def cut(self, length: int) -> None:
        """Forget the frames past *length*."""
        self.flush()
        while self._index and self._index[-1][1] >= length:
            self.rows -= self._read_header(self._index.pop()[1])[1]
        self._file.truncate(length)
        self._written = self.length = length

    def sync(self) -> None:
        """Wait until all frames are on the disk."""
        self.flush()
        os.fsync(self._file.fileno())

    def frames(self) -> Iterator[Frame]:
        """All frames, ascending by key."""
        self.flush()
        for _, position in sorted(self._index):
            _, rows, size = self._read_header(position)
            yield Frame(rows, self._file.read(size))

    def remove(self) -> None:
        """Remove the file while it is still ours, and let go of it."""
        if not self.is_open:
            return
        with suppress(PermissionError):  # some systems do not remove what is open
            self._path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of the file, and of the lock."""
        self._file.close()

    def _read_header(self, position: int) -> tuple[bytes, int, int]:
        self._file.seek(position)
        key, rows, size = _HEADER.unpack(self._file.read(_HEADER.size))
        return key, rows, size


def open_spool(path: Path) -> Spool:
    """The spool at *path*, made if it is not there, empty or not.

    `ConfigurationError` where another process has it, or where the file is none of ours; `OSError` where it cannot be.
    """
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600), "r+b", 0)
        try:
            _lock(file, path)
            if not _is_still(path, file):  # its owner removed it between our two steps
                file.close()
                continue
            opening = file.read(len(MAGIC))
            if not MAGIC.startswith(opening):
                raise ConfigurationError(f"{path} is in the way: it is not an unfinished export")
        except BaseException:
            file.close()
            raise
        return Spool(path, file)


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # pragma: no cover - there is none on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigurationError(f"{path} is being written by another export") from None


def _is_still(path: Path, file: BinaryIO) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    return False
