"""The files of one export, and the operations on them that leave no half file behind.

Invariant: the file under the target's name is the one that was there before, or a whole export; one rename changes it.
No file beside it is opened through a link, waits for the other end of a pipe, or has readers whom the target denies.
"""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

from msgspec import Struct

from amili_async.errors import ConfigurationError, ExportFailed
from amili_async.export.remote import RemoteFile

# A name beside the target can be foreseen, so another user may have put a link or a pipe there. O_BINARY exists on
# Windows only, where a line end would otherwise become two bytes.
_SAFELY = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))

UNSUPPORTED = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""What a file system raises for a call that it does not know, such as some network mounts."""


class ExportPaths(Struct, frozen=True, kw_only=True):
    """Where the files of an export are."""

    given: Path | str
    """The target as the caller named it."""
    target: Path
    """The file that is replaced: the one that a link points to, so that the link stays a link.

    Of a file in a store, the copy of the older file that is brought up to date."""
    remote: RemoteFile | None = None
    """The file in a store; `None` for one on this machine."""

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

    @property
    def partial(self) -> Path:
        """The file of an extraction that lacks rows, which never becomes the target; its manifest is beside it."""
        return self._with_suffix("partial")

    def _with_suffix(self, suffix: str) -> Path:
        return self.target.with_name(f"{self.target.name}.{suffix}")

    @property
    def named(self) -> Path:
        """A path with the suffix of the name that the caller gave."""
        return self.target if self.remote is not None else Path(self.given)

    @property
    def like(self) -> Path | None:
        """The file whose mode the new one gets; `None` for a file that is uploaded, which stays the owner's."""
        return self.target if self.remote is None else None

    @property
    def copies(self) -> tuple[Path, ...]:
        """What only an unfinished export to a store needs, beside its own files."""
        return () if self.remote is None else (self.target, self.manifest)

    def exists(self) -> bool:
        """Whether there is a file, or anything else, under the target's name."""
        if self.remote is not None:
            return self.remote.size() is not None
        with raising_export_failed(self.given):
            return self.target.exists()

    def size(self) -> int | None:
        """Bytes of the file under the target's name; `None` if there is none."""
        return size_of(self.target) if self.remote is None else self.remote.size()

    def fetch(self) -> None:
        """Copy a file in a store and its manifest to this machine."""
        if self.remote is not None:
            remove(*self.copies)
            self.remote.download(self.target, self.manifest)

    def publish(self) -> None:
        """Make the whole file appear under the target's name, in one step."""
        if self.remote is None:
            rename(self.whole, self.target)
        else:
            self.remote.upload(self.whole)

    def check_free(self, *, may_replace: bool) -> None:
        """`ConfigurationError` if the target is a directory or a device, or exists and may not be replaced."""
        exists = self.exists()
        if exists and self.remote is None and not self.target.is_file():
            raise ConfigurationError(f"{self.given} is {'a directory' if self.target.is_dir() else 'not a file'}")
        if exists and not may_replace:
            raise ConfigurationError(
                f"{self.given} exists already: overwrite (--force) replaces it, since (--since) brings it up to date"
            )


