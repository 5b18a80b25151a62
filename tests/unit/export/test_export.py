"""From a stream to a file, and what is left when that fails."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from amili_async import AmiliClient, PayoutSpecification
from amili_async.errors import ConfigurationError, ExportFailed
from amili_async.export import ExportResult, export, start
from amili_async.export.export import BATCH
from amili_async.export.files import find_places
from amili_async.export.journal import release
from amili_async.export.spool import Spool, open_spool
from amili_async.sandbox import Sandbox
from tests.support.clocks import settle
from tests.support.export_records import LINE

LINES = "finance--payout-specifications"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A few rows and no rate limit."""
    async with Sandbox(payouts=5, specifications=250, rate_limit=None) as sandbox:
        yield sandbox


@pytest.fixture
async def amili(sandbox: Sandbox) -> AsyncIterator[AmiliClient]:
    """A client of it."""
    async with AmiliClient(sandbox.url, auth=sandbox.token(), rate_limit=None) as amili:
        yield amili


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def lines(count: int) -> AsyncIterator[PayoutSpecification]:
    for _ in range(count):
        yield LINE


async def lines_then(failure: BaseException) -> AsyncIterator[PayoutSpecification]:
    for _ in range(BATCH):
        yield LINE
    raise failure


async def test_a_stream_arrives_whole_and_exact(sandbox: Sandbox, amili: AmiliClient, tmp_path: Path) -> None:
    """Every row of the server is in the file, in order, with the digits and names that it has there."""
    path = tmp_path / "lines.ndjson"
    exported = await export(amili.payout_specifications.stream(into=dict), path)
    assert exported == ExportResult(path=path, rows=250, drifted=False)
    written = [msgspec.json.Decoder(float_hook=Decimal).decode(line) for line in path.read_bytes().splitlines()]
    stored = sorted(sandbox.rows(LINES), key=lambda row: row["_id"])
    assert [(row["_id"], str(row["amount"]), set(row)) for row in written] == [
        (row["_id"], str(row["amount"]), set(row)) for row in stored
    ]


async def test_progress_is_told_page_by_page(amili: AmiliClient, tmp_path: Path) -> None:
    """The callback gets the rows so far and the total that the server names."""
    told: list[tuple[int, int | None, float | None]] = []
    stream = amili.payout_specifications.stream()
    await export(stream, tmp_path / "a.csv", on_progress=lambda *progress: told.append(progress))
    assert told == [(100, 250, None), (200, 250, None), (250, 250, None)]


async def test_any_async_iterable_is_written_in_batches(tmp_path: Path) -> None:
    """Records from elsewhere are written a batch at a time, the last one too."""
    told: list[int] = []
    exported = await export(lines(1_001), tmp_path / "a.ndjson", on_progress=lambda rows, *_: told.append(rows))
    assert told == [500, 1_000, 1_001]
    assert exported.rows == (tmp_path / "a.ndjson").read_bytes().count(b"\n") == 1_001


async def test_no_record_at_all_makes_an_empty_file(tmp_path: Path) -> None:
    """A csv has its header if the fields are told."""
    assert (await export(lines(0), tmp_path / "a.csv", fields=("_id", "amount"))).rows == 0
    assert (tmp_path / "a.csv").read_text() == "_id,amount\n"


async def test_rows_that_go_meanwhile_are_told(sandbox: Sandbox, amili: AmiliClient, tmp_path: Path) -> None:
    """A file that may miss rows says so in the result."""
    first = sandbox.rows(LINES)[0]["_id"]

    def delete_once(rows: int, *_: object) -> None:
        if rows == 10:
            sandbox.delete(LINES, first)

    stream = amili.payout_specifications.stream(page_size=10)
    assert (await export(stream, tmp_path / "a.csv", on_progress=delete_once)).drifted


async def test_an_existing_file_is_refused_before_anything_is_sent(
    sandbox: Sandbox, amili: AmiliClient, tmp_path: Path
) -> None:
    """The file stays as it was, and the server hears nothing."""
    path = tmp_path / "a.csv"
    path.write_text("precious")
    with pytest.raises(ConfigurationError, match=r"a\.csv exists already"):
        await export(amili.payouts.stream(), path)
    assert path.read_text() == "precious"
    assert names_in(tmp_path) == [path.name]
    assert len(sandbox.requests) == 0


@pytest.mark.parametrize("option", [{"where": {"amount": 1}}, {"resume": True}, {"since": True}, {"sweep": True}])
async def test_what_only_a_resource_can_is_refused(option: dict[str, Any], tmp_path: Path) -> None:
    """Records from elsewhere can be neither filtered nor resumed, and are not begun."""
    with pytest.raises(ConfigurationError, match="for a resource"):
        await export(lines(1), tmp_path / "a.csv", **option)
    assert names_in(tmp_path) == []


