"""The file of frames: what comes back from it, and what it refuses."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_async.errors import ConfigurationError
from amili_async.export.spool import KEY_SIZE, MAGIC, Frame, Spool, open_spool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """An empty one."""
    spool = open_spool(tmp_path / "a.csv.part")
    spool.clear()
    yield spool
    spool.close()


def key(number: int) -> bytes:
    return number.to_bytes(KEY_SIZE, "big")


@given(st.permutations(range(12)), st.integers(0, 12), st.binary(max_size=40))
def test_what_is_left_of_a_spool_is_what_was_noted(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], noted: int, garbage: bytes
) -> None:
    """Whatever lies beyond the length that was noted, the frames before it come back, ascending by key."""
    path = tmp_path_factory.mktemp("spool") / "a.csv.part"
    spool, lengths = open_spool(path), []
    spool.clear()
    for number in order:
        lengths.append(spool.length)
        spool.append(key(number), number, b"x" * number)
    lengths.append(spool.length)
    spool.flush()
    spool.close()
    with path.open("ab") as file:
        file.write(garbage)
    again = open_spool(path)
    again.reopen(lengths[noted])
    kept = sorted(order[:noted])
    assert list(again.frames()) == [Frame(number, b"x" * number) for number in kept]
    assert (again.rows, again.length, path.stat().st_size) == (sum(kept), lengths[noted], lengths[noted])
    again.append(key(99), 1, b"more")
    assert list(again.frames())[-1] == Frame(1, b"more")
    again.close()


def test_frames_past_a_length_are_forgotten(spool: Spool) -> None:
    """Cutting takes whole frames away, and what is appended then follows the rest."""
    spool.append(key(1), 2, b"one")
    length = spool.length
    spool.append(key(2), 3, b"two")
    spool.cut(length)
    spool.append(key(3), 4, b"three")
    assert [frame.payload for frame in spool.frames()] == [b"one", b"three"]
    assert spool.rows == 6
    spool.remove()


def test_a_disk_that_takes_a_part_at_a_time_gets_all(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short write is followed by the rest."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, content: write(fd, bytes(content[:3])))
    spool.append(key(1), 2, b"quite a few bytes")
    assert list(spool.frames()) == [Frame(2, b"quite a few bytes")]
    spool.remove()


def test_a_spool_that_lost_rows_is_refused(spool: Spool, tmp_path: Path) -> None:
    """One that is shorter than was noted, or no spool at all any more, is not taken up."""
    spool.append(key(1), 2, b"one")
    with pytest.raises(ConfigurationError, match=r"a\.csv\.part lacks rows"):
        spool.reopen(spool.length + 1)
    (tmp_path / "a.csv.part").write_bytes(b"x" * 1000)
    with pytest.raises(ConfigurationError, match="lacks rows"):
        spool.reopen(spool.length)
    spool.remove()


def test_only_one_holds_a_spool(spool: Spool, tmp_path: Path) -> None:
    """A second one is refused while the first is at it, and has it afterwards."""
    with pytest.raises(BlockingIOError, match=r"a\.csv\.part is being written by another export"):
        open_spool(tmp_path / "a.csv.part")
    spool.close()
    open_spool(tmp_path / "a.csv.part").remove()
    assert not (tmp_path / "a.csv.part").exists()


def test_a_spool_that_was_removed_meanwhile_is_made_anew(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opened the file just before its owner removed it does not go on with a file that nobody can see."""
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
    """Removing twice leaves a file alone that somebody else has made since."""
    spool.remove()
    (tmp_path / "a.csv.part").write_bytes(MAGIC)
    spool.remove()
    assert (tmp_path / "a.csv.part").exists()


def test_a_file_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    """Somebody else's .part, a browser's say, is refused and stays as it is."""
    path = tmp_path / "a.csv.part"
    path.write_bytes(b"half of a download")
    with pytest.raises(FileExistsError, match=r"a\.csv\.part exists and is not the spool of an export: move it away"):
        open_spool(path)
    assert path.read_bytes() == b"half of a download"
