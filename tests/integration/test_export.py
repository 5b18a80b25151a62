"""Export of a resource from the sandbox: what is in the file, how it is resumed, and how it is brought up to date."""

import asyncio
import csv
import gzip
import io
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from zstandard import ZstdDecompressor

from amili_async import AmiliClient, RateLimit, RetryPolicy, field
from amili_async.errors import (
    ConfigurationError,
    ExportFailed,
    ExtractionInterrupted,
    ServerFault,
    UnreadableResponse,
)
from amili_async.export import commit, export, job, journal, spool
from amili_async.export.files import ExportPaths
from amili_async.extraction import Verdict
from amili_async.sandbox import Fault, Sandbox
from tests.support.clocks import GUARD, happens
from tests.support.rows import BEGINNING, SPECIFICATIONS, make_id, make_row, total_of
from tests.support.starting import Connect, StartSandbox

SUFFIXES = ["ndjson", "csv", "parquet", "csv.gz", "ndjson.zst"]
MONEY = ("amount", "vat_amount", "total_amount")


@pytest.fixture
async def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    """A few hundred rows."""
    return await start_sandbox(payouts=40, specifications=250)


@pytest.fixture
async def amili(sandbox: Sandbox, connect: Connect) -> AmiliClient:
    """A client that requests small pages, without retries."""
    return await connect(sandbox, page_size=20, concurrency=3, retry=RetryPolicy(attempts=1))


@pytest.fixture
async def second(sandbox: Sandbox, connect: Connect) -> AmiliClient:
    """Another client, whose requests its token distinguishes from those of the first, which may arrive late."""
    return await connect(sandbox, auth=sandbox.token(), page_size=20)


async def count_requests(amili: AmiliClient, sandbox: Sandbox) -> int:
    token = await amili.auth.get_valid_token()
    return sum(request.headers["x-api-key"] == token for request in sandbox.requests)


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory beside the test's own."""
    return tmp_path_factory.mktemp("other")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of any format."""
    if path.suffix == ".parquet":
        return list(parquet.read_table(path).to_pylist())
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    if path.suffix == ".zst":
        content = ZstdDecompressor().decompressobj().decompress(content)
    if ".csv" in path.suffixes:
        return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    return [json.loads(line, parse_float=Decimal) for line in content.splitlines()]


def read_ids(path: Path) -> list[str]:
    return [row["_id"] for row in read_rows(path)]


def ids_of(sandbox: Sandbox) -> list[str]:
    return sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))


async def export_whole(amili: AmiliClient, folder: Path, suffix: str, **options: Any) -> bytes:
    """The file of an export that is not interrupted."""
    path = folder / f"whole.{suffix}"
    await export(amili.payout_specifications, path, overwrite=True, **options)
    return path.read_bytes()


def stop_after(rows: int) -> Callable[..., None]:
    """A callback that ends an export once so many rows were written."""

    def stop(so_far: int, *_: object) -> None:
        if so_far >= rows:
            raise KeyError("enough")

    return stop


async def interrupt(amili: AmiliClient, path: Path, *, rows: int = 100, **options: Any) -> None:
    with pytest.raises(KeyError, match="enough"):
        await export(amili.payout_specifications, path, on_progress=stop_after(rows), **options)


# What is in the file


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["payouts", "payout_specifications", "creditor_payments", "creditors", "cases"])
async def test_every_row_is_exported_exactly(
    name: str, suffix: str, sandbox: Sandbox, amili: AmiliClient, tmp_path: Path
) -> None:
    """Each row of the server is in the file once, by `_id`, and the sums of all money columns equal the server's."""
    resource, path = getattr(amili, name), tmp_path / f"rows.{suffix}"
    exported = await export(resource, path)
    stored, written = sorted(sandbox.rows(resource.path), key=lambda row: row["_id"]), read_rows(path)
    assert [row["_id"] for row in written] == [row["_id"] for row in stored]
    for money in (*MONEY, "settled_amount"):
        amounts = [Decimal(row[money]) for row in written if row.get(money) not in (None, "")]
        assert sum(amounts, Decimal(0)) == total_of(stored, money)
    assert exported.manifest is not None
    assert (exported.path, exported.rows, exported.drifted, exported.changed) == (path, len(stored), False, None)
    assert (exported.manifest.verdict, exported.manifest.distinct) == (Verdict.COMPLETE, len(stored))
    assert names_in(tmp_path) == [path.name, f"{path.name}.manifest.json"]


