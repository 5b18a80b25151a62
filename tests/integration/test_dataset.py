"""A folder of Parquet files, one for each part: each record once, whatever is killed, repeated or mixed up."""

import ast
import asyncio
import os
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from pyarrow import dataset as arrow_dataset
from pyarrow import parquet

from amili_async import PayoutSpecification, Resource, Verdict, dask, field
from amili_async.errors import ConfigurationError, ExportFailed, UnreadableResponse
from amili_async.export import Dataset, export
from amili_async.extraction import Manifest
from amili_async.sandbox import Sandbox
from tests.support.rows import SPECIFICATIONS, fill, make_id, make_row, spread_evenly
from tests.support.starting import Connect, StartSandbox

ROWS = 640


@pytest.fixture
async def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    """A server with seven pages of rows."""
    sandbox = await start_sandbox(specifications=0)
    fill(sandbox, spread_evenly(ROWS))
    return sandbox


@pytest.fixture
async def lines(sandbox: Sandbox, connect: Connect) -> Resource[PayoutSpecification]:
    """The resource that is exported."""
    return (await connect(sandbox)).payout_specifications


def read_ids(folder: Path) -> list[str]:
    """The ids in all files that readers see."""
    ids: list[str] = arrow_dataset.dataset(folder, format="parquet").to_table(columns=["_id"])["_id"].to_pylist()
    return sorted(ids)


def ids_of(sandbox: Sandbox) -> list[str]:
    return sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_dataset_holds_each_record_once(
    sandbox: Sandbox, lines: Resource[PayoutSpecification], tmp_path: Path
) -> None:
    """Its files appear when all parts are there, with the rows, the sums and the schema of one export."""
    dataset = Dataset(lines, tmp_path / "lines")
    parts = await dataset.begin(parts=3)
    for part in parts:
        await dataset.export(part)
    assert "part-00000.parquet" not in names_in(tmp_path / "lines")
    exported = await dataset.conclude()
    assert names_in(tmp_path / "lines") == ["_manifest.json", *(f"part-0000{index}.parquet" for index in range(3))]
    assert read_ids(tmp_path / "lines") == ids_of(sandbox)
    assert (exported.rows, exported.is_complete, exported.rounded) == (ROWS, True, 0)
    assert Manifest.from_json((tmp_path / "lines" / "_manifest.json").read_bytes()) == exported.manifest
    whole = await export(lines, tmp_path / "whole.parquet")
    assert exported.manifest is not None
    assert whole.manifest is not None
    assert exported.manifest.sums == whole.manifest.sums
    schemas = [parquet.read_schema(path) for path in (tmp_path / "lines").glob("*.parquet")]
    assert all(schema.equals(parquet.read_schema(tmp_path / "whole.parquet")) for schema in schemas)


async def test_files_of_one_part_agree_with_its_manifest(lines: Resource[PayoutSpecification], tmp_path: Path) -> None:
    """Rows and manifest are one file, so that they cannot part; the rows are sorted by `_id`."""
    dataset = Dataset(lines, tmp_path / "lines")
    for part in await dataset.begin(parts=3):
        exported = await dataset.export(part)
        file = parquet.ParquetFile(exported.path)
        manifest = Manifest.from_json(file.metadata.metadata[b"amili_async.manifest"])
        assert (manifest, manifest.rows, manifest.part) == (exported.manifest, file.metadata.num_rows, part.range)
        ids = file.read(columns=["_id"])["_id"].to_pylist()
        assert ids == sorted(ids)


async def test_an_empty_part_has_all_columns(lines: Resource[PayoutSpecification], tmp_path: Path) -> None:
    """A list without rows is a dataset of one file with the schema of every other."""
    dataset = Dataset(lines, tmp_path / "none", field("article") == "none")
    for part in await dataset.begin(parts=3):
        await dataset.export(part)
    assert (await dataset.conclude()).rows == 0
    columns = parquet.read_schema(tmp_path / "none" / "part-00000.parquet").names
    assert {"_id", "total_amount", "booking_date"} <= set(columns)


