"""The Dask job, on a cluster of processes."""

from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path

from pyarrow import dataset

from amili_async.testing import Sandbox
from tests.support.programs import read_line, start_program


async def test_the_dask_job(amili_sandbox: Sandbox, tmp_path: Path) -> None:
    """It sums every line, and the folder holds each once."""
    environment, folder = amili_sandbox.environ(), tmp_path / "lines"
    rows = amili_sandbox.rows("payout_specifications")
    total = sum(Decimal(str(row["total_amount"])) for row in rows)
    async with AsyncExitStack() as programs:
        cluster = await start_program(programs, "tests.support.dask_jobs", "cluster", str(tmp_path), **environment)
        scheduler = await read_line(cluster, "tcp://")
        job = await start_program(programs, "tests.recipes.dask_job", str(folder), scheduler, **environment)
        assert await read_line(job, "SEK") == f"complete: {len(rows)} lines, {total} SEK"
        assert await read_line(job, "lines in") == f"{len(rows)} lines in {folder}"
        assert await job.wait() == 0
    ids = dataset.dataset(folder, format="parquet").to_table(columns=["_id"])["_id"].to_pylist()
    assert sorted(ids) == sorted(row["_id"] for row in rows)
