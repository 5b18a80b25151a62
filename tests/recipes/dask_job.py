"""A Dask job: workers sum the lines of a payout specification, and write all lines into a folder of Parquet files.

`python -m tests.recipes.dask_job FOLDER SCHEDULER`, with the variables that `AmiliClient.from_env` reads; without an
address it starts workers on this machine. `process` fetches here, and its workers need neither variables nor network.
The workers of `export_dataset` fetch: they need the variables, and `AMILI_REDIS_URL` to share the limit of the key.
Killed and started again with the same folder, the job writes the parts that are missing; each run has its own folder.
"""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

from distributed import Client

from amili_async import AmiliClient, PayoutSpecification
from amili_async.dask import export_dataset, process


def sum_articles(lines: Sequence[PayoutSpecification]) -> Mapping[str, Decimal]:
    """Runs on a worker: the sum per article of one page."""
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        sums[line.article or "without"] += line.total_amount or 0
    return dict(sums)


async def run(folder: str, scheduler: str | None = None) -> None:
    """Fails if the API or the work of a page still fails after its retries."""
    totals: defaultdict[str, Decimal] = defaultdict(Decimal)

    def add(sums: Mapping[str, Decimal]) -> None:
        for article, amount in sums.items():
            totals[article] += amount

    cluster = Client(scheduler, asynchronous=True)  # type: ignore[no-untyped-call]
    async with cluster, AmiliClient.from_env() as amili:
        manifest = await process(amili.payout_specifications, sum_articles, client=cluster, on_result=add)
        print(f"{manifest.verdict}: {manifest.rows} lines, {sum(totals.values())} SEK")
        for article, amount in sorted(totals.items()):
            print(f"{article}: {amount}")
        written = await export_dataset(amili.payout_specifications, folder, client=cluster, parts=4)
        print(f"{written.rows} lines in {written.path}")


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
