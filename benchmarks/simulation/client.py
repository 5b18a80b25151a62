"""One client fetches pages from one server model in virtual time: how long it takes, and how many 429s it receives."""

import asyncio
import random
from statistics import fmean
from types import ModuleType

from msgspec import Struct

from benchmarks.limiters import Limiter
from benchmarks.simulation.servers import TICK, ServerModel, SlidingWindowServer, find_optimum
from tests.support.clocks import JumpingLoop

WORKERS = 10
MIN_DELAY, MEAN_JITTER = 0.020, 0.010
"""Seconds of one-way network delay: a fixed part and the mean of an exponential part."""
ROUND_TRIP = 2 * (MIN_DELAY + MEAN_JITTER)
MAX_RATIO = 5
"""Multiple of the optimum after which a run is stopped and counts as never finishing."""


class RunResult(Struct, frozen=True, kw_only=True):
    """The result of one run."""

    ratio: float
    """Duration as a multiple of the optimum, the duration for a client that knows the server's state."""
    rate_limited: int
    """Number of 429 responses."""
    fetched_at: tuple[float, ...]
    """Arrival time of each page, in seconds."""
    is_finished: bool
    """Whether every page arrived."""


class RunMeans(Struct, frozen=True, kw_only=True):
    """The results of runs with different seeds."""

    ratio: float
    """Mean of `RunResult.ratio`."""
    rate_limited: float
    """Mean number of 429 responses."""
    max_rate_limited: int
    """Largest number of 429 responses in a run."""
    unfinished: int
    """Number of runs that did not finish."""


def run_seeds(server: type[ServerModel], limiter: ModuleType, *, pages: int, seeds: int) -> RunMeans:
    """Run once per seed."""
    runs = [run_once(server, limiter, pages=pages, seed=seed) for seed in range(seeds)]
    return RunMeans(
        ratio=fmean(run.ratio for run in runs),
        rate_limited=fmean(run.rate_limited for run in runs),
        max_rate_limited=max(run.rate_limited for run in runs),
        unfinished=sum(not run.is_finished for run in runs),
    )


def find_optimum_without_quota(server: type[ServerModel], *, pages: int, seeds: int) -> float:
    """The smallest ratio possible for a client that receives neither quota headers nor a 429.

    Such a client cannot see the phase of the server's clock, so it behaves the same for every phase; to avoid a 429 in
    all of them, it may send at most 100 requests in any 60 seconds.
    """
    sliding = find_optimum(SlidingWindowServer(0), pages) + ROUND_TRIP
    return fmean(sliding / (find_optimum(server(seed), pages) + ROUND_TRIP) for seed in range(seeds))


def run_once(server: type[ServerModel], limiter: ModuleType, *, pages: int, seed: int) -> RunResult:
    """Fetch *pages* pages from a new server with ten workers; the seed determines phase and delays."""
    optimum = find_optimum(server(seed), pages) + ROUND_TRIP
    client = _SimulatedClient(server(seed), seed, pages)
    with asyncio.Runner(loop_factory=TickingLoop) as runner:
        seconds = runner.run(client.fetch_all(limiter, deadline=MAX_RATIO * optimum))
    return RunResult(
        ratio=seconds / optimum,
        rate_limited=client.rate_limited,
        fetched_at=tuple(client.fetched_at),
        is_finished=len(client.fetched_at) == pages,
    )


class TickingLoop(JumpingLoop):
    """A loop whose time also advances a little per iteration."""

    def _run_once(self) -> None:
        super()._run_once()
        # Otherwise a limiter that polls without a sleep would never reach the end of a window.
        self._jumped += TICK


class _SimulatedClient:
    def __init__(self, server: ServerModel, seed: int, pages: int) -> None:
        self._server = server
        self._rng = random.Random(seed)
        self._remaining = pages
        self.rate_limited = 0
        self.fetched_at: list[float] = []

    async def fetch_all(self, module: ModuleType, *, deadline: float) -> float:
        """Seconds until every page arrived, at most *deadline*."""
        limiter = module.make()
        try:
            async with asyncio.timeout(deadline), asyncio.TaskGroup() as workers:
                for _ in range(WORKERS):
                    workers.create_task(self._work(limiter))
        except TimeoutError:
            return deadline
        return self.fetched_at[-1]

    async def _work(self, limiter: Limiter) -> None:
        while self._remaining:
            self._remaining -= 1
            await self._fetch(limiter)

    async def _fetch(self, limiter: Limiter) -> None:
        wait = await self._attempt(limiter)
        while wait is not None:
            await asyncio.sleep(wait)
            wait = await self._attempt(limiter)

    async def _attempt(self, limiter: Limiter) -> float | None:
        """Seconds to wait after a 429; `None` after a page."""
        loop = asyncio.get_running_loop()
        await limiter.acquire()
        await self._delay()
        response = self._server.receive(loop.time())
        await self._delay()
        limiter.on_response(response.quota)
        if response.is_rate_limited:
            self.rate_limited += 1
            return limiter.on_rate_limited(response.retry_after)
        self.fetched_at.append(loop.time())
        return None

    async def _delay(self) -> None:
        """Wait for one way through the network."""
        await asyncio.sleep(MIN_DELAY + self._rng.expovariate(1 / MEAN_JITTER))
