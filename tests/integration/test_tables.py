"""Records as Arrow tables: one fixed schema, exact values, and what Polars, pandas and DuckDB make of them."""

import ast
import re
import textwrap
from collections.abc import Callable, Sequence
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import duckdb
import msgspec
import pandas
import polars
import pyarrow
import pytest
from pyarrow import compute, dataset, parquet

from amili_async import Manifest, PayoutSpecification, Resource, Verdict, tables
from amili_async.errors import ConfigurationError, UnreadableResponse
from amili_async.export import arrow_schema, export
from amili_async.sandbox import Sandbox
from tests.support.rows import SPECIFICATIONS, make_id, make_row
from tests.support.starting import Connect, StartSandbox

Specifications = Resource[PayoutSpecification]
MONEY = ("amount", "vat_amount", "total_amount")


@pytest.fixture
async def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    """A server with three pages of specifications."""
    return await start_sandbox(specifications=250)


@pytest.fixture
async def lines(sandbox: Sandbox, connect: Connect) -> Specifications:
    """The resource that is read."""
    return (await connect(sandbox)).payout_specifications


async def read(batches: Any) -> pyarrow.Table:
    return pyarrow.Table.from_batches([batch async for batch in batches])


def rows_of(table: pyarrow.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.sort_by("_id").to_pylist()
    return rows


async def test_batches_equal_the_parquet_file(lines: Specifications, tmp_path: Path) -> None:
    """Schema and values are those of the exported file, whatever the records are read by."""
    await export(lines, tmp_path / "lines.parquet")
    file = parquet.read_table(tmp_path / "lines.parquet")
    assert arrow_schema(lines).equals(file.schema)
    tables = [
        await read(lines.extract().arrow_batches()),
        await read(lines.stream().arrow_batches()),
        await lines.extract().to_arrow(),
        await lines.stream(sort="-amount").to_arrow(),
        await read(lines.extract(into=dict).arrow_batches(arrow_schema(lines).names)),
    ]
    for table in tables:
        assert table.schema.equals(file.schema)
        assert rows_of(table) == rows_of(file)


async def test_each_page_is_a_batch(lines: Specifications) -> None:
    """All batches have the same schema; a list without rows has none, and a table with all columns."""
    extraction = lines.extract()
    batches = [batch async for batch in extraction.arrow_batches()]
    assert sorted(batch.num_rows for batch in batches) == [50, 100, 100]
    assert {batch.schema == arrow_schema(lines) for batch in batches} == {True}
    assert (extraction.manifest.rows, extraction.manifest.verdict) == (250, Verdict.COMPLETE)
    none = lines.extract({"article": "none"})
    assert [batch async for batch in none.arrow_batches()] == []
    empty = await lines.stream({"article": "none"}).to_arrow()
    assert (empty.num_rows, empty.schema) == (0, arrow_schema(lines))


class Line(msgspec.Struct):
    """Some fields, one of them of the caller's own."""

    id: str
    amount: Decimal
    remark: str | msgspec.UnsetType = msgspec.UNSET


async def test_fields_choose_the_columns(sandbox: Sandbox, lines: Specifications) -> None:
    """A struct's fields are the columns; `fields` chooses from them, and from all fields of dicts."""
    sandbox.insert(SPECIFICATIONS, make_row(make_id(10**9, 1), remark="mine", amount=Decimal("1.25")))
    where = {"remark": {"$exists": True}}
    assert (await lines.stream(where, into=Line).to_arrow()).to_pylist() == [
        {"id": make_id(10**9, 1), "amount": Decimal("1.250000"), "remark": "mine"}
    ]
    chosen = await lines.stream(where, into=dict).to_arrow(["remark", "amount"])
    assert chosen.to_pylist() == [{"remark": "mine", "amount": Decimal("1.250000")}]
    assert chosen.schema == arrow_schema(lines, ["remark", "amount"])
    typed = await lines.stream(where).to_arrow(["amount", "article"])
    assert typed.schema == arrow_schema(lines, ["amount", "article"])
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: lines.stream().arrow_batches(["remark"]), "PayoutSpecification has no field remark"),
        (lambda: lines.extract(into=dict).arrow_batches(), "requires fields"),
        (lambda: lines.extract().arrow_batches([]), "fields must name at least one field"),
    ]
    for call, message in calls:
        with pytest.raises(ConfigurationError, match=message):
            call()


async def test_a_value_that_does_not_fit_names_its_record(sandbox: Sandbox, lines: Specifications) -> None:
    """The error names record and field, never the value, and the checkpoint does not cover its batch."""
    row_id = sandbox.rows(SPECIFICATIONS)[120]["_id"]
    sandbox.update(SPECIFICATIONS, row_id, {"amount": 10**20 + 8_7_6_5})
    extraction = lines.extract()
    with pytest.raises(UnreadableResponse, match=f"record {row_id} cannot be in a table: amount has more") as caught:
        await extraction.to_arrow()
    assert caught.value.record_id == row_id
    assert "8765" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    left = lines.extract(checkpoint=extraction.checkpoint)
    assert row_id in [line.id async for line in left]


async def test_a_batch_of_a_delivery_is_acknowledged(lines: Specifications) -> None:
    """Deliveries become batches of the same schema, and count once they are done."""
    extraction = lines.extract()
    batches = []
    async for page in extraction.deliveries():
        batches.append(page.arrow_batch())
        if len(batches) < 3:
            page.done()
        else:
            assert extraction.checkpoint.rows in (150, 200)
            page.done()
    assert pyarrow.Table.from_batches(batches).num_rows == extraction.manifest.rows == 250
    assert {batch.schema == arrow_schema(lines) for batch in batches} == {True}


