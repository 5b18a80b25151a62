"""Several processes with one rate limiter, in virtual time: the real script in Lua, against a model of the API."""

import asyncio
import random
from collections.abc import Iterator
from statistics import fmean
from typing import Any, cast

from msgspec import Struct

from amili_async import Priority, RateLimit
from amili_async.shared import RedisRateLimiter
from benchmarks.simulation.client import MAX_RATIO, MEAN_JITTER, MIN_DELAY, ROUND_TRIP, WORKERS, TickingLoop
from benchmarks.simulation.servers import ServerModel, find_optimum
from tests.support.fake_redis import FakeRedis


class SharedRun(Struct, frozen=True, kw_only=True):
    """The result of one run, or the means of several."""

    ratio: float
    """Duration as a multiple of the optimum."""
    rate_limited: float
    """Number of 429 responses."""
    exchanges: float
    """Exchanges with Redis per request."""


def run_processes(server: type[ServerModel], *, processes: int, pages: int, seeds: int) -> SharedRun:
    """The means of one run per seed."""
    runs = [_SharedRuns(server(seed), seed).run(processes, pages, server(seed)) for seed in range(seeds)]
    return SharedRun(
        ratio=fmean(run.ratio for run in runs),
        rate_limited=fmean(run.rate_limited for run in runs),
        exchanges=fmean(run.exchanges for run in runs),
    )


class _SharedRuns:
    def __init__(self, server: ServerModel, seed: int) -> None:
        self._server = server
        self._rng = random.Random(seed)
        self._redis = FakeRedis(seed=seed)
        self._fetched_at: list[float] = []
        self._rate_limited = 0

    def run(self, processes: int, pages: int, equal_server: ServerModel) -> SharedRun:
        """Fetch so many pages, split evenly."""
        optimum = find_optimum(equal_server, pages) + ROUND_TRIP
        with asyncio.Runner(loop_factory=TickingLoop) as runner:
            seconds = runner.run(self._fetch_all(processes, pages, MAX_RATIO * optimum))
        return SharedRun(ratio=seconds / optimum, rate_limited=self._rate_limited, exchanges=self._redis.calls / pages)

    async def _fetch_all(self, processes: int, pages: int, deadline: float) -> float:
        shares = [pages // processes + (number < pages % processes) for number in range(processes)]
        try:
            async with asyncio.timeout(deadline):
                await asyncio.gather(*(self._run_process(share) for share in shares))
        except TimeoutError:
            return deadline
        return self._fetched_at[-1]

    async def _run_process(self, pages: int) -> None:
        connection = cast("Any", self._redis.connect())
        async with RedisRateLimiter(connection, "key", limit=RateLimit()) as limiter:
            left = iter(range(pages))
            await asyncio.gather(*(self._work(limiter, left) for _ in range(WORKERS)))

    async def _work(self, limiter: RedisRateLimiter, left: Iterator[int]) -> None:
        for _ in left:
            wait = await self._attempt(limiter)
            while wait is not None:
                await asyncio.sleep(wait)
                wait = await self._attempt(limiter)

    async def _attempt(self, limiter: RedisRateLimiter) -> float | None:
        """Seconds to wait after a 429; `None` after a page."""
        loop = asyncio.get_running_loop()
        await limiter.acquire(Priority.BULK)
        await asyncio.sleep(MIN_DELAY + self._rng.expovariate(1 / MEAN_JITTER))
        response = self._server.receive(loop.time())
        await asyncio.sleep(MIN_DELAY + self._rng.expovariate(1 / MEAN_JITTER))
        limiter.on_response(response.quota)
        if response.is_rate_limited:
            self._rate_limited += 1
            return limiter.on_rate_limited(response.retry_after)
        self._fetched_at.append(loop.time())
        return None
