"""The file of frames: what is read from it, and which files it rejects."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amili_async.errors import ConfigurationError
from amili_async.export.spool import KEY_SIZE, MAGIC, MAX_BUFFERED, Frame, Spool, open_spool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """An empty spool."""
    spool = open_spool(tmp_path / "a.csv.part")
    spool.clear()
    yield spool
    spool.close()


def key(number: int) -> bytes:
    return number.to_bytes(KEY_SIZE, "big")


def read_again(spool: Spool, length: int) -> list[Frame]:
    spool.reopen(length, rows=1)
    return list(spool.frames())


@settings(deadline=None)
@given(st.permutations(range(12)), st.integers(0, 12), st.binary(max_size=40))
def test_a_reopened_spool_holds_what_the_noted_length_covers(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], noted: int, garbage: bytes
) -> None:
    """Whatever bytes follow the noted length, the frames before it are read, ascending by key."""
    path = tmp_path_factory.mktemp("spool") / "a.csv.part"
    spool, lengths = open_spool(path), []
    spool.clear()
    for number in order:
        lengths.append(spool.length)
        spool.append(key(number), Frame(number, b"x" * number))
    lengths.append(spool.length)
    spool.flush()
    spool.close()
    with path.open("ab") as file:
        file.write(garbage)
    again = open_spool(path)
    again.reopen(lengths[noted], rows=sum(order[:noted]))
    kept = sorted(order[:noted])
    assert list(again.frames()) == [Frame(number, b"x" * number) for number in kept]
    assert (again.rows, again.length, path.stat().st_size) == (sum(kept), lengths[noted], lengths[noted])
    again.append(key(99), Frame(1, b"more"))
    assert list(again.frames())[-1] == Frame(1, b"more")
    again.close()


def test_frames_past_a_length_are_cut_off(spool: Spool) -> None:
    """Cutting removes whole frames, and frames appended afterwards follow the others."""
    spool.append(key(1), Frame(2, b"one"))
    length = spool.length
    spool.append(key(2), Frame(3, b"two"))
    spool.cut(length)
    spool.append(key(3), Frame(4, b"three"))
    assert [frame.payload for frame in spool.frames()] == [b"one", b"three"]
    assert spool.rows == 6
    spool.remove()


def test_a_spool_is_full_by_what_waits_and_not_by_its_length(spool: Spool) -> None:
    """However long the file is, as much waits in memory before the next write."""
    for number in range(3):
        assert not spool.is_full
        spool.append(key(2 * number), Frame(1, b"x" * (MAX_BUFFERED // 2)))
        assert not spool.is_full
        spool.append(key(2 * number + 1), Frame(1, b"x" * (MAX_BUFFERED // 2)))
        assert spool.is_full
        spool.flush()


def test_short_writes_are_continued(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that takes a part of the bytes is followed by writes of the others."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, content: write(fd, bytes(content[:3])))
    spool.append(key(1), Frame(2, b"quite a few bytes"))
    assert list(spool.frames()) == [Frame(2, b"quite a few bytes")]
    spool.remove()


def test_a_spool_that_lost_rows_is_rejected(spool: Spool, tmp_path: Path) -> None:
    """A file that is shorter than the noted length, or has other content, is not reopened."""
    spool.append(key(1), Frame(2, b"one"))
    for length, rows in ((spool.length + 1, 2), (spool.length, 3), (spool.length - 1, 2), (len(MAGIC), 2)):
        with pytest.raises(ConfigurationError, match=r"a\.csv\.part lacks rows"):
            spool.reopen(length, rows=rows)
    (tmp_path / "a.csv.part").write_bytes(b"x" * 1000)
    with pytest.raises(ConfigurationError, match="lacks rows"):
        spool.reopen(spool.length, rows=2)
    spool.remove()


def test_a_spool_has_one_owner(spool: Spool, tmp_path: Path) -> None:
    """A second export cannot open the spool while the first has it open, but can afterwards."""
    with pytest.raises(BlockingIOError, match=r"a\.csv\.part is being written by another export"):
        open_spool(tmp_path / "a.csv.part")
    spool.close()
    open_spool(tmp_path / "a.csv.part").remove()
    assert not (tmp_path / "a.csv.part").exists()


@pytest.mark.parametrize("code", [errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS, errno.EIO])
def test_a_file_system_without_locks_is_written_to(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool that cannot be locked is opened with a warning that names it; another failure of the lock is raised."""

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", fail)
    if code == errno.EIO:
        with pytest.raises(OSError, match="Input/output error"):
            open_spool(tmp_path / "a.csv.part")
        return
    with pytest.warns(RuntimeWarning, match=r"a\.csv\.part cannot be locked, .*: run one export to it at a time"):
        spool = open_spool(tmp_path / "a.csv.part")
    spool.clear()
    spool.append(key(1), Frame(2, b"one"))
    assert list(spool.frames()) == [Frame(2, b"one")]
    spool.remove()


