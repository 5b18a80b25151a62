"""Work on a Dask cluster: pages computed by its workers, or a folder of Parquet files written by them; extra `dask`.

The limit of the API key is the wall, and one process reaches it with a thousandth of a core: a cluster that fetches is
no faster, only busier. So `process` is the first choice. This process fetches, the workers compute, and a page whose
worker was killed is computed by another one, without a request. `export_dataset` is for files that workers write; its
workers send requests, so let their clients share one rate limiter (`amili_async.shared`).

Other engines need no module of ours. A **process pool** computes pages like this, **Ray** with
`work.remote(page.records).future()` in place of `pool.submit(…)`, and **Celery** with
`threads.submit(work.delay(…).get)`:

    def settle(page, future):
        page.failed(future.exception()) if future.exception() else page.done()

    async for page in amili.payout_specifications.extract().deliveries():
        future = pool.submit(work, page.records)
        future.add_done_callback(lambda future, page=page: loop.call_soon_threadsafe(settle, page, future))

It writes a dataset like this; with Ray `export_part` is a remote function, with Celery a task that is given
`part.to_json()`:

    def export_part(part):  # in a worker, whose client is its own
        async def run():
            async with AmiliClient.from_env() as amili:
                await Dataset(amili.payout_specifications, "lines").export(part)

        asyncio.run(run())

    dataset = Dataset(amili.payout_specifications, "lines")
    left = await dataset.begin(parts=6)
    await asyncio.gather(*(loop.run_in_executor(pool, export_part, part) for part in left))
    exported = await dataset.conclude()
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from amili_async._wire.frames import hide_variables
from amili_async.client import AmiliClient
from amili_async.conditions import Where
from amili_async.deliveries import UNFINISHED, Delivery
from amili_async.export import Dataset, ExportResult
from amili_async.extraction import Checkpoint, Extraction, Manifest, Part, Since
from amili_async.resources import Resource

if TYPE_CHECKING:
    from distributed import Client, Future

R = TypeVar("R")
T = TypeVar("T")

RETRIES = 3
"""How often Dask repeats work that raised; it repeats besides what a killed worker was doing."""


@hide_variables
async def process(
    records: Resource[T] | Extraction[T],
    work: Callable[[tuple[T, ...]], R],
    *,
    client: "Client",
    unfinished: int = UNFINISHED,
    retries: int = RETRIES,
    on_result: Callable[[R], object] | None = None,
    on_checkpoint: Callable[[Checkpoint], object] | None = None,
) -> Manifest:
    """Compute each page of records, which this process fetches, on the workers; return the manifest.

    - *records*: a resource, or an extraction of it.
    - *work*: the function that a worker calls with the records of a page.
    - *client*: of the cluster.
    - *unfinished*: how many pages are handed out from the first one that is not done.
    - *retries*: how often work that raises is repeated; after that it ends with `ExtractionInterrupted` from its error.
    - *on_result*: a function that is called here with each result, in any order.
    - *on_checkpoint*: one that is called before each page, with what is done so far.

    If this process is killed, the latest checkpoint resumes it, `process(amili.payouts.extract(checkpoint=saved), …)`,
    and at most *unfinished* pages are computed again.
    """
    extraction = records.extract() if isinstance(records, Resource) else records
    running: set[asyncio.Task[None]] = set()
    try:
        async with aclosing(extraction.deliveries(unfinished=unfinished)) as deliveries:
            async for delivery in deliveries:
                if on_checkpoint is not None:
                    on_checkpoint(extraction.checkpoint)
                # pure=False: equal pages are computed twice, rather than once by the hash of all their records.
                future = client.submit(work, delivery.records, pure=False, retries=retries)
                task = asyncio.create_task(_finish(client, delivery, future, on_result))
                running.add(task)
                task.add_done_callback(running.discard)
        if on_checkpoint is not None:
            on_checkpoint(extraction.checkpoint)
        return extraction.manifest
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _finish(
    client: "Client", delivery: Delivery[T], future: "Future[R]", on_result: Callable[[R], object] | None
) -> None:
    try:
        (result,) = await _gather(client, [future])
        if on_result is not None:
            on_result(result)
    except Exception as error:  # noqa: BLE001 - the iteration raises it
        delivery.failed(error)
    else:
        delivery.done()


class _PartExport(Struct, frozen=True, kw_only=True):
    """What a worker needs to export a part; called in the event loop of the worker."""

    connect: Callable[[], AbstractAsyncContextManager[AmiliClient]]
    path: str
    record: type[Any]
    folder: Path
    where: Where
    since: Since

    async def __call__(self, part: Part) -> int:
        async with self.connect() as amili:
            resource = amili.resource(self.path, self.record)
            return (await Dataset(resource, self.folder, self.where, since=self.since).export(part)).rows


@hide_variables
async def export_dataset(
    resource: Resource[Any],
    folder: Path | str,
    *,
    client: "Client",
    parts: int,
    where: Where = None,
    since: Since = None,
    connect: Callable[[], AbstractAsyncContextManager[AmiliClient]] = AmiliClient.from_env,
    retries: int = RETRIES,
) -> ExportResult:
    """Let the workers write a folder of Parquet files that holds each record once; see `export.Dataset`.

    - *resource*: what is extracted.
    - *folder*: all workers must see it under this path.
    - *client*: of the cluster.
    - *parts*: how many files there are at most.
    - *where*: which records. It travels with the work, with its values.
    - *since*: the manifest of an earlier dataset: what changed after it.
    - *connect*: makes the client of each worker, in the worker: no credential travels. It may return any async context
      manager of a client, such as one that opens a shared rate limiter first.
    - *retries*: how often a part that raises is repeated.

    Called again after this process was killed, it exports the parts that are missing; a part that ran twice is in the
    folder once.
    """
    dataset = Dataset(resource, folder, where, since=since)
    left = await dataset.begin(parts=parts)
    job = _PartExport(
        connect=connect, path=resource.path, record=resource.record, folder=dataset.folder, where=where, since=since
    )
    await _gather(client, [client.submit(job.__call__, part, pure=False, retries=retries) for part in left])
    return await dataset.conclude()


async def _gather(client: "Client", futures: "list[Future[R]]") -> list[R]:
    """The results of futures, of which none is needed by the cluster any more once the last reference is gone."""
    if client.asynchronous:
        results: list[R] = await client.gather(futures)  # type: ignore[no-untyped-call]
        return results
    return await asyncio.to_thread(client.gather, futures)
