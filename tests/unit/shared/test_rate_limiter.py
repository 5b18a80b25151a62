"""What a shared rate limiter does beyond `RateLimiter`: its state, its cost, its warnings, and how it opens and ends.

What each rate limiter must do is in `tests/properties/test_limiter_conformance.py`, and what no fault may cause in
`test_rate_limiter_faults.py`.
"""

import asyncio
import logging
import random
from statistics import quantiles
from typing import Any, cast

import pytest

from amili_async import Event, Priority, Quota, RateLimit
from amili_async.errors import BudgetExhausted, ClientClosed, ConfigurationError, RateLimiterUnavailable
from amili_async.events import (
    PermitDelayed,
    RateLimiterDisconnected,
    RateLimiterPaused,
    RateLimiterReconnected,
)
from amili_async.shared import RateLimiterStatus, RedisRateLimiter
from tests.support.fake_redis import FakeRedis
from tests.support.shared_processes import FULL, Process, Processes, play


async def answered(process: Process, calls: int, priority: Priority = Priority.SINGLE) -> None:
    """So many calls at once, whose responses arrive at once."""
    for _ in range(calls):
        await process.limiter.acquire(priority)
    for _ in range(calls):
        process.limiter.on_response()


def test_the_status_covers_all_processes() -> None:
    """What was used, is in flight and waits, of this process and of another one, and whether all is paused."""

    async def scene() -> list[RateLimiterStatus]:
        processes = Processes()
        one, other = await processes.start(), await processes.start()
        await answered(one, 4)
        for _ in range(6):
            await other.limiter.acquire(Priority.BULK)
        waiting = asyncio.create_task(other.limiter.acquire(Priority.BULK))
        await asyncio.sleep(0.1)
        first = await one.limiter.status()
        other.limiter.on_response()
        other.limiter.on_rate_limited(7.0)
        await asyncio.sleep(0.1)
        second = await one.limiter.status()
        waiting.cancel()
        for _ in range(5):
            other.limiter.on_response()
        await processes.finish()
        return [first, second]

    first, second = play(scene())
    assert first == RateLimiterStatus(used=10, in_flight=6, waiting=1, processes=2, closed_for=0.0, paced=False)
    assert (second.in_flight, second.paced) == (5, True)
    assert second.closed_for == pytest.approx(6.9, abs=0.1)


def test_an_idle_process_costs_no_exchange_and_has_no_task() -> None:
    """After its responses are reported nothing is sent, and nothing runs."""

    async def scene() -> tuple[int, int]:
        processes = Processes()
        process = await processes.start()
        processes.send(process, 20)
        await asyncio.gather(*process.calls)
        await asyncio.sleep(2.0)
        before = processes.redis.calls
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.sleep(100.0)
        return before, processes.redis.calls

    before, after = play(scene())
    assert before == after