async def test_parquet_has_the_same_decimals_and_instants(amili: AmiliClient, tmp_path: Path) -> None:
    """Each value that pyarrow reads is the record's."""
    path = tmp_path / "rows.parquet"
    await export(amili.payout_specifications, path)
    records = await amili.payout_specifications.stream().collect()
    for record, row in zip(records, read_rows(path), strict=True):
        assert [row[name] for name in MONEY] == [record.amount, record.vat_amount, record.total_amount]
        assert (row["_created"], row["booking_date"]) == (record.created, record.booking_date)
        assert row["_created"].tzinfo is not None


async def test_rows_deleted_during_the_export_are_reported(
    sandbox: Sandbox, amili: AmiliClient, tmp_path: Path
) -> None:
    """Rows present throughout are in the file once, and the result is marked as drifted."""
    path, ids = tmp_path / "rows.csv", ids_of(sandbox)

    def delete_some(rows: int, *_: object) -> None:
        if rows == 20:
            for place in (3, 120, 240):
                sandbox.delete(SPECIFICATIONS, ids[place])

    exported = await export(amili.payout_specifications, path, on_progress=delete_some)
    assert exported.drifted
    assert exported.manifest is not None
    assert exported.manifest.verdict is Verdict.DRIFTED
    assert set(ids_of(sandbox)) <= set(read_ids(path)) <= set(ids)
    assert read_ids(path) == sorted(set(read_ids(path)))


async def test_digits_and_undocumented_fields_are_kept(sandbox: Sandbox, amili: AmiliClient, tmp_path: Path) -> None:
    """Undocumented fields can be chosen, and money has the digits that the API sent."""
    first = ids_of(sandbox)[0]
    sandbox.update(SPECIFICATIONS, first, {"campaign": "sommar", "amount": Decimal("60.50")})
    path = tmp_path / "rows.csv"
    await export(amili.payout_specifications, path, fields=("id", "campaign", "amount"), where={"campaign": "sommar"})
    assert path.read_text() == f"_id,campaign,amount\n{first},sommar,60.50\n"


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_a_file_without_rows_is_valid(suffix: str, amili: AmiliClient, tmp_path: Path) -> None:
    """A table without rows has its columns."""
    path = tmp_path / f"rows.{suffix}"
    exported = await export(amili.payouts, path, where=field("amount") == 7)
    assert (exported.rows, read_rows(path)) == (0, [])
    if suffix == "csv":
        assert path.read_text().startswith("_id,_created,")
    if suffix == "parquet":
        assert "summary" in parquet.read_schema(path).names


