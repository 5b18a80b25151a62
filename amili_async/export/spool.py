"""The rows of an unfinished export: frames in one file, in the order in which they arrived.

Invariant: the length that is noted elsewhere decides what a spool holds. Bytes past it, such as half a frame, are cut
off when the spool is reopened. Frames are read in the order of their keys, whatever order they arrived in. One process
at a time has a spool open, and holds its lock.
"""

import errno
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from struct import Struct as Layout
from typing import Any, BinaryIO, TypeAlias
from zlib import crc32

from msgspec import Struct

from amili_async.errors import ConfigurationError
from amili_async.export.files import UNSUPPORTED, open_beside, set_mode, sync

MAGIC = b"rows of an amili export, unfinished; version 1\n"
KEY_SIZE = 12
"""Bytes of a key: as many as an ObjectId has."""
MAX_BUFFERED = 2**20
"""Bytes that wait in memory before they are written: a write for each page would cost as much as the page."""
_HEADER = Layout(f">{KEY_SIZE}sIII")
_CHECKSUM = Layout(">I")
_SURROUNDING = _HEADER.size + _CHECKSUM.size
"""Bytes of a frame besides those of its rows."""


class Frame(Struct, frozen=True):
    """Some rows, as bytes that the format understands."""

    rows: int
    """How many."""
    payload: bytes
    """The bytes."""
    rounded: int = 0
    """How many of its amounts were rounded."""


Frames: TypeAlias = Callable[[], Iterator[Frame]]
"""All frames from the first on, each time that it is called."""


class Spool:
    """One file of frames, open and locked."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._index: list[tuple[bytes, int]] = []  # 10,000 for a million rows
        self._buffer: list[bytes] = []
        self._written = 0
        self.length = 0
        """Bytes, up to the end of the last whole frame."""
        self.rows = 0
        """In all frames."""
        self.rounded = 0
        """How many of their amounts were rounded."""

    def clear(self) -> None:
        """Remove all frames, and begin the file."""
        self._index.clear()
        self.rows = self.rounded = 0
        self.cut(0)
        self._buffer.append(MAGIC)
        self.length = len(MAGIC)
        self.flush()

    def reopen(self, length: int, *, rows: int) -> None:
        """Keep the frames in the first *length* bytes; `ConfigurationError` if these do not hold that many rows."""
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)
        position, self.rows, self.rounded = len(MAGIC), 0, 0
        self._index.clear()
        is_ours = end >= length and self._file.read(len(MAGIC)) == MAGIC
        self._written = self.length = end
        while is_ours and position + _SURROUNDING <= length:
            key, frame_rows, rounded, size = self._read_header(position)
            self._index.append((key, position))
            self.rows += frame_rows
            self.rounded += rounded
            position += _SURROUNDING + size
        # Compared, because an older spool or state may have been restored, or two exports have written without a lock.
        if (position, self.rows) != (length, rows) or not is_ours:
            raise ConfigurationError(
                f"{self._path} lacks rows that its state covers: start again with overwrite (--force)"
            )
        self.cut(length)

    def append_sorted(self, records: Sequence[Any], frame: Frame) -> None:
        """Add the frame of records that are sorted by `_id` and do not interleave with those of other frames."""
        first = records[0]
        self.append(bytes.fromhex(first["_id"] if isinstance(first, dict) else first.id), frame)

    def append(self, key: bytes, frame: Frame) -> None:
        """Add a frame, which waits in memory for the next `flush`."""
        size = len(frame.payload)
        header = _HEADER.pack(key, frame.rows, frame.rounded, size)
        self._buffer += (header, frame.payload, _checksum(header, frame.payload))
        self._index.append((key, self.length))
        self.rows += frame.rows
        self.rounded += frame.rounded
        self.length += _SURROUNDING + size

    @property
    def is_open(self) -> bool:
        """Whether the file, and the lock, are still ours."""
        return not self._file.closed

    @property
    def is_full(self) -> bool:
        """Whether enough waits in memory to be written."""
        return self.length - self._written >= MAX_BUFFERED

    def flush(self) -> None:
        """Write what waits in memory; if that fails, it still waits."""
        # From the end of what was written whole: a flush that failed may have written a part of the buffer.
        self._file.seek(self._written)
        rest = memoryview(b"".join(self._buffer))
        while rest:  # write(2) may take a part, for instance while the disk fills up
            rest = rest[os.write(self._file.fileno(), rest) :]
        self._written = self.length
        self._buffer.clear()

    def cut(self, length: int) -> None:
        """Remove the frames past *length*."""
        self.flush()
        while self._index and self._index[-1][1] >= length:
            _, rows, rounded, _ = self._read_header(self._index.pop()[1])
            self.rows, self.rounded = self.rows - rows, self.rounded - rounded
        self._file.truncate(length)
        self._written = self.length = length

    def sync(self) -> None:
        """Bring all frames onto the disk."""
        self.flush()
        sync(self._file)

    def frames(self) -> Iterator[Frame]:
        """All frames, ascending by key."""
        self.flush()
        # Only the index is sorted: the ranges of an extraction never overlap, so that whole frames are in order.
        for key, position in sorted(self._index):
            found, rows, rounded, size = self._read_header(position)
            payload = self._file.read(size) if found == key else b""
            # Edited, or written by two exports without a lock, or damaged by the disk: the file would look whole.
            if self._file.read(_CHECKSUM.size) != _checksum(_HEADER.pack(key, rows, rounded, size), payload):
                raise self._damaged()
            yield Frame(rows, payload, rounded)

    def remove(self) -> None:
        """Remove the file if it is still ours, and close it."""
        # Before the lock is released: afterwards the file may be the spool of another export.
        if not self.is_open:
            return
        with suppress(PermissionError):  # Windows removes no open file
            self._path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Close the file, which releases the lock."""
        self._file.close()

    def _read_header(self, position: int) -> tuple[bytes, int, int, int]:
        self._file.seek(position)
        header = self._file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            raise self._damaged()
        key, rows, rounded, size = _HEADER.unpack(header)
        return key, rows, rounded, size

    def _damaged(self) -> OSError:
        return OSError(errno.EIO, f"{self._path} was changed by another program: start again with overwrite (--force)")


