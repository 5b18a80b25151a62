"""A Dask cluster of processes, the drivers that tests kill, and the work of both; `python -m tests.support.dask_jobs`.

    cluster FOLDER               two workers, until it is killed; prints the address of the scheduler
    process SCHEDULER FOLDER     computes the pages that the checkpoint in the folder leaves; prints the manifest
    dataset SCHEDULER FOLDER     exports a dataset into the folder; prints the manifest

`AMILI_TEST_KILL` names a file: a worker that finds it in its work removes it, and kills itself.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from distributed import Client, LocalCluster

from amili_async import AmiliClient, PayoutSpecification
from amili_async.dask import export_dataset, process
from amili_async.events import Event, PageReceived
from amili_async.export.files import write_file
from amili_async.extraction import Checkpoint, Manifest

KILL = "AMILI_TEST_KILL"
PAGE_SIZE = 20
UNFINISHED = 4
PARTS = 5


def die_if_asked() -> None:
    """End this worker at once if the file exists that `KILL` names."""
    if Path(os.environ.get(KILL, ".")).is_file():
        Path(os.environ[KILL]).unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def connect() -> AmiliClient:
    """A client of the server that the environment names, without a rate limit; it may die with its second page."""
    pages = 0

    def observe(event: Event) -> None:
        nonlocal pages
        pages += isinstance(event, PageReceived)
        if pages == 2:
            die_if_asked()

    return AmiliClient.from_env(rate_limit=None, page_size=PAGE_SIZE, observers=[observe])


def compute(folder: Path, records: Sequence[PayoutSpecification]) -> int:
    """Append the ids of a page to a log of the folder."""
    time.sleep(0.1)
    die_if_asked()
    with (folder / "log").open("a") as log:
        log.write("".join(f"{record.id}\n" for record in records))
    return len(records)


async def run_process(scheduler: str, folder: Path) -> Manifest:
    """Compute all pages that the checkpoint leaves, and save it with each result."""
    saved = folder / "checkpoint.json"
    start = Checkpoint.from_json(saved.read_text()) if saved.exists() else None
    async with Client(scheduler, asynchronous=True) as client, connect() as amili:  # type: ignore[no-untyped-call]
        return await process(
            amili.payout_specifications.extract(checkpoint=start),
            partial(compute, folder),
            client=client,
            unfinished=UNFINISHED,
            on_checkpoint=lambda checkpoint: write_file(saved, checkpoint.to_json().encode()),
        )


async def run_dataset(scheduler: str, folder: Path) -> Manifest:
    """Export a dataset, by a client that blocks."""
    with Client(scheduler) as client:  # type: ignore[no-untyped-call]
        async with connect() as amili:
            lines = amili.payout_specifications
            exported = await export_dataset(lines, folder / "lines", client=client, parts=PARTS, connect=connect)
    assert exported.manifest is not None
    return exported.manifest


def main(job: str, *arguments: str) -> None:
    """Run one of the jobs."""
    if job == "cluster":
        options = {"dashboard_address": "127.0.0.1:0", "local_directory": arguments[0], "host": "127.0.0.1"}
        with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **options) as cluster:  # type: ignore[no-untyped-call]
            print(cluster.scheduler_address, flush=True)  # noqa: T201
            signal.pause()
    runs = {"process": run_process, "dataset": run_dataset}
    print(asyncio.run(runs[job](arguments[0], Path(arguments[1]))).to_json(), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