async def test_progress_reports_rows_total_and_time(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    """The rows increase up to the total, and the time that the rate limit needs is known after each page."""
    reported: list[tuple[int, int | None, float | None]] = []
    amili = await connect(sandbox, page_size=10, concurrency=1, rate_limit=RateLimit())
    await export(
        amili.payout_specifications, tmp_path / "a.csv", on_progress=lambda *progress: reported.append(progress)
    )
    rows, totals, left = zip(*reported, strict=True)
    assert list(rows) == sorted(set(rows))
    assert (rows[-1], set(totals)) == (250, {250})
    assert all(seconds is not None for seconds in left)


# Resuming


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("rows", [20, 100, 240])
async def test_an_interrupted_export_is_resumed(
    rows: int, suffix: str, amili: AmiliClient, tmp_path: Path, other: Path
) -> None:
    """Until then there is no file under the name, and then it equals the file of an uninterrupted export."""
    path = tmp_path / f"rows.{suffix}"
    await interrupt(amili, path, rows=rows)
    if rows > 20:  # the checkpoint does not cover the batch at hand
        assert names_in(tmp_path) == [f"{path.name}.checkpoint.json", f"{path.name}.part"]
        with pytest.raises(ConfigurationError, match=r"is an unfinished export: continue it with resume \(--resume\)"):
            await export(amili.payout_specifications, path)
    exported = await export(amili.payout_specifications, path, resume=True)
    assert (exported.rows, exported.manifest and exported.manifest.verdict) == (250, Verdict.COMPLETE)
    assert path.read_bytes() == await export_whole(amili, other, suffix)
    assert names_in(tmp_path) == [path.name, f"{path.name}.manifest.json"]


async def test_no_page_is_requested_twice(sandbox: Sandbox, amili: AmiliClient, tmp_path: Path) -> None:
    """After a fault of the server the checkpoint covers all rows that were written."""
    path = tmp_path / "rows.csv"
    sandbox.fail(Fault.server_error(), times=None, path=SPECIFICATIONS, after=7)
    with pytest.raises(ExtractionInterrupted) as caught:
        await export(amili.payout_specifications, path)
    sandbox.stop_failing()
    taken = caught.value.checkpoint.rows
    assert taken > 0
    state = json.loads((tmp_path / "rows.csv.checkpoint.json").read_text())
    assert state["checkpoint"]["rows"] == taken
    reported: list[int] = []
    await export(amili.payout_specifications, path, resume=True, on_progress=lambda rows, *_: reported.append(rows))
    assert reported[0] <= taken + 20
    assert read_ids(path) == ids_of(sandbox)


async def test_a_cancelled_export_is_resumed(sandbox: Sandbox, amili: AmiliClient, tmp_path: Path) -> None:
    """A cancellation while it waits for the next page keeps the rows."""
    path, reported = tmp_path / "rows.ndjson", asyncio.Event()
    sandbox.fail(Fault(hang=True), times=None, path=SPECIFICATIONS, after=6)
    running = asyncio.ensure_future(
        export(amili.payout_specifications, path, on_progress=lambda rows, *_: reported.set() if rows >= 60 else None)
    )
    await reported.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    sandbox.stop_failing()
    await export(amili.payout_specifications, path, resume=True)
    assert read_ids(path) == ids_of(sandbox)


async def test_an_export_that_fails_before_its_first_row_leaves_nothing(
    sandbox: Sandbox, amili: AmiliClient, tmp_path: Path
) -> None:
    """An export that fails before its first row cannot be resumed, so no file is left."""
    sandbox.fail(Fault.server_error(), times=None)
    with pytest.raises(ServerFault):
        await export(amili.payout_specifications, tmp_path / "rows.csv")
    assert names_in(tmp_path) == []


async def test_resume_begins_if_nothing_is_unfinished(sandbox: Sandbox, amili: AmiliClient, tmp_path: Path) -> None:
    """The same command line serves both; an existing file is still not replaced."""
    path = tmp_path / "rows.csv"
    await export(amili.payout_specifications, path, resume=True)
    assert read_ids(path) == ids_of(sandbox)
    with pytest.raises(ConfigurationError, match="exists already"):
        await export(amili.payout_specifications, path, resume=True)


async def test_overwrite_starts_again(sandbox: Sandbox, amili: AmiliClient, tmp_path: Path) -> None:
    """An unfinished export is discarded, and the existing file is replaced once the new one is whole."""
    path = tmp_path / "rows.csv"
    path.write_text("old")
    await interrupt(amili, path, overwrite=True)
    assert path.read_text() == "old"
    sandbox.requests.clear()
    reported: list[int] = []
    await export(amili.payout_specifications, path, overwrite=True, on_progress=lambda rows, *_: reported.append(rows))
    assert reported[0] == 20
    assert read_ids(path) == ids_of(sandbox)


async def test_a_resumed_export_may_replace_what_the_interrupted_one_might(
    sandbox: Sandbox, amili: AmiliClient, tmp_path: Path
) -> None:
    """Resuming an export with overwrite does not need overwrite again."""
    path = tmp_path / "rows.csv"
    path.write_text("old")
    await interrupt(amili, path, overwrite=True)
    await export(amili.payout_specifications, path, resume=True)
    assert read_ids(path) == ids_of(sandbox)


async def test_overwrite_needs_no_readable_state(sandbox: Sandbox, amili: AmiliClient, tmp_path: Path) -> None:
    """A state that cannot be read is rejected by resume, and discarded by overwrite."""
    path, state = tmp_path / "rows.csv", tmp_path / "rows.csv.checkpoint.json"
    await interrupt(amili, path)
    for content, message in ((b'{"version":2}', "has version 2"), (b"{", "is not the state"), (None, "lacks rows")):
        if content is None:
            await export(amili.payout_specifications, path, overwrite=True)
            await interrupt(amili, path, overwrite=True)
            (tmp_path / "rows.csv.part").write_bytes(b"")
        else:
            state.write_bytes(content)
        with pytest.raises(ConfigurationError, match=rf"{message}.*start again with overwrite \(--force\)"):
            await export(amili.payout_specifications, path, resume=True)
    await export(amili.payout_specifications, path, overwrite=True)
    assert read_ids(path) == ids_of(sandbox)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fields": ("_id", "amount")}, "with fields=all, not fields=_id,amount"),
        ({"where": {"currency": "SEK"}}, "another filter"),
        ({"since": True}, None),
    ],
)
async def test_an_export_is_not_resumed_with_other_options(
    options: dict[str, Any],
    message: str | None,
    sandbox: Sandbox,
    amili: AmiliClient,
    second: AmiliClient,
    tmp_path: Path,
) -> None:
    """The option that differs is named before the first request; `since` without a file is no difference."""
    path = tmp_path / "rows.csv"
    await interrupt(amili, path)
    before = {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path)}
    if message is None:
        assert (await export(second.payout_specifications, path, resume=True, **options)).rows == 250
        return
    with pytest.raises(ConfigurationError, match=message):
        await export(second.payout_specifications, path, resume=True, **options)
    with pytest.raises(
        ConfigurationError, match="with resource=finance--payout-specifications, not resource=finance--payouts"
    ):
        await export(second.payouts, path, resume=True)
    assert await count_requests(second, sandbox) == 0
    assert {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path)} == before


