"""Work on a Dask cluster of processes: driver and workers are killed, and nothing is lost, nor twice in the files."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import cloudpickle
import pytest
from distributed import Client
from pyarrow import dataset as arrow_dataset

from amili_async import Manifest, PayoutSpecification, Verdict, field
from amili_async.dask import export_dataset, process
from amili_async.errors import ExtractionInterrupted
from amili_async.extraction import Checkpoint
from amili_async.sandbox import Sandbox
from tests.support.clocks import happens
from tests.support.dask_jobs import KILL, PAGE_SIZE, PARTS, UNFINISHED
from tests.support.exhaustive import EXHAUSTIVE
from tests.support.programs import read_line, start_program
from tests.support.rows import SPECIFICATIONS, count_pages, fill, spread_evenly
from tests.support.starting import Connect, StartSandbox

ROWS = 400


class Cluster:
    """Two workers in processes of their own, a server, and drivers that are started and killed."""

    def __init__(self, sandbox: Sandbox, folder: Path, processes: AsyncExitStack) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.kill_file = folder.with_name("kill")
        self._processes = processes
        self.scheduler = ""

    async def start(self) -> None:
        cluster = await self._run("cluster", str(self.folder.with_name("scratch")))
        self.scheduler = await read_line(cluster, "tcp://")

    async def start_driver(self, job: str) -> asyncio.subprocess.Process:
        return await self._run(job, self.scheduler, str(self.folder))

    async def finish(self, job: str) -> Manifest:
        """Run a driver to its end; its manifest."""
        driver = await self.start_driver(job)
        printed, _ = await driver.communicate()
        assert driver.returncode == 0
        return Manifest.from_json(printed)

    async def _run(self, *arguments: str) -> asyncio.subprocess.Process:
        environment = {"AMILI_BASE_URL": self.sandbox.url, "AMILI_TOKEN": self.sandbox.token()}
        if arguments[0] == "cluster":
            environment[KILL] = str(self.kill_file)
        return await start_program(self._processes, "tests.support.dask_jobs", *arguments, **environment)

    def logged(self) -> list[str]:
        """The ids in the order in which workers have computed them."""
        log = self.folder / "log"
        return log.read_text().split() if log.exists() else []


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A running cluster, beside a server with twenty pages of rows."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    async with Sandbox(specifications=0, rate_limit=None) as sandbox, AsyncExitStack() as processes:
        fill(sandbox, spread_evenly(ROWS))
        cluster = Cluster(sandbox, folder, processes)
        await cluster.start()
        yield cluster


def ids_of(sandbox: Sandbox) -> list[str]:
    return sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))


async def kill_driver(cluster: Cluster, job: str, *, once: Callable[[], object]) -> None:
    """Start a driver and kill it in the middle of its work."""
    driver = await cluster.start_driver(job)
    await happens(once)
    driver.kill()
    await driver.wait()


# Each starts a cluster, which takes seconds.
KILLS = [("worker",), *(pytest.param(each, marks=EXHAUSTIVE) for each in [(), ("driver",), ("driver", "worker")])]


@pytest.mark.parametrize("killed", KILLS)
async def test_killed_processes_lose_and_repeat_nothing(killed: tuple[str, ...], cluster: Cluster) -> None:
    """Each page is computed, without a request more; and a dataset has each row once, and no file besides its own."""
    await compute_pages(killed, cluster)
    await export_parts(killed, cluster)


async def compute_pages(killed: tuple[str, ...], cluster: Cluster) -> None:
    if "worker" in killed:
        cluster.kill_file.touch()
    if "driver" in killed:
        await kill_driver(cluster, "process", once=lambda: len(cluster.logged()) >= 6 * PAGE_SIZE)
    manifest = await cluster.finish("process")
    assert not cluster.kill_file.exists()
    computed = cluster.logged()
    assert sorted(set(computed)) == ids_of(cluster.sandbox)
    assert (manifest.rows, manifest.verdict) == (ROWS, Verdict.COMPLETE)
    if "driver" in killed:
        assert len(computed) - ROWS <= UNFINISHED * PAGE_SIZE
    else:
        assert len(computed) == ROWS
        assert manifest.requests == count_pages(cluster.sandbox) <= ROWS // PAGE_SIZE + 2


async def export_parts(killed: tuple[str, ...], cluster: Cluster) -> None:
    lines = cluster.folder / "lines"
    if "worker" in killed:
        cluster.kill_file.touch()
    if "driver" in killed:
        await kill_driver(cluster, "dataset", once=lambda: any((lines / "_staged").glob("*.parquet")))
    manifest = await cluster.finish("dataset")
    assert not cluster.kill_file.exists()
    assert (manifest.rows, manifest.verdict, manifest.missing_parts) == (ROWS, Verdict.COMPLETE, ())
    ids = arrow_dataset.dataset(lines, format="parquet").to_table(columns=["_id"])["_id"].to_pylist()
    assert sorted(ids) == ids_of(cluster.sandbox)
    names = [f"part-{index:05}.parquet" for index in range(PARTS)]
    assert sorted(path.name for path in lines.iterdir()) == ["_manifest.json", *names]


class ThreadClient:
    """What `process` uses of a Dask client, with threads as workers."""

    asynchronous = True

    def __init__(self) -> None:
        self.submitted: list[Any] = []

    def submit(self, work: Callable[..., Any], *arguments: Any, **_: Any) -> asyncio.Future[Any]:
        self.submitted.append((work, *arguments))
        if inspect.iscoroutinefunction(work):
            return asyncio.get_running_loop().create_task(work(*arguments))
        return asyncio.get_running_loop().run_in_executor(None, work, *arguments)

    async def gather(self, futures: Sequence[asyncio.Future[Any]]) -> list[Any]:
        return await asyncio.gather(*futures)


async def test_work_that_fails_ends_the_run(start_sandbox: StartSandbox, connect: Connect) -> None:
    """The error of the work is the cause, its page is not covered by the checkpoint, and no task is left."""
    sandbox = await start_sandbox(specifications=250)
    lines, client = (await connect(sandbox)).payout_specifications, cast(Client, ThreadClient())
    bad = ids_of(sandbox)[120]

    def work(records: Sequence[PayoutSpecification]) -> int:
        if any(record.id == bad for record in records):
            raise ZeroDivisionError
        return len(records)

    with pytest.raises(ExtractionInterrupted) as caught:
        await process(lines, work, client=client)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    checkpoint = caught.value.checkpoint
    left = [line.id async for line in lines.extract(checkpoint=checkpoint)]
    assert bad in left
    assert len(left) + checkpoint.rows == 250


async def test_results_and_checkpoints_are_reported(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Each result once; the last checkpoint covers all; an error of either function ends the run."""
    sandbox = await start_sandbox(specifications=250)
    lines, client = (await connect(sandbox)).payout_specifications, cast(Client, ThreadClient())
    results: list[int] = []
    checkpoints: list[Checkpoint] = []
    manifest = await process(
        lines, len, client=client, on_result=results.append, on_checkpoint=checkpoints.append, unfinished=1
    )
    assert (manifest.rows, manifest.verdict, sum(results)) == (250, Verdict.COMPLETE, 250)
    assert [checkpoint.rows for checkpoint in checkpoints] == sorted(checkpoint.rows for checkpoint in checkpoints)
    assert checkpoints[-1].is_finished

    def fail(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ExtractionInterrupted) as caught:
        await process(lines, len, client=client, on_result=fail)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        await process(lines, len, client=client, on_checkpoint=fail)


async def test_no_credential_travels_to_the_workers(
    start_sandbox: StartSandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a dataset submits is the filter, a part and a function that connects, by default from the environment."""
    sandbox = await start_sandbox(specifications=250)
    client, token = ThreadClient(), sandbox.token()
    monkeypatch.setenv("AMILI_BASE_URL", sandbox.url)
    monkeypatch.setenv("AMILI_TOKEN", token)
    lines = (await connect(sandbox)).payout_specifications
    where = field("article") == "capital"
    exported = await export_dataset(lines, tmp_path / "lines", client=cast(Client, client), parts=2, where=where)
    assert (exported.rows, exported.is_complete) == (await lines.count(where), True)
    travelling = cloudpickle.dumps(client.submitted)
    assert b"capital" in travelling
    assert token.encode() not in travelling
    assert len(client.submitted) == 2
