"""The export of a stream: exact, with progress, honest about drift, and careful with an existing file."""

import re
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pyarrow import parquet

from amili_async import AmiliClient, field
from amili_async.errors import ConfigurationError, ExportFailed, UnreadableResponse
from amili_async.export import ExportResult, export
from amili_async.sandbox import ReceivedRequest, Sandbox

LINES = "finance--payout-specifications"


def names_in(folder: Path) -> list[str]:
    """The names of all files in a folder."""
    return [file.name for file in folder.iterdir()]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A server with a few rows and no rate limit."""
    async with Sandbox(payouts=5, specifications=250, rate_limit=None) as sandbox:
        yield sandbox


@pytest.fixture
async def amili(sandbox: Sandbox) -> AsyncIterator[AmiliClient]:
    """A client of that server."""
    async with AmiliClient(sandbox.url, auth=sandbox.token(), rate_limit=None) as amili:
        yield amili


async def test_a_stream_arrives_whole_and_exact(sandbox: Sandbox, amili: AmiliClient, tmp_path: Path) -> None:
    """Every row of the server is in the file, in order, with its digits and field names unchanged."""
    path = tmp_path / "lines.ndjson"
    exported = await export(amili.payout_specifications.stream(into=dict), path)
    assert exported == ExportResult(path=path, rows=250, drifted=False)
    written = [msgspec.json.Decoder(float_hook=Decimal).decode(line) for line in path.read_bytes().splitlines()]
    stored = sorted(sandbox.rows(LINES), key=lambda row: row["_id"])
    assert [(row["_id"], str(row["amount"]), set(row)) for row in written] == [
        (row["_id"], str(row["amount"]), set(row)) for row in stored
    ]


async def test_progress_is_reported_for_each_page(amili: AmiliClient, tmp_path: Path) -> None:
    """The callback receives the rows so far and the total of the server."""
    reported: list[tuple[int, int | None, float | None]] = []
    stream = amili.payout_specifications.stream()
    await export(stream, tmp_path / "a.csv", on_progress=lambda *progress: reported.append(progress))
    assert reported == [(100, 250, None), (200, 250, None), (250, 250, None)]


async def test_rows_deleted_on_the_server_are_reported(sandbox: Sandbox, amili: AmiliClient, tmp_path: Path) -> None:
    """The result of an export that may miss rows is marked as drifted."""
    first = sandbox.rows(LINES)[0]["_id"]

    def delete_once(rows: int, *_: object) -> None:
        if rows == 10:
            sandbox.delete(LINES, first)

    stream = amili.payout_specifications.stream(page_size=10)
    assert (await export(stream, tmp_path / "a.csv", on_progress=delete_once)).drifted


@pytest.mark.parametrize("sort", ["_id", "-amount"])
@pytest.mark.parametrize("suffix", ["ndjson", "csv", "parquet"])
async def test_a_record_that_appears_twice_makes_no_file(
    suffix: str, sort: str, sandbox: Sandbox, amili: AmiliClient, tmp_path: Path
) -> None:
    """A server that answers one page with the rows of another, so that the sum is right, is not believed."""
    pages: dict[str, list[dict[str, Any]]] = {}

    def repeat(request: ReceivedRequest, page: dict[str, Any]) -> dict[str, Any]:
        number = request.query.get("page", "1")
        pages[number] = page["_items"]
        return page | {"_items": pages["1"]} if number == "3" else page

    sandbox.override(page=repeat)
    path = tmp_path / f"a.{suffix}"
    path.write_text("precious")
    stream = amili.payout_specifications.stream(sort=sort, page_size=50)
    with pytest.raises((ExportFailed, UnreadableResponse)) as caught:
        await export(stream, path, overwrite=True)
    if isinstance(caught.value, ExportFailed):
        assert re.search(r"was not written: record [0-9a-f]{24} appears twice", str(caught.value))
        assert caught.value.record_id in [row["_id"] for row in pages["1"]]
    assert path.read_text() == "precious"
    assert names_in(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
async def test_a_stream_without_records_has_the_columns_of_its_type(
    suffix: str, amili: AmiliClient, tmp_path: Path
) -> None:
    """The schema is that of the record type, whether the stream has rows or not; dicts are rejected at once."""
    files = []
    for name, where in (("some", None), ("none", field("amount") == Decimal("1E-9"))):
        path = tmp_path / f"{name}.{suffix}"
        exported = await export(amili.payouts.stream(where), path)
        assert not exported.is_complete
        files.append(path.read_text().splitlines()[0] if suffix == "csv" else parquet.read_schema(path))
    assert files[0] == files[1]
    with pytest.raises(ConfigurationError, match="requires fields"):
        await export(amili.payouts.stream(into=dict), tmp_path / f"dicts.{suffix}")


async def test_an_existing_file_is_rejected_before_any_request(
    sandbox: Sandbox, amili: AmiliClient, tmp_path: Path
) -> None:
    """The file is unchanged, and the server receives no request."""
    path = tmp_path / "a.csv"
    path.write_text("precious")
    with pytest.raises(ConfigurationError, match=r"a\.csv exists already"):
        await export(amili.payouts.stream(), path)
    assert path.read_text() == "precious"
    assert names_in(tmp_path) == [path.name]
    assert len(sandbox.requests) == 0