# Failures


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("calls", [1, 4])
async def test_an_export_is_resumed_after_a_full_disk(
    calls: int, call: str, suffix: str, sandbox: Sandbox, amili: AmiliClient, tmp_path: Path, other: Path
) -> None:
    """Rows written before the disk was full are kept, while rows arrive and while the file is committed."""
    path, original, done = tmp_path / f"rows.{suffix}", getattr(os, call), 0

    def fill_up(*arguments: Any) -> Any:
        nonlocal done
        done += 1
        if done > calls:
            raise OSError(28, "No space left on device")
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, fill_up)
        patch.setattr(spool, "MAX_BUFFERED", 1)  # so that each page is written by itself
        with pytest.raises(ExportFailed, match="cannot be written: No space left on device"):
            await export(amili.payout_specifications, path)
    whole = await export_whole(amili, other, suffix)
    assert path.name not in names_in(tmp_path) or path.read_bytes() == whole
    await export(amili.payout_specifications, path, resume=True)
    assert path.read_bytes() == whole


async def test_a_record_that_does_not_fit_is_named(sandbox: Sandbox, amili: AmiliClient, tmp_path: Path) -> None:
    """An amount that Parquet cannot hold ends the export, which can be resumed once the row is corrected."""
    path, wrong = tmp_path / "rows.parquet", ids_of(sandbox)[130]
    sandbox.update(SPECIFICATIONS, wrong, {"vat_amount": Decimal("1234567890123456789")})
    with pytest.raises(ExportFailed, match=f"record {wrong} cannot be written: vat_amount has more than 18") as caught:
        await export(amili.payout_specifications, path)
    assert (caught.value.record_id, caught.value.path) == (wrong, path)
    assert "12345" not in str(caught.value)
    sandbox.update(SPECIFICATIONS, wrong, {"vat_amount": Decimal("0.123")})
    await export(amili.payout_specifications, path, resume=True)
    assert read_ids(path) == ids_of(sandbox)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_rounded_amounts_are_counted(
    is_stream: bool, sandbox: Sandbox, amili: AmiliClient, tmp_path: Path
) -> None:
    """The noise of floats does not end an export; the result and the manifest count it, also after an interruption."""
    path, ids = tmp_path / "rows.parquet", ids_of(sandbox)
    for place in (3, 130, 249):
        sandbox.update(SPECIFICATIONS, ids[place], {"amount": Decimal("-8.5E-14"), "vat_amount": Decimal("0.125")})
    if is_stream:
        exported = await export(amili.payout_specifications.stream(), path)
    else:
        await interrupt(amili, path)
        exported = await export(amili.payout_specifications, path, resume=True)
        assert json.loads((tmp_path / "rows.parquet.manifest.json").read_text())["rounded"] == 3
    assert (exported.rows, exported.rounded) == (250, 3)
    assert [read_rows(path)[place]["amount"] for place in (3, 130, 249)] == [0, 0, 0]