async def test_an_unfinished_dataset_is_continued(
    sandbox: Sandbox, lines: Resource[PayoutSpecification], tmp_path: Path
) -> None:
    """Another process exports only the parts that are left; those that ran twice, or were killed, are in it once."""
    begun = Dataset(lines, tmp_path / "lines")
    parts = await begun.begin(parts=4)
    for part in (*parts[:2], parts[0]):
        await begun.export(part)
    (tmp_path / "lines" / "_staged" / "part-00003-0a0a0a0a.parquet.part").write_bytes(b"killed")
    (tmp_path / "lines" / "_staged" / "part-00002-0a0a0a0a.parquet").write_bytes(b"no Parquet file")
    with pytest.raises(ExportFailed, match="lacks parts 2, 3 of 4"):
        await begun.conclude()
    again = Dataset(lines, tmp_path / "lines")
    assert await again.begin(parts=9) == parts[2:]
    await asyncio.gather(*(again.export(part) for part in (parts[2], parts[3], parts[1])))
    assert (await again.conclude()).rows == ROWS
    assert read_ids(tmp_path / "lines") == ids_of(sandbox)


@pytest.mark.parametrize("calls", range(12))
async def test_a_conclusion_that_was_killed_is_repeated(
    calls: int, sandbox: Sandbox, lines: Resource[PayoutSpecification], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at any operation on the files, it can be continued, and each record is in the folder once."""
    dataset = Dataset(lines, tmp_path / "lines")
    for part in await dataset.begin(parts=3):
        await dataset.export(part)
    left = calls

    def die_at(name: str) -> None:
        original = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == -1:
                raise KeyboardInterrupt
            return original(*arguments, **options)

        monkeypatch.setattr(os, name, call)

    for name in ("replace", "unlink", "rmdir"):
        die_at(name)
    try:
        await dataset.conclude()
    except KeyboardInterrupt:
        monkeypatch.undo()
        assert await Dataset(lines, tmp_path / "lines").begin(parts=3) == ()
        await Dataset(lines, tmp_path / "lines").conclude()
    else:
        assert calls > 3
    assert read_ids(tmp_path / "lines") == ids_of(sandbox)
    assert names_in(tmp_path / "lines")[0] == "_manifest.json"


async def test_rows_changed_between_parts_are_drift(
    sandbox: Sandbox, lines: Resource[PayoutSpecification], tmp_path: Path
) -> None:
    """The dataset is finished, and its manifest is not complete."""
    dataset = Dataset(lines, tmp_path / "lines")
    parts = await dataset.begin(parts=3)
    await dataset.export(parts[0])
    sandbox.delete(SPECIFICATIONS, ids_of(sandbox)[0])
    for part in parts[1:]:
        await dataset.export(part)
    exported = await dataset.conclude()
    assert (exported.rows, exported.drifted, exported.is_complete) == (ROWS, True, False)


async def test_what_is_no_dataset_of_this_call_raises(lines: Resource[PayoutSpecification], tmp_path: Path) -> None:
    """A finished dataset, another filter's, or a folder with other files is never mixed with this one."""
    folder = tmp_path / "lines"
    with pytest.raises(ConfigurationError, match=r"holds no unfinished dataset: begin\(\) one"):
        await Dataset(lines, folder).conclude()
    parts = await Dataset(lines, folder).begin(parts=2)
    with pytest.raises(ConfigurationError, match="belongs to another filter"):
        await Dataset(lines, folder, field("amount") > 5).begin(parts=2)
    for part in parts:
        await Dataset(lines, folder).export(part)
    (folder / "part-00001.parquet").write_bytes(b"mine")
    with pytest.raises(ExportFailed, match=r"part-00001.parquet is not of this dataset: move it away"):
        await Dataset(lines, folder).conclude()
    (folder / "part-00001.parquet").unlink()
    await Dataset(lines, folder).conclude()
    with pytest.raises(ConfigurationError, match="holds a finished dataset: choose another folder"):
        await Dataset(lines, folder).begin(parts=2)
    with pytest.raises(ExportFailed, match="No such file or directory"):
        await Dataset(lines, folder).export(parts[0])  # a worker that was taken for dead
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="is not empty, and holds no unfinished dataset"):
        await Dataset(lines, tmp_path / "other").begin(parts=2)