def test_a_spool_that_another_program_wrote_to_is_detected(spool: Spool, tmp_path: Path) -> None:
    """Frames that differ from those that were appended, as two exports without locks make them, are not read."""
    spool.append(key(1), Frame(2, b"one"))
    spool.append(key(2), Frame(3, b"two"))
    spool.flush()
    content = (tmp_path / "a.csv.part").read_bytes()
    for changed in (content[:-1], content[:-4], content[: len(MAGIC)] + content[len(MAGIC) + 1 :] + b"x"):
        (tmp_path / "a.csv.part").write_bytes(changed)
        with pytest.raises(OSError, match=r"a\.csv\.part was changed by another program: start again"):
            list(spool.frames())


def test_a_byte_that_was_changed_is_detected(spool: Spool, tmp_path: Path) -> None:
    """Rows that were edited, or that the disk has damaged, become no file, whichever of their bytes it is."""
    spool.append(key(1), Frame(1, b"x" * 12))
    spool.flush()
    spool.close()
    path = tmp_path / "a.csv.part"
    whole = path.read_bytes()
    for place in range(len(MAGIC), len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x20]) + whole[place + 1 :])
        again = open_spool(path)
        with pytest.raises((ConfigurationError, OSError), match="start again with overwrite"):
            read_again(again, len(whole))
        again.close()


def test_a_spool_restored_with_other_permissions_becomes_private(tmp_path: Path) -> None:
    """The rows are their owner's alone, whatever the mode under which the spool was found."""
    path = tmp_path / "a.csv.part"
    path.write_bytes(MAGIC)
    path.chmod(0o666)
    open_spool(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_spool_removed_while_it_is_opened_is_created_again(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export that opened the file just before its owner removed it does not write to a file without a name."""
    path = tmp_path / "a.csv.part"
    opened = os.open
    fcntl = pytest.importorskip("fcntl")
    calls: list[str] = []

    def open_then_remove(*arguments: object) -> int:
        descriptor = opened(*arguments)  # type: ignore[arg-type]
        if not calls:
            spool.remove()
        calls.append("open")
        return descriptor

    monkeypatch.setattr(os, "open", open_then_remove)
    second = open_spool(path)
    assert len(calls) == 2
    assert path.exists()
    assert fcntl is not None
    second.remove()


def test_a_spool_that_was_removed_does_not_remove_the_next(spool: Spool, tmp_path: Path) -> None:
    """A second removal leaves a file alone that another export has created since."""
    spool.remove()
    (tmp_path / "a.csv.part").write_bytes(MAGIC)
    spool.remove()
    assert (tmp_path / "a.csv.part").exists()


def test_a_foreign_file_is_left_alone(tmp_path: Path) -> None:
    """A `.part` of another program, such as a browser, is rejected and keeps its content."""
    path = tmp_path / "a.csv.part"
    path.write_bytes(b"half of a download")
    with pytest.raises(FileExistsError, match=r"a\.csv\.part exists and is not the spool of an export: move it away"):
        open_spool(path)
    assert path.read_bytes() == b"half of a download"
