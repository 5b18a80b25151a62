"""From a stream to a file, and what is left on the disk when that fails."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from amili_async import PayoutSpecification
from amili_async.errors import ConfigurationError, ExportFailed
from amili_async.export import export, start
from amili_async.export.encoded import STREAM_BATCH
from amili_async.export.files import find_paths
from amili_async.export.journal import release
from amili_async.export.spool import Frame, Spool, open_spool
from tests.support.clocks import GUARD, settle
from tests.support.export_records import make_line

LINE = make_line(1)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def lines(count: int) -> AsyncIterator[PayoutSpecification]:
    for _ in range(count):
        yield LINE


async def lines_then(failure: BaseException) -> AsyncIterator[PayoutSpecification]:
    for _ in range(STREAM_BATCH):
        yield LINE
    raise failure


async def test_any_async_iterable_is_written_in_batches(tmp_path: Path) -> None:
    """Records of a plain iterable are written a batch at a time, and the last, shorter batch as well."""
    reported: list[int] = []
    exported = await export(lines(1_001), tmp_path / "a.ndjson", on_progress=lambda rows, *_: reported.append(rows))
    assert reported == [500, 1_000, 1_001]
    assert exported.drifted is False  # an iterable that is no stream cannot report a drift
    assert exported.rows == (tmp_path / "a.ndjson").read_bytes().count(b"\n") == 1_001


async def test_a_full_buffer_is_written_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits in memory is on the disk before the next batch is read, and no write blocks the event loop."""
    written, reported, flush = list[threading.Thread](), list[int](), Spool.flush

    def record_thread(spool: Spool) -> None:
        written.append(threading.current_thread())
        flush(spool)

    monkeypatch.setattr("amili_async.export.spool.MAX_BUFFERED", 1)
    monkeypatch.setattr(Spool, "flush", record_thread)
    await export(lines(1_001), tmp_path / "a.ndjson", on_progress=lambda *_: reported.append(len(written)))
    assert [count - reported[0] for count in reported] == [0, 1, 2]
    assert threading.main_thread() not in written


async def test_a_stream_without_records_makes_an_empty_file(tmp_path: Path) -> None:
    """A CSV has its header if the fields are given."""
    assert (await export(lines(0), tmp_path / "a.csv", fields=("_id", "amount"))).rows == 0
    assert (tmp_path / "a.csv").read_text() == "_id,amount\n"


@pytest.mark.parametrize("option", [{"where": {"amount": 1}}, {"resume": True}, {"since": True}, {"sweep": True}])
async def test_options_of_a_resource_are_rejected_for_a_stream(option: dict[str, Any], tmp_path: Path) -> None:
    """A plain iterable can be neither filtered nor resumed, and nothing of it is written."""
    with pytest.raises(ConfigurationError, match="require a resource"):
        await export(lines(1), tmp_path / "a.csv", **option)
    assert names_in(tmp_path) == []


async def test_an_async_report_of_progress_raises(tmp_path: Path) -> None:
    """It would never run: the error precedes the first row."""

    async def on_progress(*_: object) -> None:
        """Never runs."""

    for wrong in (on_progress, dict, 5):
        with pytest.raises(ConfigurationError, match="on_progress must be a plain function"):
            await export(Mock(), tmp_path / "a.csv", on_progress=wrong)  # type: ignore[arg-type]
    assert names_in(tmp_path) == []


async def test_overwrite_replaces_an_existing_file(tmp_path: Path) -> None:
    """The new file replaces the old one, and no other file is left beside it."""
    path = tmp_path / "a.csv"
    path.write_text("old")
    await export(lines(1), path, overwrite=True)
    assert path.read_text().startswith("_id,")
    assert names_in(tmp_path) == [path.name]


async def test_a_file_created_during_the_export_is_not_replaced(tmp_path: Path) -> None:
    """The file of another process that appeared during the export keeps its content."""
    path = tmp_path / "a.csv"
    with pytest.raises(ConfigurationError, match="exists already"):
        await export(lines(1), path, on_progress=lambda *_: path.write_text("theirs"))
    assert path.read_text() == "theirs"
    assert names_in(tmp_path) == [path.name]


async def test_a_link_keeps_pointing_to_what_is_replaced(tmp_path: Path) -> None:
    """The file behind a symbolic link is replaced, the link is not."""
    real, link = tmp_path / "real.csv", tmp_path / "link.csv"
    real.write_text("old")
    link.symlink_to(real)
    await export(lines(1), link, overwrite=True)
    assert link.is_symlink()
    assert real.read_text().startswith("_id,")