async def test_a_part_that_lacks_rows_makes_no_file(
    sandbox: Sandbox, lines: Resource[PayoutSpecification], tmp_path: Path
) -> None:
    """Rows that the server counts and does not send fail the part, which can be repeated."""
    dataset = Dataset(lines, tmp_path / "lines")
    parts = await dataset.begin(parts=2)
    lost = ids_of(sandbox)[5]
    sandbox.override(page=lambda _, page: page | {"_items": [row for row in page["_items"] if row["_id"] != lost]})
    with pytest.raises(UnreadableResponse, match="sent fewer rows than it counted"):
        await dataset.export(parts[0])
    assert list((tmp_path / "lines" / "_staged").iterdir()) == []
    sandbox.override()
    for part in parts:
        await dataset.export(part)
    assert (await dataset.conclude()).is_complete


async def test_an_extraction_is_exported_from_its_start(lines: Resource[PayoutSpecification], tmp_path: Path) -> None:
    """One that has begun would make a file that lacks rows."""
    begun = lines.extract()
    async for _ in begun:
        if begun.rows:
            break
    with pytest.raises(ConfigurationError, match="the extraction has begun"):
        await export(lines.extract(checkpoint=begun.checkpoint), tmp_path / "lines.ndjson")
    exported = await export(lines.extract(), tmp_path / "lines.ndjson")
    assert (exported.rows, exported.is_complete) == (ROWS, True)


async def test_an_incremental_dataset_has_what_changed(
    sandbox: Sandbox, lines: Resource[PayoutSpecification], tmp_path: Path, clock: Any
) -> None:
    """The manifest of one dataset is the `since` of the next."""
    first = Dataset(lines, tmp_path / "first")
    for part in await first.begin(parts=2):
        await first.export(part)
    await first.conclude()
    clock.skip(3600)
    sandbox.insert(SPECIFICATIONS, make_row(make_id(int(clock.wall()) - 60, 1)))
    since = Manifest.from_json((tmp_path / "first" / "_manifest.json").read_bytes())
    second = Dataset(lines, tmp_path / "second", since=since)
    for part in await second.begin(parts=2):
        await second.export(part)
    assert (await second.conclude()).rows == 1
    assert since.verdict is Verdict.COMPLETE


PROGRAM = """
import asyncio
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from amili_async import AmiliClient
from amili_async.export import Dataset


def work(records):
    return len(records)

{functions}

async def main():
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        async with AmiliClient.from_env() as amili:
{statements}
    print(exported.rows, exported.is_complete)

if __name__ == "__main__":
    asyncio.run(main())
"""


def recipes() -> tuple[str, str]:
    """The code in the docstring of `amili_async.dask`: its functions, and its other statements."""
    code = "".join(re.findall(r"^    .*\n|^\n", dask.__doc__ or "", flags=re.MULTILINE))
    nodes = ast.parse(textwrap.dedent(code)).body
    functions = [ast.unparse(node) for node in nodes if isinstance(node, ast.FunctionDef)]
    statements = [ast.unparse(node) for node in nodes if not isinstance(node, ast.FunctionDef)]
    return "\n\n".join(functions), textwrap.indent("\n".join(statements), " " * 12)


async def test_the_recipes_for_a_process_pool_run(sandbox: Sandbox, tmp_path: Path) -> None:
    """The code in the docstring, copied into a program, computes all pages and writes a whole dataset."""
    functions, statements = recipes()
    program = tmp_path / "recipe.py"
    program.write_text(PROGRAM.format(functions=functions, statements=statements))
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program)),
        cwd=tmp_path,
        env={"AMILI_BASE_URL": sandbox.url, "AMILI_TOKEN": sandbox.token(), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await running.communicate()
    assert printed.decode() == f"{ROWS} True\n"
    assert read_ids(tmp_path / "lines") == ids_of(sandbox)
