"""Records as bytes while they arrive: for a web download, and for an open file."""

import csv
import gzip
import io
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pyarrow import parquet
from zstandard import ZstdDecompressor

from amili_async import AmiliClient, Payout
from amili_async.errors import ClientClosed, ConfigurationError, ExportFailed, UnreadableResponse
from amili_async.export import ExportResult, export, export_bytes
from amili_async.sandbox import ReceivedRequest, Sandbox
from tests.support import internals
from tests.support.clocks import settle
from tests.support.leaving_early import WAYS, assert_nothing_is_left, hold_a_while
from tests.support.rows import SPECIFICATIONS, count_pages
from tests.support.starting import Connect, StartSandbox

FORMATS = ["csv", ".ndjson", "parquet", "csv.gz", "ndjson.zst"]


@pytest.fixture
async def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    """A few hundred rows."""
    return await start_sandbox(payouts=40, specifications=250)


@pytest.fixture
async def amili(sandbox: Sandbox, connect: Connect) -> AmiliClient:
    """A client that requests small pages."""
    return await connect(sandbox, page_size=20, concurrency=3)


async def collect(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def read_ids(content: bytes, format_: str) -> list[str]:
    """The ids in a file of any format."""
    if format_ == "parquet":
        return [row["_id"] for row in parquet.read_table(io.BytesIO(content)).to_pylist()]
    if format_.endswith(".gz"):
        content = gzip.decompress(content)
    if format_.endswith(".zst"):
        content = ZstdDecompressor().decompressobj().decompress(content)
    if "csv" in format_:
        return [row["_id"] for row in csv.DictReader(io.StringIO(content.decode(), newline=""))]
    return [json.loads(line)["_id"] for line in content.splitlines()]


@pytest.mark.parametrize("format_", FORMATS)
async def test_the_bytes_are_those_of_a_file(
    format_: str, sandbox: Sandbox, amili: AmiliClient, tmp_path: Path
) -> None:
    """A resource is in them once, with the columns of its type; a stream as in the file of an export."""
    ids = sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))
    content = await collect(export_bytes(amili.payout_specifications, format_))
    assert sorted(read_ids(content, format_)) == ids
    path = tmp_path / f"file.{format_.removeprefix('.')}"
    await export(amili.payout_specifications.stream(), path)
    assert await collect(export_bytes(amili.payout_specifications.stream(), format_)) == path.read_bytes()


@pytest.mark.parametrize("format_", FORMATS)
async def test_no_records_are_the_bytes_of_an_empty_file(format_: str, amili: AmiliClient, tmp_path: Path) -> None:
    """The header and the schema are there without any row."""
    where, path = {"currency": "none"}, tmp_path / f"file.{format_.removeprefix('.')}"
    await export(amili.payouts, path, where=where)
    assert await collect(export_bytes(amili.payouts, format_, where=where)) == path.read_bytes()