@pytest.mark.parametrize("failure", [RuntimeError("x"), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_an_interrupted_export_leaves_nothing(failure: BaseException, tmp_path: Path) -> None:
    """Whatever ends it after some pages, neither the file nor its spool is left; an old file keeps its content."""
    old = tmp_path / "old.csv"
    old.write_text("old")
    for path in (tmp_path / "new.csv", old):
        with pytest.raises(type(failure)):
            await export(lines_then(failure), path, overwrite=True)
    assert names_in(tmp_path) == [old.name]
    assert old.read_text() == "old"


@pytest.mark.parametrize("cancellations", [1, 3])
async def test_a_cancellation_waits_for_the_running_write(
    cancellations: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spool is not closed while a thread writes to it, and is removed afterwards."""
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()
    flush = Spool.flush

    def flush_slowly(spool: Spool) -> None:
        if spool.rows:
            begun.set()
            may_end.wait(5)
        flush(spool)
        if spool.rows:
            ended.set()

    monkeypatch.setattr(Spool, "flush", flush_slowly)
    exporting_task = asyncio.ensure_future(export(lines(1), tmp_path / "a.ndjson"))
    await asyncio.to_thread(begun.wait, 5)
    for number in range(cancellations):
        exporting_task.cancel(f"the {number}th")
        await settle()
    assert not exporting_task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError, match="th"):  # anyio recognises its cancellations by their message
        await exporting_task
    assert ended.is_set()
    assert names_in(tmp_path) == []


async def test_a_cancellation_waits_for_the_running_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a thread opens for a cancelled export is closed and removed, and another export can begin at once."""
    begun, may_end = threading.Event(), threading.Event()

    def open_slowly(path: Path) -> Spool:
        begun.set()
        may_end.wait(5)
        return open_spool(path)

    with monkeypatch.context() as patched:
        patched.setattr(start, "open_spool", open_slowly)
        exporting_task = asyncio.ensure_future(export(lines(1), tmp_path / "a.ndjson"))
        await asyncio.to_thread(begun.wait, 5)
        exporting_task.cancel()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await exporting_task
    assert names_in(tmp_path) == []
    assert (await export(lines(1), tmp_path / "a.ndjson")).rows == 1


def test_the_files_of_the_next_export_are_left_alone(tmp_path: Path) -> None:
    """An export that has released the lock removes nothing, even if its cancellation is delivered afterwards."""
    paths = find_paths(tmp_path / "a.csv")
    spool = open_spool(paths.spool)
    spool.remove()
    paths.whole.touch()
    release(spool, paths)
    assert names_in(tmp_path) == [paths.whole.name]


async def test_an_unfinished_file_has_another_name(tmp_path: Path) -> None:
    """While the rows arrive, the only file is the spool, named `.part`."""
    seen: list[str] = []
    await export(lines(1), tmp_path / "a.csv", on_progress=lambda *_: seen.extend(names_in(tmp_path)))
    assert seen == ["a.csv.part"]


async def test_the_spool_of_a_killed_stream_is_replaced(tmp_path: Path) -> None:
    """Rows of an export that cannot be resumed are discarded by the next one."""
    spool = open_spool(tmp_path / "a.csv.part")
    spool.clear()
    spool.append(bytes(12), Frame(1, b"lost"))
    spool.close()
    assert (await export(lines(2), tmp_path / "a.csv")).rows == 2
    assert names_in(tmp_path) == ["a.csv"]


async def test_two_exports_to_one_file_do_not_mix(tmp_path: Path) -> None:
    """The second one fails while the first is running, and the first is finished."""

    async def lines_and_another_export() -> AsyncIterator[PayoutSpecification]:
        with pytest.raises(ExportFailed, match=r"a\.csv\.part is being written by another export"):
            await export(lines(1), tmp_path / "a.csv", overwrite=True)
        yield LINE

    assert (await export(lines_and_another_export(), tmp_path / "a.csv")).rows == 1
    assert names_in(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("name", ["missing/a.csv", f"{'x' * 300}.csv"])
async def test_a_path_that_the_file_system_rejects_fails_the_export(name: str, tmp_path: Path) -> None:
    """A missing directory or a name too long raises `ExportFailed` with the path, and leaves nothing behind."""
    with pytest.raises(ExportFailed, match=f"{name} cannot be written: ") as caught:
        await export(lines(1), tmp_path / name)
    assert caught.value.path == tmp_path / name
    assert names_in(tmp_path) == []


async def test_a_directory_as_the_target_is_the_callers_mistake(tmp_path: Path) -> None:
    """A path that names a directory is rejected, and the directory stays."""
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigurationError, match=r"folder\.csv is a directory"):
        await export(lines(1), tmp_path / "folder.csv")
    assert names_in(tmp_path) == ["folder.csv"]


async def test_a_spool_that_is_not_ours_fails_the_export(tmp_path: Path) -> None:
    """A foreign file under the name of the spool raises `ExportFailed` with the target, and stays."""
    (tmp_path / "a.csv.part").write_bytes(b"half of a download")
    with pytest.raises(
        ExportFailed, match=r"a\.csv cannot be written: .*a\.csv\.part exists and is not the spool of an export"
    ) as caught:
        await export(lines(1), tmp_path / "a.csv", overwrite=True)
    assert caught.value.path == tmp_path / "a.csv"
    assert (tmp_path / "a.csv.part").read_bytes() == b"half of a download"


@pytest.mark.parametrize("make", ["link", "pipe"])
@pytest.mark.parametrize("name", ["a.csv.part", "a.csv.whole.part", "a.csv.checkpoint.json", "a.csv.manifest.json.new"])
async def test_a_link_or_a_pipe_beside_the_target_is_not_followed(make: str, name: str, tmp_path: Path) -> None:
    """What another user put under a name that is known is rejected or replaced: no file is overwritten."""
    victim, planted = tmp_path / "victim", tmp_path / name
    victim.write_bytes(b"")
    planted.symlink_to(victim) if make == "link" else os.mkfifo(planted)
    async with asyncio.timeout(GUARD):
        if name == "a.csv.part":
            with pytest.raises(ExportFailed, match=rf"{name} is (a link|not a file): move it away"):
                await export(lines(1), tmp_path / "a.csv", overwrite=True)
        else:
            await export(lines(1), tmp_path / "a.csv", overwrite=True)
    assert victim.read_bytes() == b""


async def test_a_pipe_as_the_target_is_the_callers_mistake(tmp_path: Path) -> None:
    """What is neither a file nor absent is not replaced, also with overwrite."""
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(ConfigurationError, match=r"a\.csv is not a file"):
        await export(lines(1), tmp_path / "a.csv", overwrite=True)
    assert names_in(tmp_path) == ["a.csv"]


async def test_a_loop_of_links_as_the_target_fails_the_export(tmp_path: Path) -> None:
    """A link that leads to itself raises one error that names it."""
    path = tmp_path / "a.csv"
    path.symlink_to(path)
    with pytest.raises(ExportFailed, match=r"a\.csv cannot be written: Too many levels of symbolic links"):
        await export(lines(1), path, overwrite=True)


@pytest.mark.parametrize("mode", [0o600, 0o640])
@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet"])
async def test_no_other_user_can_read_the_rows_while_they_are_written(
    mode: int, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is its owner's alone until it is whole, and the new file has the mode of the old one."""
    path, frames = tmp_path / f"a.{suffix}", Spool.frames
    modes: dict[str, int] = {}
    path.touch()
    path.chmod(mode)

    def look(spool: Spool) -> Iterator[Frame]:
        modes.update({file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()})
        return frames(spool)

    monkeypatch.setattr(Spool, "frames", look)
    await export(lines(501), path, overwrite=True)
    assert modes == {path.name: mode, f"{path.name}.part": 0o600, f"{path.name}.whole.part": 0o600}
    assert path.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet"])
async def test_a_disk_that_fills_up_leaves_no_file(
    call: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that fails while rows are written or the file is committed raises an error that names the file."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / f"a.{suffix}"
    with pytest.raises(ExportFailed, match="cannot be written: No space left on device") as caught:
        await export(lines(501), path, on_progress=lambda *_: monkeypatch.setattr(os, call, fail))
    monkeypatch.undo()
    assert caught.value.path == path
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("suffix", ["csv", "ndjson"])
async def test_a_record_that_cannot_be_written_is_named(suffix: str, tmp_path: Path) -> None:
    """The error of a value that no format can hold has the record's id, and no content of the record."""

    async def records() -> AsyncIterator[dict[str, Any]]:
        yield {"_id": "6774e8021e69178178006e27", "amount": Decimal(1)}
        yield {"_id": "6774e8021e69178178006e28", "creditor_name": {"secret": {object(): "a" * 3}}}

    with pytest.raises(ExportFailed) as caught:
        await export(records(), tmp_path / f"a.{suffix}", fields=("_id", "amount", "creditor_name"))
    assert str(caught.value).endswith("record 6774e8021e69178178006e28 cannot be written")
    assert caught.value.record_id == "6774e8021e69178178006e28"
    assert names_in(tmp_path) == []