async def test_a_row_that_does_not_decode_is_named(sandbox: Sandbox, amili: AmiliClient, tmp_path: Path) -> None:
    """The error has the row's id, and rows written before it are kept."""
    path, wrong = tmp_path / "rows.csv", ids_of(sandbox)[130]
    sandbox.update(SPECIFICATIONS, wrong, {"amount": [1]})
    with pytest.raises(ExtractionInterrupted, match=wrong):
        await export(amili.payout_specifications, path)
    sandbox.update(SPECIFICATIONS, wrong, {"amount": 1})
    await export(amili.payout_specifications, path, resume=True)
    assert read_ids(path) == ids_of(sandbox)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("folder.csv", {}, "is a directory"),
        ("there.csv", {}, "exists already"),
        ("missing/a.csv", {}, "cannot be written"),
        ("a.xlsx", {}, "must end in"),
        ("a.csv", {"fields": ()}, "at least one field"),
        ("a.csv", {"where": {"$where": 1}}, "where"),
        ("a.csv", {"sweep": True}, "sweep requires since"),
        ("there.csv", {"since": True}, r"there\.csv\.manifest\.json is missing"),
    ],
)
async def test_an_impossible_export_is_rejected_before_the_first_request(
    name: str, options: dict[str, Any], message: str, sandbox: Sandbox, amili: AmiliClient, tmp_path: Path
) -> None:
    """The error names the reason, no request is sent, and no file is left or changed."""
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "there.csv").write_text("precious")
    error = ExportFailed if name == "missing/a.csv" else ConfigurationError
    with pytest.raises(error, match=message):
        await export(amili.payouts, tmp_path / name, **options)
    assert len(sandbox.requests) == 0
    assert names_in(tmp_path) == ["folder.csv", "there.csv"]
    assert (tmp_path / "there.csv").read_text() == "precious"


async def test_a_file_created_during_the_export_is_not_replaced(
    sandbox: Sandbox, amili: AmiliClient, tmp_path: Path
) -> None:
    """The file of another process keeps its content, and the rows are kept until overwrite allows to replace it."""
    path = tmp_path / "rows.csv"
    with pytest.raises(ConfigurationError, match="exists already"):
        await export(amili.payout_specifications, path, on_progress=lambda *_: path.write_text("theirs"))
    assert path.read_text() == "theirs"
    with pytest.raises(ConfigurationError, match="exists already"):
        await export(amili.payout_specifications, path, resume=True)
    assert path.read_text() == "theirs"
    sandbox.requests.clear()
    await export(amili.payout_specifications, path, resume=True, overwrite=True)
    assert read_ids(path) == ids_of(sandbox)
    assert len(sandbox.requests) == 0


async def test_two_exports_to_one_file_do_not_mix(sandbox: Sandbox, amili: AmiliClient, tmp_path: Path) -> None:
    """The second one fails whatever its options, and the first is finished."""
    path, failed = tmp_path / "rows.csv", []

    async def export_as_well(**options: Any) -> None:
        with pytest.raises(ExportFailed, match="is being written by another export"):
            await export(amili.payout_specifications, path, **options)
        failed.append(options)

    tasks: list[asyncio.Task[None]] = []

    def start_others(rows: int, *_: object) -> None:
        if rows == 40:
            tasks.extend(
                asyncio.ensure_future(export_as_well(**{name: True})) for name in ("resume", "overwrite", "since")
            )

    await export(amili.payout_specifications, path, on_progress=start_others)
    await asyncio.gather(*tasks)
    assert len(failed) == 3
    assert read_ids(path) == ids_of(sandbox)


async def test_a_link_keeps_pointing_to_what_is_replaced(sandbox: Sandbox, amili: AmiliClient, tmp_path: Path) -> None:
    """The file behind a symbolic link is replaced, the link is not; spool and state are beside the file."""
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "rows.csv", tmp_path / "link.csv"
    link.symlink_to(real)
    await interrupt(amili, link)
    assert names_in(tmp_path / "real") == ["rows.csv.checkpoint.json", "rows.csv.part"]
    await export(amili.payout_specifications, link, resume=True)
    assert link.is_symlink()
    assert read_ids(real) == ids_of(sandbox)


# Bringing a file up to date


def change_rows(sandbox: Sandbox) -> None:
    """Change some rows, and insert one before all others, one between two and one after all others."""
    ids = ids_of(sandbox)
    now = datetime.now(UTC).replace(microsecond=0)
    for place in (0, 17, 18, 130, 249):
        sandbox.update(
            SPECIFICATIONS, ids[place], {"creditor_name": f'New "{place}", AB\n', "amount": Decimal("0.125")}
        )
    for number, second in enumerate((1, BEGINNING + 86_400, BEGINNING + 300 * 86_400)):
        sandbox.insert(SPECIFICATIONS, make_row(make_id(second, number), _updated=now))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("fields", [None, ("creditor_name", "_id", "amount", "booking_date")])
