"""One client that fetches pages from one server, in virtual time: how long it takes, and what it is refused."""

import asyncio
import random
from statistics import fmean
from types import ModuleType

from msgspec import Struct

from benchmarks.limit_servers import TICK, Server, SlidingWindows, find_optimum
from benchmarks.limiters import Limiter
from tests.support.clocks import JumpingLoop

WORKERS = 10
SHORTEST, JITTER = 0.020, 0.010
"""Seconds one way: a fixed part and the mean of an exponential one."""
ROUND_TRIP = 2 * (SHORTEST + JITTER)
PATIENCE = 5
"""Times the optimum: a client that takes longer is taken never to end."""


class Run(Struct, frozen=True, kw_only=True):
    """What came of it."""

    ratio: float
    """How long it took, as a multiple of what a client would take that sees into the server."""
    refused: int
    """Answers with 429."""
    fetched_at: tuple[float, ...]
    """When each page had arrived, in seconds."""
    has_ended: bool
    """Whether all of them did."""


class Typical(Struct, frozen=True, kw_only=True):
    """What came of it with one seed after the other."""

    ratio: float
    """The mean."""
    refused: float
    """The mean of answers with 429."""
    most_refused: int
    """The most of them with any seed."""
    unended: int
    """How many of the runs never ended."""


def run_seeds(server: type[Server], limiter: ModuleType, *, pages: int, seeds: int) -> Typical:
    """Means over the seeds."""
    runs = [run_once(server, limiter, pages=pages, seed=seed) for seed in range(seeds)]
    return Typical(
        ratio=fmean(run.ratio for run in runs),
        refused=fmean(run.refused for run in runs),
        most_refused=max(run.refused for run in runs),
        unended=sum(not run.has_ended for run in runs),
    )


def find_blind_optimum(server: type[Server], *, pages: int, seeds: int) -> float:
    """The least multiple of the optimum for a client that is told nothing and refused nothing.

    All answers are the same to it wherever the server's clock stands, so it has to do the same; and what is refused
    nowhere, wherever that clock stands, has no more than 100 requests in any minute.
    """
    sliding = find_optimum(SlidingWindows(0), pages) + ROUND_TRIP
    return fmean(sliding / (find_optimum(server(seed), pages) + ROUND_TRIP) for seed in range(seeds))


def run_once(server: type[Server], limiter: ModuleType, *, pages: int, seed: int) -> Run:
    """Fetch so many pages from a fresh server, ten workers at once; the seed stands for phase and latencies."""
    optimum = find_optimum(server(seed), pages) + ROUND_TRIP
    client = _Client(server(seed), seed, pages)
    with asyncio.Runner(loop_factory=_Loop) as runner:
        seconds = runner.run(client.fetch_all(limiter, deadline=PATIENCE * optimum))
    return Run(
        ratio=seconds / optimum,
        refused=client.refused,
        fetched_at=tuple(client.fetched_at),
        has_ended=len(client.fetched_at) == pages,
    )


class _Loop(JumpingLoop):
    """Time passes while something is done: else a limiter that looks again and again would wait for ever."""

    def _run_once(self) -> None:
        super()._run_once()
        self._jumped += TICK


class _Client:
    def __init__(self, server: Server, seed: int, pages: int) -> None:
        self._server = server
        self._dice = random.Random(seed)
        self._left = pages
        self.refused = 0
        self.fetched_at: list[float] = []

    async def fetch_all(self, limiter: ModuleType, *, deadline: float) -> float:
        """Seconds until all is fetched, or until the deadline."""
        turns = limiter.make()
        try:
            async with asyncio.timeout(deadline), asyncio.TaskGroup() as workers:
                for _ in range(WORKERS):
                    workers.create_task(self._work(turns))
        except TimeoutError:
            return deadline
        return self.fetched_at[-1]

    async def _work(self, turns: Limiter) -> None:
        while self._left:
            self._left -= 1
            await self._fetch(turns)

    async def _fetch(self, turns: Limiter) -> None:
        wait = await self._try(turns)
        while wait is not None:
            await asyncio.sleep(wait)
            wait = await self._try(turns)

    async def _try(self, turns: Limiter) -> float | None:
        """Seconds to wait after a 429; `None` after a page."""
        loop = asyncio.get_running_loop()
        await turns.acquire()
        await self._travel()
        answer = self._server.receive(loop.time())
        await self._travel()
        turns.on_response(answer.quota)
        if answer.is_refused:
            self.refused += 1
            return turns.on_rate_limited(answer.retry_after)
        self.fetched_at.append(loop.time())
        return None

    async def _travel(self) -> None:
        await asyncio.sleep(SHORTEST + self._dice.expovariate(1 / JITTER))
