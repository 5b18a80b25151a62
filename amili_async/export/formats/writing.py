"""How a format writes: frames one after the other into an open file, and text compressed if the suffix names it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, BinaryIO, Protocol, TypeAlias

from amili_async.export.formats.compression import compress
from amili_async.export.spool import Frame, Frames

AddFrame: TypeAlias = Callable[[Frame], object]
"""Writes a frame."""


class Encoder(Protocol):
    """A format as far as a file that is never read again needs it."""

    @property
    def rounded(self) -> int:
        """How many amounts `encode` has rounded; text holds every digit."""

    def encode(self, records: Sequence[Any]) -> bytes:
        """The payload of a frame of these records; an error of any kind if one of them does not fit."""

    def open(self, file: BinaryIO) -> AbstractContextManager[AddFrame]:
        """Begin a file; the block adds its frames, and its end completes the file."""


class FileWriter(ABC):
    """Writes whole files, or a frame at a time."""

    @abstractmethod
    def open(self, file: BinaryIO) -> AbstractContextManager[AddFrame]:
        """Begin a file; the block adds its frames, and its end completes the file."""

    def write(self, file: BinaryIO, frames: Frames) -> int:
        """Write the whole file from its frames; returns the number of rows."""
        rows = 0
        with self.open(file) as add:
            for frame in frames():
                add(frame)
                rows += frame.rows
        return rows


class TextWriter(FileWriter):
    """A file of text is its header and then the payload of each frame, unchanged or compressed."""

    rounded = 0
    compression = ""
    """The suffix of the compression, such as `.gz`; empty for none."""

    @property
    def header(self) -> bytes:
        """What precedes the first row."""
        return b""

    @contextmanager
    def open(self, file: BinaryIO) -> Iterator[AddFrame]:
        with compress(file, self.compression) as out:
            out.write(self.header)
            yield lambda frame: out.write(frame.payload)
