"""The shared rate limiter on a real Redis and a real Valkey: the script, the connection, and what breaks both.

What it decides is tested in virtual time (`tests/unit/shared`); here are the traps of the server and of its client.
"""

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest
import redis.asyncio

from amili_async import AmiliClient, Event, Observer, Priority, RateLimit
from amili_async.errors import ConfigurationError, RateLimiterUnavailable
from amili_async.events import PermitAcquired, RateLimiterDisconnected, RateLimiterReconnected
from amili_async.observers import TraceCalls
from amili_async.sandbox import Sandbox
from amili_async.shared import RedisRateLimiter
from tests.support.call_events import Recorder
from tests.support.clocks import happens
from tests.support.exhaustive import EXHAUSTIVE
from tests.support.servers import RedisServer, start_redis
from tests.support.spans import Spans

SHARE = RateLimit(per_minute=25, per_second=2)
PASSWORD = "canary-of-the-password"
SOON = 10.0
"""Seconds: less than eleven attempts of redis-py take, or the minute of the rate limit. The exact times, which a busy
machine exceeds, are those of `tests/unit/shared`."""


@pytest.fixture(scope="module", params=["redis-server", pytest.param("valkey-server", marks=EXHAUSTIVE)])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server that no test stops."""
    with start_redis(request.param) as server:
        yield server


@pytest.fixture(params=["redis-server", pytest.param("valkey-server", marks=EXHAUSTIVE)])
def breakable(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server that the test may stop, kill and restart."""
    with start_redis(request.param) as server:
        yield server


@asynccontextmanager
async def open_limiters(server: RedisServer, count: int, **options: Any) -> AsyncIterator[list[RedisRateLimiter]]:
    """Limiters with a connection each, as processes have them, for a key of their own."""
    name = uuid4().hex
    limiters = [RedisRateLimiter.from_url(server.url, name, **options) for _ in range(count)]
    try:
        yield [await limiter.open() for limiter in limiters]
    finally:
        for limiter in limiters:
            await limiter.aclose()


async def send(limiter: RedisRateLimiter, priority: Priority = Priority.SINGLE) -> None:
    """One call whose response arrives at once."""
    await limiter.acquire(priority)
    limiter.on_response()


async def test_limiters_share_the_permits_of_a_second(server: RedisServer) -> None:
    """Of 32 calls of four limiters ten are served at once, and the last no earlier than three seconds later."""
    async with open_limiters(server, 4) as limiters:
        loop = asyncio.get_running_loop()
        began, ended = loop.time(), []

        async def call(limiter: RedisRateLimiter) -> None:
            await send(limiter)
            ended.append(loop.time() - began)

        await asyncio.gather(*(call(limiter) for limiter in limiters for _ in range(8)))
        assert sum(at < 1.0 for at in ended) <= 10
        assert sum(at < 2.0 for at in ended) <= 20
        assert max(ended) >= 3.0
        assert (await limiters[0].status()).used == 32


async def test_cancelled_calls_leave_nothing_behind(server: RedisServer) -> None:
    """No cancellation reaches the connection, whose answers would otherwise be those of the command before."""
    dice = random.Random(7)
    async with open_limiters(server, 2) as limiters:

        async def call(limiter: RedisRateLimiter) -> None:
            await asyncio.sleep(dice.uniform(0.0, 0.5))
            with suppress(TimeoutError):
                async with asyncio.timeout(dice.choice([0.0, 0.0005, 0.001, 0.01])):
                    await limiter.acquire(dice.choice(list(Priority)))
                limiter.release_unused()

        await asyncio.gather(*(call(dice.choice(limiters)) for _ in range(300)))
        assert {(limiter.waiting, limiter.in_flight) for limiter in limiters} == {(0, 0)}
        for limiter in limiters:
            await limiter.status()  # with it each reports its last release
        status = await limiters[0].status()
        assert (status.used, status.in_flight) == (0, 0)


async def test_a_restart_without_data_loses_no_request(breakable: RedisServer) -> None:
    """Each process reports what it sent in the last minute, and observers get an event for the outage and its end."""
    events: list[Event] = []
    async with open_limiters(breakable, 2) as limiters:
        limiters[0].add_observer(events.append)
        await asyncio.gather(*(send(limiter) for limiter in limiters for _ in range(4)))
        breakable.kill()
        with pytest.raises(RateLimiterUnavailable):
            await limiters[0].status()
        breakable.start()
        await asyncio.gather(*(send(limiter) for limiter in limiters))
        assert (await limiters[0].status()).used == 10
    assert [type(event) for event in events] == [RateLimiterDisconnected, RateLimiterReconnected]


async def test_the_share_takes_over_while_redis_hangs(breakable: RedisServer) -> None:
    """A server that accepts and does not answer costs one timeout; without a share a call fails as it may."""
    async with open_limiters(breakable, 1, share=SHARE) as [limiter], open_limiters(breakable, 1) as [waiting]:
        await asyncio.gather(send(limiter), send(waiting))
        breakable.suspend()
        began = time.monotonic()
        failing = asyncio.create_task(waiting.acquire(Priority.SINGLE, max_wait=1.6))
        await send(limiter)
        assert time.monotonic() - began < SOON
        with pytest.raises(RateLimiterUnavailable):
            await failing
        breakable.resume()
        await happens(lambda: limiter.remaining == 98)


