"""What the conformance tests know of a rate limiter: how processes that share one key get theirs, in virtual time."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

from amili_async import RateLimit, RateLimiter
from amili_async._wire.rate_limiter import SlidingWindowLimiter
from amili_async.shared import RedisRateLimiter
from tests.support.fake_redis import FakeConnection, FakeRedis

MAX_FLIGHT = 3.0
"""Seconds within which a request reaches the server."""


class LimiterWorld(ABC):
    """The processes of one API key, each with its rate limiter, in the virtual time of a running `JumpingLoop`.

    To have `tests/properties/test_limiter_conformance.py` test another limiter, add a subclass to `WORLDS`: a test
    calls the class, without arguments, once for each key, and then its methods. The server's time is the loop's. A
    limiter that waits for others (Redis, files) fakes them on the same loop, and never waits really.
    """

    can_die = True
    """Whether `kill` does something; without it there is one process, whose clients share the limiter."""
    lag = 0.0
    """Seconds by which a permit may be later than that of a limiter in the process, such as some round trips."""

    @abstractmethod
    async def start(self, limit: RateLimit) -> RateLimiter:
        """The limiter, ready for use, of one process more; all processes of a world have the same *limit*."""

    async def kill(self, limiter: RateLimiter) -> None:
        """End a process as `kill -9` does: nothing that this limiter does later reaches any other.

        The test then cancels the calls of the process. What it had sent before reaches the server within MAX_FLIGHT.
        """
        raise NotImplementedError

    @abstractmethod
    def step_clock(self, seconds: float) -> None:
        """Make the clock by which the limiters count jump, forward or backward; the server's time does not."""

    async def aclose(self) -> None:
        """Close all limiters that are left, as their owners do; no task of theirs remains."""
        return


class LocalWorld(LimiterWorld):
    """One process, whose clients share the limiter that `client.rate_limiter` is."""

    can_die = False

    def __init__(self) -> None:
        self._limiter: SlidingWindowLimiter | None = None

    async def start(self, limit: RateLimit) -> RateLimiter:
        self._limiter = self._limiter or SlidingWindowLimiter(limit)
        return self._limiter

    def step_clock(self, seconds: float) -> None:
        # Its clock is monotonic, and the server's time is the same: what it can see is a machine that was suspended.
        loop: Any = asyncio.get_running_loop()
        loop.skip(max(0.0, seconds))


class SharedWorld(LimiterWorld):
    """Processes that share a limiter through Redis, which runs in virtual time."""

    lag = 0.3

    def __init__(self) -> None:
        self._redis = FakeRedis()
        self._connections: dict[RedisRateLimiter, FakeConnection] = {}

    async def start(self, limit: RateLimit) -> RateLimiter:
        connection = self._redis.connect()
        limiter = RedisRateLimiter(cast("Any", connection), "key", limit=limit)
        self._connections[limiter] = connection
        await limiter.open()
        await limiter.status()  # a process that knows no time yet cannot notice that the clock is set
        return limiter

    async def kill(self, limiter: RateLimiter) -> None:
        self._connections[cast("RedisRateLimiter", limiter)].is_cut = True

    def step_clock(self, seconds: float) -> None:
        self._redis.clock_offset += seconds

    async def aclose(self) -> None:
        for limiter in self._connections:
            await limiter.aclose()


WORLDS: dict[str, Callable[[], LimiterWorld]] = {"local": LocalWorld, "shared": SharedWorld}
"""The limiters that the conformance tests test."""
