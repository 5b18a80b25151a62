"""The files of one export: the target, what lies beside it until it is whole, and what goes wrong with files.

The law: what stands under the target's name is what stood there before, or a whole export; it changes by one rename.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from amili_async.errors import ConfigurationError, ExportFailed


class ExportPaths(Struct, frozen=True, kw_only=True):
    """Where everything is."""

    named: Path
    """The target, as the caller named it."""
    target: Path
    """The file that is replaced: a link stays a link, and the file that it points to is another one then."""

    @property
    def spool(self) -> Path:
        """The rows so far, in a form of our own; whoever holds its lock owns all of these files."""
        return self._beside("part")

    @property
    def state(self) -> Path:
        """Where an unfinished export stands."""
        return self._beside("checkpoint.json")

    @property
    def whole(self) -> Path:
        """The whole file, before it gets its name."""
        return self._beside("whole.part")

    @property
    def summary(self) -> Path:
        """What a finished export says of itself, from which the file can be brought up to date."""
        return self._beside("manifest.json")

    def _beside(self, ending: str) -> Path:
        return self.target.with_name(f"{self.target.name}.{ending}")

    def check_free(self, *, may_replace: bool) -> None:
        """`ConfigurationError` where the target is a folder, or exists and may not be replaced."""
        with refusing(self.named):
            is_directory, exists = self.target.is_dir(), self.target.exists()
        if is_directory:
            raise ConfigurationError(f"{self.named} is a directory")
        if exists and not may_replace:
            raise ConfigurationError(
                f"{self.named} exists already: overwrite (--force) replaces it, since (--since) brings it up to date"
            )


def find_places(path: Path) -> ExportPaths:
    """The files of an export to *path*."""
    with refusing(path):
        return ExportPaths(named=path, target=path.resolve())


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """What the system says of a file, before anything was asked of the API: the caller's mistake."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from None


@contextmanager
def failing(path: Path) -> Iterator[None]:
    """What the system says of a file, once the export is under way."""
    try:
        yield
    except OSError as error:
        raise ExportFailed(f"{path} cannot be written: {error.strerror or error}", path=path) from error


def replace_file(path: Path, content: bytes) -> None:
    """Give a small file new contents: after a crash at any moment it has the old ones or these, whole."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            keep_mode(file, path)
            os.fsync(file.fileno())
        rename(fresh, path)
    except BaseException:
        remove(fresh)
        raise


def keep_mode(file: BinaryIO, target: Path) -> None:
    """Give a new file the permissions of the file that it replaces, so that it has no more readers."""
    with suppress(OSError, AttributeError):  # there is none, or the system has no modes
        os.fchmod(file.fileno(), target.stat().st_mode & 0o777)


def rename(old: Path, new: Path) -> None:
    """Rename a file that is on the disk, and see to it that its name is there, too."""
    os.replace(old, new)  # noqa: PTH105 - by the name under which a test can stop it
    sync_folder(new)


def sync_folder(path: Path) -> None:
    """See to it that the name of a file is on the disk."""
    with suppress(OSError):  # not every system lets a folder be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove(*paths: Path) -> None:
    """Remove what is there, in this order."""
    for path in paths:
        path.unlink(missing_ok=True)