def find_paths(
    target: PathLike[str] | str,
    workdir: Path | str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> ExportPaths:
    """The files of an export to a path, or to a URL: those on this machine are then in *workdir*."""
    if isinstance(target, str) and "://" in target:
        remote = RemoteFile(target, storage_options)
        folder = Path.cwd() if workdir is None else Path(workdir).absolute()
        return ExportPaths(given=remote.name, target=folder / remote.local_name, remote=remote)
    if workdir is not None or storage_options is not None:
        raise ConfigurationError("workdir and storage_options require a URL, such as s3://bucket/payouts.parquet")
    path = Path(target)
    with raising_export_failed(path):
        return ExportPaths(given=path, target=_resolve(path))


def _resolve(path: Path) -> Path:
    # Not Path.resolve, which raises RuntimeError for a loop of links up to Python 3.12 and nothing afterwards.
    try:
        target = Path(os.path.realpath(path))
    except ValueError as error:  # a null character
        raise OSError(errno.EINVAL, f"{error}") from None
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def is_resumable(target: Path | str, workdir: Path | str | None = None) -> bool:
    """Whether an export to *target* is unfinished and can be resumed; False also if its state cannot be found."""
    with suppress(OSError, ExportFailed):
        return size_of(find_paths(target, workdir).state) is not None
    return False


@contextmanager
def raising_export_failed(path: Path | str) -> Iterator[None]:
    """Raise an error of the file system as `ExportFailed`."""
    try:
        yield
    except OSError as error:
        # EIO: the disk or the spool is damaged, and stays so.
        message, can_resume = f"{path} cannot be written: {error.strerror or error}", error.errno != errno.EIO
        raise ExportFailed(message, path=path, can_resume=can_resume) from error


def write_file(path: Path, content: bytes) -> None:
    """Write a small file at once: after a failure at any moment it has its old content or the new one.

    `ExportFailed` if that fails, `ConfigurationError` if *path* is a directory or a device.
    """
    with raising_export_failed(path):
        target = _resolve(path)
        if target.exists() and not target.is_file():
            raise ConfigurationError(f"{path} is not a file")
        replace_file(target, content, fresh=target.with_name(f"{target.name}.{token_hex(4)}.new"), like=target)


def replace_file(path: Path, content: bytes, *, fresh: Path, like: Path | None) -> None:
    """Write *content* to *fresh*, which is then renamed to *path*; for *like*, see `create_file`."""
    with create_file(fresh, like=like) as file:
        file.write(content)
    try:
        rename(fresh, path)
    except BaseException:
        remove(fresh)
        raise


@contextmanager
def create_file(path: Path, *, like: Path | None) -> Iterator[BinaryIO]:
    """A new file, which the owner alone can open until it is whole and on the disk; removed if that fails.

    It then has the mode of the file *like*, or the usual one if that does not exist; for `None` it stays the owner's.
    What a killed export left under the name is removed first.
    """
    remove(path)
    # The umask, which cannot be read without changing it for all threads, shows in the mode of a file that is created
    # with all permissions. A user who opens it within that moment may read the target, too.
    is_private = like is None or like.exists()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY
    descriptor = os.open(path, flags, 0o600 if is_private else 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            usual = os.fstat(descriptor).st_mode
            set_mode(file, 0o600)
            yield file
            file.flush()
            # Before the rename: a reader who was denied the old file must not find the new one open for a moment.
            if like is not None:
                set_mode(file, _find_mode(file, like, usual))
            # Without it a file system with delayed allocation may bring the rename onto the disk before the content,
            # and show an empty file after a power failure.
            sync(file)
    except BaseException:
        remove(path)  # closed, because Windows removes no open file
        raise


def set_mode(file: BinaryIO, mode: int) -> None:
    """Set the permissions of an open file, where there are any."""
    with suppress(OSError, AttributeError):  # Windows before Python 3.13, and file systems without modes
        os.fchmod(file.fileno(), stat.S_IMODE(mode))


def _find_mode(file: BinaryIO, like: Path, usual: int) -> int:
    """The mode of *like*, whose group the file is given; without the group's permissions if that is not allowed."""
    try:
        wanted = like.stat()
    except FileNotFoundError:
        return usual
    with suppress(OSError, AttributeError):
        os.fchown(file.fileno(), -1, wanted.st_gid)
    is_same_group = os.fstat(file.fileno()).st_gid == wanted.st_gid
    return wanted.st_mode & (0o777 if is_same_group else 0o707)


def open_beside(path: Path, flags: int) -> BinaryIO:
    """Open a file of an export unbuffered, as `os.open` with these flags; `OSError` if it is a link or no file."""
    try:
        descriptor = os.open(path, flags | _SAFELY, 0o600)
    except OSError as error:
        if not path.is_symlink():
            raise
        raise OSError(error.errno, f"{path} is a link: move it away") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileExistsError(errno.EEXIST, f"{path} is not a file: move it away")
    return os.fdopen(descriptor, "r+b" if flags & os.O_RDWR else "rb", 0)


def size_of(path: Path) -> int | None:
    """Bytes of a file; `None` if there is none, or something else."""
    with suppress(FileNotFoundError):
        found = path.lstat()
        return found.st_size if stat.S_ISREG(found.st_mode) else None
    return None


def sync(file: BinaryIO) -> None:
    """Bring the content of a file onto the disk, where the file system can."""
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in UNSUPPORTED | {errno.EINVAL}:
            raise


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
