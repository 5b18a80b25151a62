"""A file that is whole or not there.

The law: what stands under the target's name is what stood there before, or the whole of what was written. Until
`keep` succeeds, all goes to a file beside it, whose name ends in `.part`.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from amili_async.errors import ConfigurationError


class Target:
    """One file to be written; `open`, any number of `write`, then `keep`; `discard` in any case."""

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self._path = path
        self._overwrite = overwrite
        # A link stays a link: the file that it points to is the one that is replaced.
        self._final = path.resolve()
        self._part = self._final.with_name(f"{self._final.name}.{secrets.token_hex(4)}.part")
        self._file: BinaryIO | None = None

    def open(self) -> None:
        """Begin the file beside the target; `ConfigurationError` where that, or the target itself, cannot be."""
        self._check_place()
        with self._named_failures():
            self._file = self._part.open("xb")

    def write(self, chunk: bytes) -> None:
        """Add to the file."""
        if self._file is None:
            raise ConfigurationError(f"{self._path} is not open")
        with self._named_failures():
            self._file.write(chunk)

    def keep(self) -> None:
        """Give the file its name, once all of it is on the disk."""
        if self._file is None:
            raise ConfigurationError(f"{self._path} is not open")
        self._check_place()  # again: it may have come to be while the records travelled
        with self._named_failures():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._final)
        self._file = None

    def discard(self) -> None:
        """Remove what was not kept; never fails."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                self._part.unlink()
            self._file = None

    def _check_place(self) -> None:
        with self._named_failures():
            is_directory, exists = self._final.is_dir(), self._final.exists()
        if is_directory:
            raise ConfigurationError(f"{self._path} is a directory")
        if exists and not self._overwrite:
            raise ConfigurationError(f"{self._path} exists already, and is replaced only if that is asked for")

    @contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigurationError(f"{self._path} cannot be written: {error.strerror or error}") from None
