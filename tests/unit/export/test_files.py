"""Small files that are replaced at once, and whether an export can be resumed."""

import os
import stat
from pathlib import Path

import pytest

from amili_async.errors import ConfigurationError, ExportFailed
from amili_async.export.files import find_paths, is_resumable, write_file


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
