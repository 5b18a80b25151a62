"""Messages that are late, repeated or lost, each at the moment at which it would do harm."""

import asyncio
import json
from typing import Any

from amili_async import Priority, RateLimit
from tests.support.shared_processes import Process, Processes, play


def deliver_again(process: Process, number: int) -> dict[str, Any]:
    """Let the script execute a message of a process once more, which its connection delivered before."""
    keys, message = process.connection.delivered[number]
    return dict(json.loads(process.connection.execute(keys, message)))


def test_a_message_that_arrives_after_a_later_one_has_no_effect() -> None:
    """A server that was stopped executes what connections held that their process has given up."""

    async def scene() -> None:
        processes = Processes()
        one, other = await processes.start(), await processes.start()
        await one.limiter.acquire(Priority.SINGLE)
        one.limiter.on_response()
        await one.limiter.status()
        before = await other.limiter.status()
        assert deliver_again(one, 0) == {"is_stale": True}
        assert await other.limiter.status() == before
        await processes.finish()

    play(scene())


def test_what_is_reported_again_counts_once_and_a_grant_that_was_lost_is_void() -> None:
    """The reply is lost, not the message: its response has been counted, and its permit no call got."""

    async def scene() -> None:
        processes = Processes()
        one, other = await processes.start(), await processes.start()
        await one.limiter.acquire(Priority.SINGLE)
        one.limiter.on_response()
        one.connection.loses_replies = True
        waiting = asyncio.create_task(one.limiter.acquire(Priority.SINGLE, max_wait=0.1))
        await asyncio.sleep(0.05)
        assert (await other.limiter.status()).in_flight == 1
        await asyncio.sleep(0.1)
        one.connection.loses_replies = False
        await asyncio.gather(waiting, return_exceptions=True)
        await one.limiter.status()
        status = await other.limiter.status()
        assert (status.used, status.in_flight) == (1, 0)
        await processes.finish()

    play(scene())


def test_after_permits_of_a_share_nothing_is_granted_until_all_have_reported_theirs() -> None:
    """Only one process was cut off from Redis, which granted permits to the other."""

    async def scene() -> None:
        processes = Processes()
        one = await processes.start(share=RateLimit(per_minute=25, per_second=5))
        other = await processes.start()
        one.connection.is_cut = True
        for _ in range(3):
            await one.limiter.acquire(Priority.SINGLE)
            one.limiter.on_response()
        one.connection.is_cut = False
        await asyncio.sleep(0.5)
        status = await other.limiter.status()
        assert status.used == 3
        assert 0.9 <= status.closed_for <= 1.5
        await processes.finish()

    play(scene())


def test_after_a_loss_nothing_is_granted_until_all_have_reported_their_requests() -> None:
    """The process that notices it first does not know what the others sent; then all that was sent counts again."""

    async def scene() -> None:
        processes = Processes()
        one, other = await processes.start(), await processes.start()
        for process in (one, other):
            for _ in range(4):
                await process.limiter.acquire(Priority.SINGLE)
                process.limiter.on_response()
        await asyncio.sleep(1.0)
        processes.redis.data.clear()
        began = asyncio.get_running_loop().time()
        await other.limiter.acquire(Priority.SINGLE)
        assert asyncio.get_running_loop().time() - began >= 1.5
        await one.limiter.status()
        assert (await other.limiter.status()).used == 9
        other.limiter.release_unused()
        await processes.finish()

    play(scene())


def test_a_permit_that_arrives_after_the_lease_is_not_used() -> None:
    """Redis has given it to another by then: the process requests another."""

    async def scene() -> None:
        processes = Processes()
        slow, other = await processes.start(lease=0.2), await processes.start()
        slow.connection.delay = 0.4
        waiting = asyncio.create_task(slow.limiter.acquire(Priority.SINGLE))
        await asyncio.sleep(0.3)
        assert (await other.limiter.status()).in_flight == 0
        await asyncio.sleep(0.2)
        assert slow.limiter.in_flight == 0
        slow.connection.delay = 0.0
        await waiting
        slow.limiter.release_unused()
        await processes.finish()

    play(scene())


def test_the_time_neither_goes_back_nor_jumps() -> None:
    """A slot is free a second after its response, whichever way the clock is set in between."""

    async def scene(step: float) -> float:
        processes = Processes()
        process = await processes.start(limit=RateLimit(per_second=1))
        await process.limiter.acquire(Priority.SINGLE)
        process.limiter.on_response()
        await asyncio.sleep(0.6)
        processes.redis.clock_offset += step
        began = asyncio.get_running_loop().time()
        await process.limiter.acquire(Priority.SINGLE)
        process.limiter.on_response()
        waited = asyncio.get_running_loop().time() - began
        await processes.finish()
        return waited

    for step in (0.0, 1.0, 120.0, -1.0, -120.0):
        assert 0.39 <= play(scene(step)) <= 0.45
