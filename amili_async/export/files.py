"""The files of one export, and the operations on them that leave no half file behind.

Invariant: the file under the target's name is the one that was there before, or a whole export; one rename changes it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from msgspec import Struct

from amili_async.errors import ConfigurationError, ExportFailed


class ExportPaths(Struct, frozen=True, kw_only=True):
    """Where the files of an export are."""

    given: Path
    """The target as the caller named it."""
    target: Path
    """The file that is replaced: the one that a link points to, so that the link stays a link."""

    @property
    def spool(self) -> Path:
        """The rows so far, in a format of our own; the export that holds its lock owns all of these files."""
        return self._with_suffix("part")

    @property
    def state(self) -> Path:
        """The state of an unfinished export."""
        return self._with_suffix("checkpoint.json")

    @property
    def whole(self) -> Path:
        """The whole file, before it is renamed to the target."""
        return self._with_suffix("whole.part")

    @property
    def manifest(self) -> Path:
        """What a finished export did, which is needed to bring the file up to date."""
        return self._with_suffix("manifest.json")

    def _with_suffix(self, suffix: str) -> Path:
        return self.target.with_name(f"{self.target.name}.{suffix}")

    def check_free(self, *, may_replace: bool) -> None:
        """`ConfigurationError` if the target is a directory, or exists and may not be replaced."""
        with raising_export_failed(self.given):
            is_directory, exists = self.target.is_dir(), self.target.exists()
        if is_directory:
            raise ConfigurationError(f"{self.given} is a directory")
        if exists and not may_replace:
            raise ConfigurationError(
                f"{self.given} exists already: overwrite (--force) replaces it, since (--since) brings it up to date"
            )


def find_paths(path: Path) -> ExportPaths:
    """The files of an export to *path*."""
    with raising_export_failed(path):
        return ExportPaths(given=path, target=path.resolve())


def is_resumable(path: Path) -> bool:
    """Whether an export to *path* is unfinished and can be resumed; False also if its state cannot be found."""
    with suppress(OSError, ExportFailed):
        return find_paths(path).state.exists()
    return False


@contextmanager
def raising_export_failed(path: Path) -> Iterator[None]:
    """Raise an error of the file system as `ExportFailed`."""
    try:
        yield
    except OSError as error:
        raise ExportFailed(f"{path} cannot be written: {error.strerror or error}", path=path) from error


def write_file(path: Path, content: bytes) -> None:
    """Write a small file at once: after a failure at any moment it has its old content or the new one.

    `ExportFailed` if that fails, `ConfigurationError` if *path* is a directory or a device.
    """
    with raising_export_failed(path):
        target = path.resolve()
        if target.exists() and not target.is_file():
            raise ConfigurationError(f"{path} is not a file")
        replace_file(target, content, fresh=target.with_name(f"{target.name}.{token_hex(4)}.new"))


def replace_file(path: Path, content: bytes, *, fresh: Path) -> None:
    """Write *content* to *fresh*, which is then renamed to *path*; the mode of a replaced file is kept."""
    try:
        with fresh.open("wb") as file:
            file.write(content)
            finish_file(file, path)
        rename(fresh, path)
    except BaseException:
        remove(fresh)
        raise


def finish_file(file: BinaryIO, target: Path) -> None:
    """Bring a file that will replace *target* onto the disk, with the mode of *target*."""
    file.flush()
    # Before the rename: a reader who was denied the old file must not find the new one open for a moment.
    with suppress(OSError, AttributeError):  # the target does not exist yet, or the system has no modes
        os.fchmod(file.fileno(), target.stat().st_mode & 0o777)
    # Without it a file system with delayed allocation may bring the rename onto the disk before the content, and show
    # an empty file after a power failure.
    os.fsync(file.fileno())


def rename(old: Path, new: Path) -> None:
    """Rename a file that is on the disk, and bring its new name onto the disk."""
    os.replace(old, new)  # noqa: PTH105 - by the name that tests replace
    sync_directory(new)


def sync_directory(path: Path) -> None:
    """Bring the name of a file onto the disk: fsync of the file covers its content only."""
    with suppress(OSError):  # Windows opens no directories, and some network file systems do not sync them
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def remove(*paths: Path) -> None:
    """Remove the files that exist, in this order."""
    for path in paths:
        path.unlink(missing_ok=True)