async def test_leaving_early_leaves_nothing(lines: Specifications) -> None:
    """An iteration of batches that is left continues from its checkpoint."""
    extraction = lines.extract()
    async with aclosing(extraction.arrow_batches()) as batches:
        async for batch in batches:
            first = batch
            break
    rest = await read(lines.extract(checkpoint=extraction.checkpoint).arrow_batches())
    assert rest.num_rows == 250  # the batch that was being read does not count as taken
    assert set(first["_id"].to_pylist()) <= set(rest["_id"].to_pylist())


# What readers make of it


@pytest.fixture
async def month(lines: Specifications, tmp_path: Path) -> Path:
    """A folder of daily files, as an incremental job leaves them, one of them with an amount of many decimals."""
    folder = tmp_path / "month"
    folder.mkdir()
    for day in range(1, 31):
        where = {"article": "capital"} if day % 2 else None
        await export(lines.stream(where, max_items=1 + 8 * (day % 3), sort="_id"), folder / f"day-{day:02}.parquet")
    return folder


def total(column: Sequence[Any]) -> Decimal:
    return sum((value for value in column if value is not None), Decimal(0))


async def test_a_month_of_files_is_one_dataset(month: Path) -> None:
    """pyarrow, Polars, pandas and DuckDB read thirty files as one, and the sum of net and VAT computes in each."""
    table = dataset.dataset(month, format="parquet").to_table()
    rows = table.num_rows
    assert rows > 100
    summed = compute.add(table["amount"], table["vat_amount"])
    known = total(summed.to_pylist())
    by_polars = polars.read_parquet(month / "*.parquet").select(polars.col("amount") + polars.col("vat_amount"))
    assert total(by_polars["amount"].to_list()) == known
    by_pandas = pandas.read_parquet(month, dtype_backend="pyarrow")
    assert total((by_pandas["amount"] + by_pandas["vat_amount"]).to_list()) == known
    files = duckdb.read_parquet(f"{month}/*.parquet")
    assert files.aggregate("count(*), sum(amount + vat_amount)").fetchall() == [(rows, known)]


async def test_libraries_take_a_table(lines: Specifications) -> None:
    """Money and dates stay exact in Polars, pandas and DuckDB, and a category stays one."""
    table, first = await lines.stream().to_arrow(), await lines.stream().first()
    assert first is not None
    expected = first.total_amount, first.booking_date
    frame = polars.from_arrow(table)
    assert isinstance(frame, polars.DataFrame)
    assert (frame["total_amount"][0], frame["booking_date"][0]) == expected
    assert frame.schema["total_amount"] == polars.Decimal(24, 6)
    assert frame.schema["currency"] == polars.Categorical
    typed = table.to_pandas(types_mapper=pandas.ArrowDtype)
    assert (typed["total_amount"][0], typed["booking_date"][0]) == expected
    ((amount, booked),) = (
        duckdb.from_arrow(table).order("_id").limit(1).project("total_amount, booking_date").fetchall()
    )
    assert (amount, booked) == expected


# The programs of the docstring


def programs() -> list[str]:
    """The code in the docstring of `amili_async.tables`."""
    return [
        textwrap.dedent(code)
        for code in re.findall(r"(?:^    .*\n|^\n)+", tables.__doc__ or "", re.MULTILINE)
        if code.strip()
    ]


async def run(program: str, **names: Any) -> dict[str, Any]:
    """Run a program of the docstring; its names."""
    names |= {"polars": polars, "duckdb": duckdb, "pandas": pandas}
    code = compile(program, "tables.py", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, names)  # noqa: S307 - our own docstring
    if result is not None:
        await result
    return names


async def test_the_programs_for_tables_run(sandbox: Sandbox, connect: Connect) -> None:
    """Polars, DuckDB and pandas sum the same amounts, each without a copy of ours."""
    amili = await connect(sandbox)
    found = await run(programs()[0], amili=amili)
    known = total([line.total_amount async for line in amili.payout_specifications.stream()])
    assert total(found["by_article"]["total_amount"].to_list()) == known
    assert total(pyarrow.table(found["by_state"])[1].to_pylist()) == known
    assert total(found["by_currency"].to_list()) == known


async def test_the_program_for_postgres_keeps_a_table_up_to_date(
    sandbox: Sandbox, connect: Connect, clock: Any, postgres_url: str
) -> None:
    """After each load the table equals the list: what changed is upserted, and what was deleted is gone."""
    amili = await connect(sandbox)
    load = (await run(programs()[1]))["load"]
    database = await asyncpg.connect(postgres_url)
    try:
        await database.execute(
            "CREATE TABLE lines (id text PRIMARY KEY, total_amount numeric, booking_date timestamptz);"
            "CREATE TABLE loads (manifest text); INSERT INTO loads VALUES (NULL)"
        )
        since: Manifest | None = None
        for _ in range(3):
            since = await load(amili, database, since)
            assert Manifest.from_json(await database.fetchval("SELECT manifest FROM loads")) == since
            rows = await database.fetch("SELECT * FROM lines ORDER BY id")
            listed = [line async for line in amili.payout_specifications.stream()]
            assert [tuple(row) for row in rows] == [(line.id, line.total_amount, line.booking_date) for line in listed]
            clock.skip(3600)
            ids = sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))
            sandbox.update(SPECIFICATIONS, ids[5], {"total_amount": Decimal("12.34")})
            sandbox.delete(SPECIFICATIONS, ids[100])
            sandbox.insert(SPECIFICATIONS, make_row(make_id(int(clock.wall()) - 60, 1)))
            clock.skip(60)
        assert since is not None
        assert since.rows == 2
    finally:
        await database.execute("DROP TABLE lines, loads")
        await database.close()