@pytest.mark.parametrize(("processes", "most"), [(1, 1.3), (8, 4.5)])
def test_exchanges_are_few(processes: int, most: float) -> None:
    """Calls, responses and cancellations of a process share exchanges, and each waits as long as Redis demands."""

    async def scene() -> float:
        scene = Processes()
        for _ in range(processes):
            scene.send(await scene.start(), 160 // processes)
        await scene.finish()
        return scene.redis.calls / len(scene.server.seen)

    assert play(scene()) <= most


def test_a_waiting_process_exchanges_at_most_one_and_a_half_messages_a_second() -> None:
    """Also under the even pace after a 429, when a permit is free each 0.6 seconds."""

    async def scene() -> float:
        processes = Processes()
        waiting = [await processes.start() for _ in range(8)]
        await answered(waiting[0], 1)
        waiting[0].limiter.on_rate_limited(1.0)
        for process in waiting:
            processes.send(process, 20)
        await asyncio.sleep(10.0)
        before = processes.redis.calls
        await asyncio.sleep(50.0)
        exchanges = processes.redis.calls - before
        for process in waiting:
            process.kill()
        await processes.finish()
        return exchanges / 50.0 / 8

    assert play(scene()) <= 1.5


async def use_web(process: Process, waits: list[float], failed: list[float]) -> None:
    """Six single calls a minute, at random moments, of which each may wait two seconds."""
    dice, loop = random.Random(3), asyncio.get_running_loop()
    while True:
        await asyncio.sleep(dice.uniform(0.0, 20.0))
        began = loop.time()
        try:
            await process.limiter.acquire(Priority.SINGLE, max_wait=2.0)
        except BudgetExhausted:
            failed.append(began)
            continue
        waits.append(loop.time() - began)
        await asyncio.sleep(0.06)
        process.limiter.on_response()


def test_the_reserve_answers_single_calls_beside_a_bulk_job() -> None:
    """A bulk job of another process runs at full speed; 99 % of the calls are answered, 95 % of them at once."""
    waits: list[float] = []
    failed: list[float] = []

    async def scene() -> int:
        processes = Processes()
        bulk, web = [await processes.start(limit=RateLimit(reserve=10)) for _ in range(2)]
        processes.send(bulk, 10_000)
        calling = asyncio.create_task(use_web(web, waits, failed))
        await asyncio.sleep(600.0)
        for task in (calling, *bulk.calls):
            task.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await processes.finish()
        assert processes.server.rejected == 0
        return bulk.sent

    pages = play(scene())
    assert len(failed) <= 0.01 * len(waits)
    assert quantiles(waits, n=20)[-1] < 0.05
    assert pages >= 850


def test_a_wide_process_gets_no_more_than_a_narrow_one() -> None:
    """Permits are shared by processes, not by calls: forty workers get as much as ten."""

    async def scene() -> list[int]:
        processes = Processes()
        wide, narrow = await processes.start(), await processes.start()
        processes.send(wide, 10_000, workers=40)
        processes.send(narrow, 10_000, workers=10)
        await asyncio.sleep(179.0)
        shares = [wide.sent, narrow.sent]
        for process in (wide, narrow):
            process.kill()
        await processes.finish()
        return shares

    wide, narrow = play(scene())
    assert wide <= 1.25 * narrow
    assert narrow <= 1.25 * wide


def test_a_process_behind_more_calls_than_a_minute_serves_is_served_too() -> None:
    """One of twelve takes the first ten permits: 110 calls of the others are before its next one."""

    async def scene() -> int:
        processes = Processes()
        for _ in range(12):
            processes.send(await processes.start(), 12)
        await asyncio.sleep(75.0)
        answered = len(processes.server.seen)
        for process in processes.processes:
            process.kill()
        await processes.finish()
        return answered

    assert play(scene()) == 144


def test_a_permit_that_is_released_unused_waits_for_no_process_that_sleeps() -> None:
    """The minute is used up, so the other process, which is before it, sends its next message much later."""

    async def scene() -> float:
        processes = Processes()
        one, other = await processes.start(), await processes.start()
        processes.send(one, 99)
        await asyncio.gather(*one.calls)
        await one.limiter.acquire(Priority.SINGLE)
        waiting = [asyncio.create_task(each.limiter.acquire(Priority.SINGLE)) for each in (other, one)]
        await asyncio.sleep(3.0)
        one.limiter.release_unused()
        began = asyncio.get_running_loop().time()
        await waiting[1]
        waited = asyncio.get_running_loop().time() - began
        waiting[0].cancel()
        one.limiter.release_unused()
        await processes.finish()
        return waited

    assert play(scene()) <= 0.1


def test_different_limits_are_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """Each process uses its own; a warning shows that one of them is wrong."""

    async def scene() -> None:
        processes = Processes()
        one, other = await processes.start(), await processes.start(limit=RateLimit(per_minute=50))
        for _ in range(3):
            await answered(one, 1)
            await answered(other, 1)
        await processes.finish()

    with caplog.at_level(logging.WARNING, "amili_async"):
        play(scene())
    assert [record.levelname for record in caplog.records if "different limits" in record.message] == ["WARNING"] * 2


def test_the_quota_counts_what_others_send_with_the_key() -> None:
    """The server reports that 60 requests are not ours: after 40 of ours all processes wait for its reset."""

    async def scene() -> tuple[int, float]:
        processes = Processes()
        one, other = await processes.start(), await processes.start()
        loop = asyncio.get_running_loop()
        granted = 0

        async def work(process: Process) -> None:
            nonlocal granted
            while True:
                await process.limiter.acquire(Priority.BULK)
                granted += 1
                quota = Quota(limit=100, remaining=max(0, 40 - granted), reset_in=58.0 - loop.time())
                await asyncio.sleep(0.05)
                process.limiter.on_response(quota)

        tasks = [asyncio.create_task(work(process)) for process in (one, other) for _ in range(5)]
        await asyncio.sleep(50.0)
        until_reset = granted
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await processes.finish()
        return until_reset, processes.processes[0].limiter.in_flight

    assert play(scene()) == (40, 0)


def test_an_outage_is_announced_and_ends_waits_after_the_longest_pause() -> None:
    """A call raises when it may wait no longer, or when Redis has been away for `max_pause`; then it is back."""
    events: list[Event] = []

    async def scene() -> list[float]:
        processes = Processes()
        limiter = (await processes.start(limit=RateLimit(max_pause=30.0))).limiter
        limiter.add_observer(events.append)
        processes.redis.is_down = True
        loop, waited = asyncio.get_running_loop(), []
        for max_wait in (2.0, None):
            began = loop.time()
            with pytest.raises(RateLimiterUnavailable, match="has not been reached"):
                await limiter.acquire(Priority.SINGLE, max_wait=max_wait)
            waited.append(loop.time() - began)
        with pytest.raises(RateLimiterUnavailable):
            await limiter.status()
        processes.redis.is_down = False
        await limiter.acquire(Priority.SINGLE)
        limiter.release_unused()
        await processes.finish()
        return waited

    short, long = play(scene())
    assert short == pytest.approx(2.0, abs=0.01)
    assert 28.0 <= long <= 31.0
    assert [type(event) for event in events] == [RateLimiterDisconnected, RateLimiterReconnected]
    assert cast("RateLimiterDisconnected", events[0]).error == "ConnectionError"


def test_a_process_that_was_idle_since_an_outage_tries_redis_first() -> None:
    """Its share is for outages; used without need it would make all processes wait until each has reported its own."""

    async def scene() -> RateLimiterStatus:
        processes = Processes()
        process = await processes.start(share=RateLimit(per_minute=25, per_second=2))
        processes.redis.is_down = True
        await answered(process, 1)
        await asyncio.sleep(70.0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        processes.redis.is_down = False
        await answered(process, 1)
        status = await process.limiter.status()
        await processes.finish()
        return status

    status = play(scene())
    assert (status.used, status.closed_for) == (1, 0.0)


def test_a_pause_that_is_too_long_ends_the_waits_of_all_processes() -> None:
    """The other process learns of the 429 with its next message."""
    events: list[Event] = []

    async def scene() -> None:
        processes = Processes()
        one, other = await processes.start(), await processes.start()
        one.limiter.add_observer(events.append)
        await answered(one, 1)
        assert one.limiter.on_rate_limited(600.0) == pytest.approx(600.0)
        await asyncio.sleep(0.1)
        for process in (one, other, other):
            with pytest.raises(BudgetExhausted):
                await process.limiter.acquire(Priority.SINGLE)
        await processes.finish()

    play(scene())
    assert [cast("RateLimiterPaused", event).reason for event in events] == ["429"]


def test_a_long_wait_is_announced() -> None:
    """Once per priority, after thirty seconds."""
    events: list[Event] = []

    async def scene() -> None:
        processes = Processes()
        process = await processes.start()
        process.limiter.add_observer(events.append)
        processes.send(process, 120)
        await asyncio.gather(*process.calls)
        await processes.finish()

    play(scene())
    assert [(type(event), cast("PermitDelayed", event).priority) for event in events] == [(PermitDelayed, "bulk")]


def test_closing_ends_the_waits_and_reports_what_was_sent() -> None:
    """Waiting calls raise `ClientClosed`; the other process knows of the requests of the closed one."""

    async def scene() -> None:
        processes = Processes()
        one, other = await processes.start(), await processes.start()
        await answered(one, 10)
        waiting = asyncio.create_task(one.limiter.acquire(Priority.SINGLE))
        await asyncio.sleep(0)
        await one.limiter.aclose()
        await one.limiter.aclose()
        with pytest.raises(ClientClosed, match="rate limiter was closed"):
            await waiting
        assert (await other.limiter.status()).used == 10
        with pytest.raises(ConfigurationError, match="not open"):
            await one.limiter.acquire(Priority.SINGLE)
        await one.limiter.open()
        await answered(one, 1)
        await processes.finish()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    play(scene())


@pytest.mark.parametrize("options", [{"name": ""}, {"limit": None}, {"lease": 0.0}])
def test_options_that_cannot_work_raise_in_the_constructor(options: dict[str, Any]) -> None:
    """Without a name all keys would share one limit."""
    with pytest.raises(ConfigurationError):
        RedisRateLimiter(**({"redis": cast("Any", FakeRedis().connect()), "name": "key"} | options))


def test_a_limiter_belongs_to_one_event_loop() -> None:
    """Its timers and its connection do."""
    limiter = RedisRateLimiter(cast("Any", FakeRedis().connect()), "key", limit=FULL)
    with pytest.raises(ConfigurationError, match="not open"):
        play(limiter.acquire(Priority.SINGLE))
    play(limiter.open())
    with pytest.raises(ConfigurationError, match="another event loop"):
        play(limiter.acquire(Priority.SINGLE))
    assert repr(limiter) == "RedisRateLimiter('key', open)"
