"""Small files that are replaced at once, and whether an export can be resumed."""

import errno
import os
import stat
from pathlib import Path

import pytest

from amili_async.errors import ConfigurationError, ExportFailed
from amili_async.export.files import create_file, find_paths, is_resumable, write_file


def test_a_file_is_replaced_with_its_mode_and_its_link(tmp_path: Path) -> None:
    """The file that a link points to gets the content and keeps its mode, and the link stays a link."""
    real, link = tmp_path / "real.html", tmp_path / "link.html"
    write_file(real, b"old")
    real.chmod(0o600)
    link.symlink_to(real)
    write_file(link, b"new")
    assert (real.read_bytes(), real.stat().st_mode & 0o777, link.is_symlink()) == (b"new", 0o600, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.html", "real.html"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file, which keeps its content, and no other file is left."""
    path = tmp_path / "a.html"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(ExportFailed, match=r"a\.html cannot be written: No space left on device") as caught:
        write_file(path, b"new")
    assert caught.value.path == path
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.html"]


def test_only_a_file_is_replaced(tmp_path: Path) -> None:
    """A directory or a device under the name is rejected, and a missing directory fails."""
    for path in (tmp_path, Path(os.devnull)):
        with pytest.raises(ConfigurationError, match="is not a file"):
            write_file(path, b"new")
    with pytest.raises(ExportFailed, match="cannot be written: No such file or directory"):
        write_file(tmp_path / "missing" / "a.html", b"new")


@pytest.mark.parametrize("name", ["loop.csv", "null\0.csv", "folder/a.csv"])
def test_a_path_that_leads_nowhere_is_one_error(name: str, tmp_path: Path) -> None:
    """A link that leads to itself, as the file or its folder, and a null character raise `ExportFailed`."""
    for link in ("loop.csv", "folder"):
        (tmp_path / link).symlink_to(link)
    with pytest.raises(ExportFailed, match="cannot be written: ") as caught:
        write_file(tmp_path / name, b"new")
    assert caught.value.path == tmp_path / name
    assert not is_resumable(tmp_path / name)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_file_is_private_while_it_is_written(umask: int, tmp_path: Path) -> None:
    """Only its owner can open it before it is whole; then it has the mode of the file it replaces, or the usual one."""
    before = os.umask(umask)
    try:
        for like, mode in ((None, 0o600), (tmp_path / "missing", 0o666 & ~umask), (tmp_path / "old", 0o640)):
            if like is not None and like.name == "old":
                like.touch()
                like.chmod(mode)
            with create_file(tmp_path / "new", like=like) as file:
                assert os.fstat(file.fileno()).st_mode & 0o777 == 0o600
            assert (tmp_path / "new").stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)


def test_another_group_is_not_given_the_permissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be given the group of the file it replaces is closed to its own group."""
    like = tmp_path / "old"
    like.touch()
    like.chmod(0o664)
    group = os.fstat

    def in_another_group(descriptor: int) -> os.stat_result:
        found = group(descriptor)
        return os.stat_result((*found[:5], found.st_gid + 1, *found[6:]))

    def deny(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", deny)
    monkeypatch.setattr(os, "fstat", in_another_group)
    with create_file(tmp_path / "new", like=like):
        pass
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o604


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_sync_is_written_to(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is written without fsync where the file system does not know it."""

    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    write_file(tmp_path / "a.html", b"new")
    assert (tmp_path / "a.html").read_bytes() == b"new"


def test_an_export_is_resumable_while_its_state_exists(tmp_path: Path) -> None:
    """A state beside the target makes it resumable; a path that cannot exist is not, and raises nothing."""
    path = tmp_path / "a.csv"
    assert not is_resumable(path)
    find_paths(path).state.touch()
    assert is_resumable(path)
    assert not is_resumable(tmp_path / f"{'x' * 300}.csv")


def test_the_content_is_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synced with all of its content, then renamed, then the directory is synced: a crash shows no part."""
    path, calls = tmp_path / "a.html", []
    sync, replace = os.fsync, os.replace

    def record_sync(number: int) -> None:
        calls.append(("directory", 0) if stat.S_ISDIR(os.fstat(number).st_mode) else ("file", os.fstat(number).st_size))
        sync(number)

    def record_rename(old: Path, new: Path) -> None:
        calls.append(("rename", 0))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", record_rename)
    write_file(path, b"new")
    assert calls == [("file", 3), ("rename", 0), ("directory", 0)]