def _checksum(header: bytes, payload: bytes) -> bytes:
    return _CHECKSUM.pack(crc32(payload, crc32(header)))


def open_spool(path: Path) -> Spool:
    """The spool at *path*, created if it does not exist, with its frames not read yet.

    `OSError` if it cannot be opened, also because another export has it open or the file is no spool.
    """
    while True:
        # The owner's alone, because the rows are personal data; unbuffered, so that each write reaches the system.
        file = open_beside(path, os.O_RDWR | os.O_CREAT)
        try:
            _lock(file, path)
            # The owner of the lock may have removed the file after our open and before our lock: we would then write
            # to a file without a name.
            if not _is_current(path, file):
                file.close()
                continue
            start = file.read(len(MAGIC))
            if not MAGIC.startswith(start):
                raise FileExistsError(errno.EEXIST, f"{path} exists and is not the spool of an export: move it away")
            set_mode(file, 0o600)  # also of a spool that was restored from a backup
        except BaseException:
            file.close()
            raise
        return Spool(path, file)


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # pragma: no cover - Windows has none
        return
    # flock, not a lock file: the system releases it however the process ends.
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError(
            errno.EWOULDBLOCK, f"{path} is being written by another export: wait until that has finished"
        ) from None
    except OSError as error:
        if error.errno not in UNSUPPORTED | {errno.ENOLCK}:
            raise
        # The lock only prevents a second export to the file: without it one export is as safe as before.
        warnings.warn(
            f"{path} cannot be locked, since its file system has no locks: run one export to it at a time",
            RuntimeWarning,
            stacklevel=3,
        )


def _is_current(path: Path, file: BinaryIO) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    return False