async def test_an_existing_file_is_replaced_when_asked_for(tmp_path: Path) -> None:
    """With overwrite the new file takes its place, and nothing else is left beside it."""
    path = tmp_path / "a.csv"
    path.write_text("old")
    await export(lines(1), path, overwrite=True)
    assert path.read_text().startswith("_id,")
    assert names_in(tmp_path) == [path.name]


async def test_a_file_that_comes_to_be_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """Somebody else's file that appeared during the export is left alone."""
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
    """Whatever ends it after some pages: no file under the name, and no part either; an old file stays."""
    old = tmp_path / "old.csv"
    old.write_text("old")
    for path in (tmp_path / "new.csv", old):
        with pytest.raises(type(failure)):
            await export(lines_then(failure), path, overwrite=True)
    assert names_in(tmp_path) == [old.name]
    assert old.read_text() == "old"


@pytest.mark.parametrize("cancellations", [1, 3])
async def test_a_cancellation_waits_for_the_write_that_has_begun(
    cancellations: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is not closed under a thread that still writes to it, and then goes away."""
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
    with pytest.raises(asyncio.CancelledError, match="th"):  # anyio knows its own by what they say
        await exporting_task
    assert ended.is_set()
    assert names_in(tmp_path) == []


async def test_a_cancellation_waits_for_the_opening_that_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a thread opens for somebody who has left is closed and removed, and another export can begin at once."""
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


def test_what_another_export_has_begun_since_is_left_alone(tmp_path: Path) -> None:
    """Who has let go of the lock removes nothing more, not even when it is told of its cancellation afterwards."""
    places = find_places(tmp_path / "a.csv")
    spool = open_spool(places.spool)
    spool.remove()
    places.whole.touch()
    release(spool, places)
    assert names_in(tmp_path) == [places.whole.name]


async def test_until_it_is_whole_the_file_is_a_part(tmp_path: Path) -> None:
    """While it grows, the only file there is clearly named `.part`."""
    seen: list[str] = []
    await export(lines(1), tmp_path / "a.csv", on_progress=lambda *_: seen.extend(names_in(tmp_path)))
    assert seen == ["a.csv.part"]


async def test_what_a_killed_one_left_is_no_obstacle(tmp_path: Path) -> None:
    """Rows of an export that can't be resumed are written over."""
    spool = open_spool(tmp_path / "a.csv.part")
    spool.clear()
    spool.append(bytes(12), 1, b"lost")
    spool.close()
    assert (await export(lines(2), tmp_path / "a.csv")).rows == 2
    assert names_in(tmp_path) == ["a.csv"]


async def test_two_exports_to_one_file_do_not_mix(tmp_path: Path) -> None:
    """The second one is refused while the first is at it, and the first ends well."""

    async def lines_meanwhile() -> AsyncIterator[PayoutSpecification]:
        with pytest.raises(ConfigurationError, match=r"a\.csv\.part is being written by another export"):
            await export(lines(1), tmp_path / "a.csv", overwrite=True)
        yield LINE

    assert (await export(lines_meanwhile(), tmp_path / "a.csv")).rows == 1
    assert names_in(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("name", ["missing/a.csv", "folder.csv", f"{'x' * 300}.csv"])
async def test_a_place_that_cannot_be_written_is_named(name: str, tmp_path: Path) -> None:
    """A missing folder, a folder of that name, a name too long: one sentence that holds the file."""
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigurationError, match=name):
        await export(lines(1), tmp_path / name)


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet"])
async def test_a_disk_that_fills_up_leaves_no_file(
    call: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that fails while rows are written, or at the very end, is an error that names the file."""

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
    """A value that no format can hold: the error has the record's id, and nothing of the record."""

    async def records() -> AsyncIterator[dict[str, Any]]:
        yield {"_id": "6774e8021e69178178006e27", "amount": Decimal(1)}
        yield {"_id": "6774e8021e69178178006e28", "creditor_name": {"secret": {object(): "a" * 3}}}

    with pytest.raises(ExportFailed) as caught:
        await export(records(), tmp_path / f"a.{suffix}", fields=("_id", "amount", "creditor_name"))
    assert str(caught.value).endswith("record 6774e8021e69178178006e28 cannot be put into it")
    assert caught.value.record_id == "6774e8021e69178178006e28"
    assert names_in(tmp_path) == []