async def test_a_borrowed_client_is_not_closed_and_its_retries_hide_no_outage(breakable: RedisServer) -> None:
    """By default redis-py tries a command eleven times; the share takes over before that ends."""
    client = redis.asyncio.from_url(breakable.url)
    async with RedisRateLimiter(client, "key", share=SHARE) as limiter:
        await send(limiter)
        breakable.kill()
        began = time.monotonic()
        await send(limiter)
        assert time.monotonic() - began < SOON
        breakable.start()
    assert await client.ping()
    await client.aclose()


async def test_a_client_from_the_environment_owns_its_limiter(server: RedisServer) -> None:
    """It opens and closes it, also a second time; two clients of one key share it."""
    async with Sandbox(payouts=3, specifications=3, payments=3) as sandbox:
        variables = {
            "AMILI_BASE_URL": sandbox.url,
            "AMILI_TOKEN": sandbox.token(),
            "AMILI_REDIS_URL": server.url,
            "AMILI_RATE_LIMITER_NAME": uuid4().hex,
        }
        one, other = AmiliClient.from_env(variables), AmiliClient.from_env(variables)
        for _ in range(2):
            async with one, other:
                await one.payouts.count()
                await other.payouts.count()
        async with one:
            assert isinstance(one.rate_limiter, RedisRateLimiter)
            assert one.rate_limiter.limit == RateLimit(reserve=10)
            assert (await one.rate_limiter.status()).used == 4
        with pytest.raises(ConfigurationError, match="not open"):
            await one.rate_limiter.acquire(Priority.SINGLE)


async def test_calls_on_a_shared_limiter_are_reported_and_traced_like_others(server: RedisServer) -> None:
    """Each permit shows what the latest reply left of the minute; the tasks that talk to Redis keep no span current."""
    recorder, spans = Recorder(), Spans()
    async with open_limiters(server, 1) as (limiter,), Sandbox(rate_limit=None) as sandbox:
        observers: list[Observer] = [recorder, TraceCalls(spans.tracer)]
        async with AmiliClient(sandbox.url, auth=sandbox.token(), rate_limit=limiter, observers=observers) as amili:
            await amili.payouts.page()
            await amili.payouts.page()
    recorder.check()
    spans.check()
    remaining = [event.remaining for event in recorder.events if isinstance(event, PermitAcquired)]
    assert [left is not None and 90 <= left < 100 for left in remaining] == [True, True]
    assert spans.tree() == ["page finance--payouts", "  GET /finance--payouts"] * 2


CHILD = """
import asyncio, sys
from amili_async import Priority
from amili_async.shared import RedisRateLimiter

async def main():
    async with RedisRateLimiter.from_url(sys.argv[1], "kill", lease=1.2) as limiter:
        for _ in range(10):
            await limiter.acquire(Priority.SINGLE)
        print("has all", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_the_permits_of_a_killed_process_are_free_after_its_lease(server: RedisServer) -> None:
    """It holds all ten permits of a second: a second after the lease another process gets them."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, server.url, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert await child.stdout.readline() == b"has all\n"
    async with RedisRateLimiter.from_url(server.url, "kill", lease=1.2) as limiter:
        await asyncio.sleep(1.5)
        assert (await limiter.status()).in_flight == 10  # the lease is renewed while they are held
        child.send_signal(signal.SIGKILL)
        began = time.monotonic()
        await send(limiter)
        assert 1.0 <= time.monotonic() - began < SOON
        assert (await limiter.status()).in_flight == 0
    await child.wait()


async def test_no_text_shows_the_password_of_redis() -> None:
    """Neither the limiter's own text, nor an error about its URL or its server, nor the variables of their frames."""
    texts = []
    for url in (f"redis://:{PASSWORD}/x@localhost:1", f"http://:{PASSWORD}@localhost", f"redis://:{PASSWORD}@[::1"):
        with pytest.raises(ConfigurationError) as caught:
            RedisRateLimiter.from_url(url, "key")
        texts += [str(caught.value), repr(caught.value.__context__), *map(str, find_variables(caught.value))]
    events: list[Event] = []
    url = f"redis://user:{PASSWORD}@localhost:1/0"
    async with RedisRateLimiter.from_url(url, "key", limit=RateLimit(max_pause=0.0)) as limiter:
        limiter.add_observer(events.append)
        with pytest.raises(RateLimiterUnavailable) as lost:
            await limiter.status()
        texts += [repr(limiter), str(lost.value), repr(lost.value.__context__), repr(events)]
    assert PASSWORD not in "".join(texts)


def find_variables(error: BaseException) -> list[dict[str, Any]]:
    """The variables of each frame of the package in a traceback."""
    trace, found = error.__traceback__, []
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__", "")).startswith("amili_async"):
            found.append(trace.tb_frame.f_locals)
        trace = trace.tb_next
    return found