async def test_a_file_is_brought_up_to_date(
    fields: tuple[str, ...] | None, suffix: str, sandbox: Sandbox, amili: AmiliClient, tmp_path: Path, other: Path
) -> None:
    """It equals the file of a whole export at the cost of the changes; a second time nothing changes."""
    path = tmp_path / f"rows.{suffix}"
    first = await export(amili.payout_specifications, path, fields=fields, since=True)
    assert (first.rows, first.changed) == (250, None)
    change_rows(sandbox)
    sandbox.requests.clear()
    second = await export(amili.payout_specifications, path, since=True)
    assert (second.rows, second.changed) == (253, 8)
    assert len(sandbox.requests) < 8
    assert path.read_bytes() == await export_whole(amili, other, suffix, fields=fields)
    third = await export(amili.payout_specifications, path, fields=fields, since=True)
    assert (third.rows, third.changed) == (253, 0)
    assert path.read_bytes() == await export_whole(amili, other, suffix, fields=fields)


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_a_sweep_leaves_out_deleted_rows(
    suffix: str, sandbox: Sandbox, amili: AmiliClient, tmp_path: Path
) -> None:
    """Deleted rows, and rows that the filter has stopped matching, stay in the file until a sweep."""
    path, ids = tmp_path / f"rows.{suffix}", ids_of(sandbox)
    await export(amili.payout_specifications, path, where={"creditor_name": {"$ne": "Gone AB"}})
    for place in (0, 17, 249):
        sandbox.delete(SPECIFICATIONS, ids[place])
    sandbox.update(SPECIFICATIONS, ids[30], {"creditor_name": "Gone AB"})
    for sweep, count in ((False, 250), (True, 246)):
        exported = await export(
            amili.payout_specifications, path, where={"creditor_name": {"$ne": "Gone AB"}}, since=True, sweep=sweep
        )
        assert exported.rows == len(read_rows(path)) == count
    assert read_ids(path) == [row_id for row_id in ids_of(sandbox) if row_id != ids[30]]


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_bringing_up_to_date_can_be_interrupted(
    suffix: str, sandbox: Sandbox, amili: AmiliClient, tmp_path: Path, other: Path
) -> None:
    """The old file stays until the new one is whole, and resuming requires since."""
    path = tmp_path / f"rows.{suffix}"
    await export(amili.payout_specifications, path)
    old = path.read_bytes()
    for row_id in ids_of(sandbox)[::2]:
        sandbox.update(SPECIFICATIONS, row_id, {"creditor_name": "New AB"})
    await interrupt(amili, path, rows=60, since=True)
    assert path.read_bytes() == old
    with pytest.raises(ConfigurationError, match="brings the file up to date: resume it with since"):
        await export(amili.payout_specifications, path, resume=True)
    with pytest.raises(ConfigurationError, match="is an unfinished export"):
        await export(amili.payout_specifications, path, since=True)
    exported = await export(amili.payout_specifications, path, since=True, resume=True)
    assert (exported.rows, exported.changed) == (250, 125)
    assert path.read_bytes() == await export_whole(amili, other, suffix)


async def test_bringing_up_to_date_can_start_again(
    sandbox: Sandbox, amili: AmiliClient, tmp_path: Path, other: Path
) -> None:
    """Overwrite discards the unfinished export, not the file, which is still the base of the update."""
    path = tmp_path / "rows.csv"
    await export(amili.payout_specifications, path)
    for row_id in ids_of(sandbox)[::2]:
        sandbox.update(SPECIFICATIONS, row_id, {"creditor_name": "New AB"})
    await interrupt(amili, path, rows=60, since=True)
    exported = await export(amili.payout_specifications, path, since=True, overwrite=True)
    assert (exported.rows, exported.changed) == (250, 125)
    assert path.read_bytes() == await export_whole(amili, other, "csv")


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_a_file_that_cannot_be_brought_up_to_date_is_rejected(
    suffix: str, sandbox: Sandbox, amili: AmiliClient, tmp_path: Path
) -> None:
    """Another size, other fields, another filter, no `_id`, no manifest: rejected before the first request."""
    path, bare = tmp_path / f"rows.{suffix}", tmp_path / f"bare.{suffix}"
    await export(amili.payout_specifications, path)
    await export(amili.payout_specifications, bare, fields=("amount",))
    sandbox.requests.clear()

    async def check_rejected(path: Path, message: str, **options: Any) -> None:
        with pytest.raises(ConfigurationError, match=message):
            await export(amili.payout_specifications, path, since=True, **options)

    await check_rejected(path, "with fields=all, not fields=_id", fields=("_id",))
    await check_rejected(path, "another filter", where={"currency": "SEK"})
    await check_rejected(bare, "cannot be brought up to date: .*_id")
    with path.open("ab") as file:
        file.write(b"\n")
    await check_rejected(path, "was changed since its export")
    (tmp_path / f"bare.{suffix}.manifest.json").write_text("{}")
    await check_rejected(bare, "is not the manifest of an export")
    assert len(sandbox.requests) == 0
    assert [name for name in names_in(tmp_path) if name.endswith((".part", ".checkpoint.json"))] == []