async def test_row_groups_are_sent_when_they_are_full(amili: AmiliClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Parquet file arrives a row group at a time, and memory holds one."""
    monkeypatch.setattr("amili_async.export.formats.parquet.ROW_GROUP", 50)
    chunks = [chunk async for chunk in export_bytes(amili.payout_specifications, "parquet")]
    file = parquet.ParquetFile(io.BytesIO(b"".join(chunks)))
    assert (len(chunks) > 5, file.num_row_groups, file.metadata.num_rows) == (True, 5, 250)


async def test_fields_choose_the_columns(amili: AmiliClient) -> None:
    """The columns are the chosen ones, in their order, for a resource and for a plain iterable."""
    content = await collect(export_bytes(amili.payouts, "csv", fields=("amount", "_id")))
    assert content.startswith(b"amount,_id\n")

    async def payouts() -> AsyncIterator[Payout]:
        yield Payout(id="6774e8021e69178178006e27")

    assert await collect(export_bytes(payouts(), "csv", fields=["_id"])) == b"_id\n6774e8021e69178178006e27\n"


async def test_a_slow_reader_slows_the_requests_down(sandbox: Sandbox, amili: AmiliClient) -> None:
    """Without a reader the client requests only the pages that it fetches ahead."""
    async with aclosing(export_bytes(amili.payout_specifications.stream(), "csv")) as chunks:
        await anext(chunks)
        await settle(300)
        assert count_pages(sandbox) <= 6
        rest = [chunk async for chunk in chunks]
    assert (len(rest), count_pages(sandbox)) == (12, 13)


@pytest.mark.parametrize("way", WAYS)
async def test_leaving_early_leaves_nothing(way: Any, amili: AmiliClient, sandbox: Sandbox) -> None:
    """However a download ends, no task, no request and no file is left, and it cannot seem complete."""
    internals.hold_responses(sandbox, hold_a_while)
    await way(export_bytes(amili.payout_specifications, "csv.gz"), amili)
    await assert_nothing_is_left(amili, sandbox)


async def test_rows_that_are_missing_break_the_download(sandbox: Sandbox, amili: AmiliClient) -> None:
    """An API that sends fewer rows than it counts raises at the end, before the end of the file is sent."""

    def leave_out(_: ReceivedRequest, page: dict[str, Any]) -> dict[str, Any]:
        return page | {"_items": page["_items"][1:]}

    sandbox.override(page=leave_out)
    chunks = export_bytes(amili.payouts, "csv.gz")
    received: list[bytes] = []
    with pytest.raises(UnreadableResponse, match=r"export.csv.gz is incomplete: GET /finance--payouts sent fewer"):
        received += [chunk async for chunk in chunks]
    with pytest.raises(ClientClosed, match="cut off by UnreadableResponse"):
        await anext(chunks)


async def test_a_record_that_appears_twice_breaks_the_download(sandbox: Sandbox, amili: AmiliClient) -> None:
    """A page that the API repeats in a stream raises at the end."""
    pages: dict[str, list[dict[str, Any]]] = {}

    def repeat(request: ReceivedRequest, page: dict[str, Any]) -> dict[str, Any]:
        number = request.query.get("page", "1")
        pages[number] = page["_items"]
        return page | {"_items": pages["1"]} if number == "3" else page

    sandbox.override(page=repeat)
    with pytest.raises(ExportFailed, match=r"export.ndjson is incomplete: record [0-9a-f]{24} appears twice"):
        await collect(export_bytes(amili.payouts.stream(sort="-amount", page_size=10), "ndjson"))


async def test_an_app_streams_a_download(amili: AmiliClient) -> None:
    """FastAPI sends the chunks as they are made, and what it leaves early is cancelled."""
    app = FastAPI()

    @app.get("/payouts.csv")
    async def download() -> StreamingResponse:
        return StreamingResponse(export_bytes(amili.payouts, "csv"), media_type="text/csv")

    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "headers": []}
    request = {"method": "GET", "path": "/payouts.csv", "raw_path": b"/payouts.csv", "query_string": b""}
    await app(scope | request, receive, send)
    bodies = [message["body"] for message in sent if message["type"] == "http.response.body"]
    assert len(bodies) >= 3
    assert len(read_ids(b"".join(bodies), "csv")) == 40


class Slow(io.RawIOBase):
    """An unbuffered file that takes seven bytes at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self.content += bytes(content[:7])
        return min(7, len(content))


async def test_an_open_file_gets_the_bytes(amili: AmiliClient) -> None:
    """It stays open; one that takes a part of each write gets all; the result is that of an export."""
    exported = await export(amili.payouts.stream(), (buffer := io.BytesIO()), format="csv")
    assert exported == ExportResult(path=Path("export.csv"), rows=40, drifted=False)
    slow = Slow()
    await export(amili.payouts.stream(), slow, format="csv")  # type: ignore[arg-type]
    assert slow.content == buffer.getvalue()
    resource = await export(amili.payouts, io.BytesIO(), format="parquet")
    assert (resource.is_complete, resource.rows) == (True, 40)


async def test_what_an_open_file_cannot_do_is_rejected(sandbox: Sandbox, amili: AmiliClient, tmp_path: Path) -> None:
    """The error names the reason, and nothing is sent."""
    buffer = io.BytesIO()
    target: Any
    for target, options, message in (
        (buffer, {}, 'requires a format, such as format="csv"'),
        (buffer, {"format": "xlsx"}, "must end in"),
        (buffer, {"format": "parquet.gz"}, "Parquet is compressed already"),
        (buffer, {"format": "csv", "resume": True}, "require a path or a URL"),
        (io.StringIO(), {"format": "csv"}, "open for writing bytes"),
        (5, {"format": "csv"}, "open for writing bytes"),
        (tmp_path / "a.csv", {"format": "csv"}, "format requires an open file"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            await export(amili.payouts, target, **options)
    with pytest.raises(ConfigurationError, match="where requires a resource"):
        export_bytes(amili.payouts.stream(), "csv", where={"currency": "SEK"})
    assert (buffer.getvalue(), len(sandbox.requests)) == (b"", 0)
