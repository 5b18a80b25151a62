"""`python -m benchmarks.sharing.worker SETTINGS`: one process, which sends its requests when it reads a line."""

import asyncio
import sys
from collections.abc import Iterator
from math import inf

import msgspec
from msgspec import Struct

from amili_async import AmiliClient, RetryPolicy
from benchmarks.sharing.limiters import open_limiter

WORKERS = 10
PATIENT = RetryPolicy(attempts=1000, retry_budget=1000, max_retry_after=inf, max_elapsed=inf)
"""Each request is sent until it is answered: what is measured is how long that takes."""


class WorkerSettings(Struct, frozen=True, kw_only=True):
    """What one process does."""

    limiter: str
    """A name of `LABELS`."""
    base_url: str
    """The API's."""
    token: str
    """For the API."""
    redis_url: str
    """Where those limiters share that do."""
    requests: int
    """How many this process sends."""
    processes: int
    """How many processes there are."""


async def run(settings: WorkerSettings) -> None:
    """Wait for the line, then send all requests with ten workers."""

    async def work(client: AmiliClient, left: Iterator[int]) -> None:
        for _ in left:
            await client.payouts.count()

    async with (
        open_limiter(settings.limiter, settings.redis_url, settings.processes) as limiter,
        AmiliClient(settings.base_url, auth=settings.token, rate_limit=limiter, retry=PATIENT) as client,
    ):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        left = iter(range(settings.requests))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WORKERS):
                tasks.create_task(work(client, left))


if __name__ == "__main__":
    asyncio.run(run(msgspec.json.decode(sys.argv[1], type=WorkerSettings)))