async def test_a_changed_file_of_the_same_size_is_not_merged(
    sandbox: Sandbox, amili: AmiliClient, tmp_path: Path
) -> None:
    """Rows in another order are detected, and the file keeps its content."""
    path = tmp_path / "rows.ndjson"
    await export(amili.payout_specifications, path)
    rows = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(reversed(rows)))
    with pytest.raises(ExportFailed, match="was changed since its export") as caught:
        await export(amili.payout_specifications, path, since=True)
    assert not caught.value.can_resume
    assert path.read_bytes() == b"".join(reversed(rows))


async def test_rows_are_saved_while_the_next_page_is_late(
    start_sandbox: StartSandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While no page arrives, the saved state covers every page that was written, even if the process is killed then."""
    monkeypatch.setattr(job, "SAVE_EVERY", 0.01)
    monkeypatch.setattr(journal, "SAVE_EVERY", 0.01)
    sandbox = await start_sandbox(specifications=2000)
    amili = await connect(sandbox, concurrency=2)
    sandbox.fail(Fault(hang=True), path=SPECIFICATIONS, after=7, times=None)
    path = tmp_path / "rows.csv"
    exporting = asyncio.ensure_future(export(amili.payout_specifications, path))
    state = tmp_path / "rows.csv.checkpoint.json"
    await happens(lambda: state.exists() and json.loads(state.read_bytes())["checkpoint"]["rows"] >= 700)
    exporting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exporting


async def test_a_file_keeps_its_mode(amili: AmiliClient, tmp_path: Path) -> None:
    """A user who could not read the old file can read neither the new one nor the spool."""
    path = tmp_path / "payouts.csv"
    modes: list[int] = []
    await export(amili.payouts, path)
    path.chmod(0o600)
    part = path.with_name("payouts.csv.part")

    def look(*_: Any) -> None:
        modes.append(part.stat().st_mode & 0o777)

    await export(amili.payouts, path, since=True, on_progress=look)
    assert path.stat().st_mode & 0o777 == 0o600
    await export(amili.payouts, path, overwrite=True, on_progress=look)
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(modes) == {0o600}
    assert path.with_name("payouts.csv.manifest.json").stat().st_mode & 0o777 == 0o600


async def test_an_unfinished_export_is_its_owners_alone(amili: AmiliClient, tmp_path: Path) -> None:
    """Spool and state cannot be read by other users, whatever the umask."""
    await interrupt(amili, tmp_path / "rows.csv")
    for name in ("rows.csv.checkpoint.json", "rows.csv.part"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("make", ["link", "pipe"])
@pytest.mark.parametrize("name", ["rows.csv.part", "rows.csv.checkpoint.json", "rows.csv.manifest.json"])
async def test_a_link_or_a_pipe_beside_the_target_is_rejected(
    make: str, name: str, sandbox: Sandbox, amili: AmiliClient, tmp_path: Path, other: Path
) -> None:
    """What resuming or bringing up to date would read is neither followed nor waited for."""
    path, planted = tmp_path / "rows.csv", tmp_path / name
    await export(amili.payouts, path)
    sandbox.requests.clear()
    planted.unlink(missing_ok=True)
    planted.symlink_to(other / "victim") if make == "link" else os.mkfifo(planted)
    async with asyncio.timeout(GUARD):
        with pytest.raises(ExportFailed, match=rf"{name} is (a link|not a file): move it away"):
            await export(amili.payouts, path, resume=True, since=True)
    assert (names_in(other), len(sandbox.requests)) == ([], 0)


@pytest.mark.parametrize("damage", ["state", "spool", "checkpoint"])
async def test_rows_that_the_spool_lacks_become_no_file(
    damage: str, sandbox: Sandbox, amili: AmiliClient, second: AmiliClient, tmp_path: Path
) -> None:
    """An older state, an older spool or an edited state is detected before the first request."""
    path, state, part = (tmp_path / f"rows.csv{suffix}" for suffix in ("", ".checkpoint.json", ".part"))
    await interrupt(amili, path, rows=80)
    old_state, old_part = json.loads(state.read_text()), part.read_bytes()
    await interrupt(amili, path, rows=160, resume=True)
    new_state = json.loads(state.read_text())
    assert old_state["spool_length"] < new_state["spool_length"]
    if damage == "state":
        state.write_text(json.dumps(new_state | {"spool_length": old_state["spool_length"]}))
    elif damage == "spool":
        part.write_bytes(old_part)
    else:
        state.write_text(json.dumps(old_state | {"checkpoint": new_state["checkpoint"]}))
    with pytest.raises(ConfigurationError, match=r"lacks rows that its state covers: start again with overwrite"):
        await export(second.payout_specifications, path, resume=True)
    assert await count_requests(second, sandbox) == 0
    assert not path.exists()
    await export(second.payout_specifications, path, overwrite=True)
    assert read_ids(path) == ids_of(sandbox)


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_a_spool_that_is_changed_during_the_export_becomes_no_file(
    suffix: str, amili: AmiliClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that another program cut off, as two exports without a lock can, are missed before the file is made."""
    monkeypatch.setattr(spool, "MAX_BUFFERED", 1)
    path = tmp_path / f"rows.{suffix}"

    def cut(rows: int, *_: object) -> None:
        if rows == 250:
            os.truncate(tmp_path / f"rows.{suffix}.part", len(spool.MAGIC))

    with pytest.raises(ExportFailed, match="was changed by another program: start again with overwrite"):
        await export(amili.payout_specifications, path, on_progress=cut)
    assert not path.exists()


async def test_a_whole_file_that_is_changed_is_not_committed(
    amili: AmiliClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export killed before its rename is not finished with a file of another size."""
    path, whole = tmp_path / "rows.csv", tmp_path / "rows.csv.whole.part"

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(ExportPaths, "publish", fail)
        with pytest.raises(ExportFailed, match="No space left"):
            await export(amili.payout_specifications, path)
    whole.write_bytes(whole.read_bytes()[:-1])
    with pytest.raises(ExportFailed, match="was changed before its export was finished: start again with overwrite"):
        await export(amili.payout_specifications, path, resume=True)
    assert not path.exists()


async def test_an_export_with_sweep_is_resumed_with_sweep(sandbox: Sandbox, amili: AmiliClient, tmp_path: Path) -> None:
    """An interrupted export with sweep is only resumed with sweep, and the error names the option."""
    path = tmp_path / "rows.csv"
    await export(amili.payout_specifications, path)
    deleted = ids_of(sandbox)[3]
    for row_id in ids_of(sandbox):
        sandbox.update(SPECIFICATIONS, row_id, {"article": "cost"})
    sandbox.delete(SPECIFICATIONS, deleted)
    sandbox.fail(Fault(status=403), path=SPECIFICATIONS, after=6, times=None)
    with pytest.raises(ExtractionInterrupted):
        await export(amili.payout_specifications, path, since=True, sweep=True)
    sandbox.stop_failing()
    with pytest.raises(ConfigurationError, match=r"leaves out deleted rows: resume it with sweep \(--sweep\)"):
        await export(amili.payout_specifications, path, since=True, resume=True)
    await export(amili.payout_specifications, path, since=True, sweep=True, resume=True)
    assert deleted not in path.read_text()


async def test_an_incomplete_list_becomes_a_partial_file(
    sandbox: Sandbox, amili: AmiliClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer rows than the server counted raise an error with the numbers; the rows are kept under another name.

    An old file keeps its content, also if the export is interrupted before the rename.
    """
    path = tmp_path / "rows.ndjson"
    await export(amili.payout_specifications, path)
    before = {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path)}
    sandbox.override(page=lambda _, page: {**page, "_items": page["_items"][:3] + page["_items"][4:]})
    with monkeypatch.context() as patched:
        patched.setattr(commit, "size_of", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await export(amili.payout_specifications, path, overwrite=True)
    for resume in (True, False):
        with pytest.raises(UnreadableResponse, match=r"was not written: of .* the API sent \d+ but counted 250"):
            await export(amili.payout_specifications, path, resume=resume, overwrite=not resume)
        left = {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path)}
        kept, manifest = left.pop("rows.ndjson.partial"), json.loads(left.pop("rows.ndjson.partial.manifest.json"))
        assert left == before
        assert manifest["manifest"]["verdict"] == "partial"
        assert 0 < kept.count(b"\n") == manifest["rows"] < 250
    sandbox.override()
    await export(amili.payout_specifications, path, overwrite=True)
    assert len(read_ids(path)) == 250
