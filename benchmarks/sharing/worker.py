"""`python -m benchmarks.sharing.worker SETTINGS`: one process, which sends its requests when it reads a line."""

import asyncio
import sys
import time
from collections.abc import Iterator
from math import inf

import msgspec
from msgspec import Struct

from amili_async import AmiliClient, Event, RetryPolicy
from amili_async.events import AttemptFinished
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


class WorkerResult(Struct, frozen=True, kw_only=True):
    """What one process saw; times are those of the system's monotonic clock, which all processes share."""

    answered_at: list[float]
    """When each answer arrived."""
    rate_limited: int
    """Number of 429 responses."""


async def run(settings: WorkerSettings) -> WorkerResult:
    """Wait for the line, then send all requests with ten workers."""
    answered_at: list[float] = []
    statuses: list[int | None] = []

    def observe(event: Event) -> None:
        if isinstance(event, AttemptFinished):
            statuses.append(event.status)

    async def work(client: AmiliClient, left: Iterator[int]) -> None:
        for _ in left:
            await client.payouts.count()
            answered_at.append(time.monotonic())

    async with (
        open_limiter(settings.limiter, settings.redis_url, settings.processes) as limiter,
        AmiliClient(
            settings.base_url, auth=settings.token, rate_limit=limiter, retry=PATIENT, observers=[observe]
        ) as client,
    ):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        left = iter(range(settings.requests))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WORKERS):
                tasks.create_task(work(client, left))
    return WorkerResult(answered_at=answered_at, rate_limited=statuses.count(429))


if __name__ == "__main__":
    result = asyncio.run(run(msgspec.json.decode(sys.argv[1], type=WorkerSettings)))
    print(msgspec.json.encode(result).decode(), flush=True)
