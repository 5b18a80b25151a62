"""Processes that share a rate limiter, a strict server, and what can go wrong between them, in virtual time."""

import asyncio
import random
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any, TypeVar, cast

from amili_async import Priority, RateLimit
from amili_async.shared import RedisRateLimiter
from tests.support.clocks import JumpingLoop
from tests.support.fake_redis import FakeConnection, FakeRedis
from tests.support.strict_server import StrictServer

T = TypeVar("T")
FULL = RateLimit()
"""The whole limit, without a reserve."""


class Process:
    """One process of several: its limiter, its calls, and its connection to Redis."""

    def __init__(self, limiter: RedisRateLimiter, connection: FakeConnection) -> None:
        self.limiter, self.connection = limiter, connection
        self.calls: list[asyncio.Task[None]] = []
        self.sent = 0
        """Requests that the server accepted."""

    def kill(self) -> None:
        """End it as `kill -9` does: nothing of it reaches Redis any more, and its calls end."""
        self.connection.is_cut = True
        for call in self.calls:
            call.cancel()


class Processes:
    """Processes that each send some requests with ten workers, all with the same key."""

    def __init__(self, *, latency: float = 0.06, seed: int = 0) -> None:
        self.redis = FakeRedis(seed=seed)
        self.server = StrictServer()
        self.processes: list[Process] = []
        self.latency = latency
        self._dice = random.Random(seed)

    async def start(self, *, limit: RateLimit = FULL, share: RateLimit | None = None, lease: float = 5.0) -> Process:
        """One process more, with an open limiter."""
        connection = self.redis.connect()
        limiter = RedisRateLimiter(cast("Any", connection), "key", limit=limit, share=share, lease=lease)
        self.processes.append(Process(await limiter.open(), connection))
        return self.processes[-1]

    def send(self, process: Process, requests: int, *, workers: int = 10) -> None:
        """Begin to send so many requests."""
        left = iter(range(requests))
        process.calls += [asyncio.create_task(self._work(process, left)) for _ in range(workers)]

    async def _work(self, process: Process, left: Any) -> None:
        for _ in left:
            while not await self._try(process.limiter):
                pass
            process.sent += 1

    async def _try(self, limiter: RedisRateLimiter) -> bool:
        await limiter.acquire(Priority.BULK)
        flight = self.latency * self._dice.uniform(0.5, 1.5) / 2
        # The request reaches the server even if its process dies.
        arrived = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(flight, self._receive, arrived)
        try:
            is_accepted = await arrived
            await asyncio.sleep(flight)
        except asyncio.CancelledError:
            limiter.on_no_response(flight)
            raise
        limiter.on_response()
        if not is_accepted:
            limiter.on_rate_limited(None)
        return bool(is_accepted)

    def _receive(self, arrived: asyncio.Future[bool]) -> None:
        is_accepted = self.server.receive(asyncio.get_running_loop().time())
        if not arrived.done():
            arrived.set_result(is_accepted)

    async def finish(self) -> None:
        """Wait until all calls have ended, and close the limiters that were not killed."""
        await asyncio.gather(*(call for each in self.processes for call in each.calls), return_exceptions=True)
        for each in self.processes:
            await each.limiter.aclose()

    def find_silences(self, after: float, until: float) -> list[float]:
        """Seconds between two requests that reached the server, of those that begin within this time."""
        return [later - earlier for earlier, later in pairwise(self.server.seen) if after <= earlier < until]


def play(scene: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time, and return its result."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(scene)
