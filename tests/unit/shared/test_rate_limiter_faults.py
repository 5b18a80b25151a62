"""No fault of a process, of Redis or of its clock makes the server reject a request, and none silences the others long.

Four processes send 35 requests each with ten workers, in virtual time; the server rejects the 101st request in any 60
seconds and the 11th in any second.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from amili_async import RateLimit
from tests.support.exhaustive import EXHAUSTIVE
from tests.support.shared_processes import Processes, play

Fault: TypeAlias = Callable[[Processes], Awaitable[None]]
SHARE = RateLimit(per_minute=25, per_second=2)
MOMENTS = [
    3.0,
    *(pytest.param(moment, marks=EXHAUSTIVE) for moment in (0.3, 0.5, 0.9, 3.3, 3.6, 8.0, 11.0, 30.0, 61.0, 66.0)),
]
"""Seconds after which the fault occurs: in the first second, the first minute, while all wait, and in the second."""


async def lose_data(processes: Processes) -> None:
    """Redis ends, and runs again without its data two seconds later."""
    processes.redis.is_down = True
    processes.redis.data.clear()
    await asyncio.sleep(2.0)
    processes.redis.is_down = False


async def hang(processes: Processes) -> None:
    """Redis is stopped for five seconds, and then executes what it was sent, whose senders have given up."""
    processes.redis.running.clear()
    await asyncio.sleep(5.0)
    processes.redis.running.set()


async def end(processes: Processes) -> None:
    """Redis ends for good."""
    processes.redis.is_down = True


def step(seconds: float) -> Fault:
    """The clock of Redis is set."""

    async def change(processes: Processes) -> None:
        processes.redis.clock_offset += seconds

    return change


async def run(fault: Fault, moment: float, *, latency: float = 0.06, share: RateLimit | None = None) -> Processes:
    processes = Processes(latency=latency)
    for _ in range(4):
        processes.send(await processes.start(share=share), 35)
    await asyncio.sleep(moment)
    await fault(processes)
    await processes.finish()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return processes


FAULTS: dict[str, tuple[Fault, RateLimit | None, float]] = {
    "data lost": (lose_data, None, 5.0),
    "data lost, with a share": (lose_data, SHARE, 2.5),
    "hung": (hang, None, 5.0 + 5.0),
    "hung, with a share": (hang, SHARE, 2.5),
    "ended for good, with a share": (end, SHARE, 2.5),
    "clock 120 s ahead": (step(120.0), None, 2.5),
    "clock 120 s back": (step(-120.0), None, 2.5),
    "clock 30 s ahead": (step(30.0), None, 2.5),
}
"""Each fault, the share of each process, and the longest silence that it may cause while slots are free."""


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("fault", "share", "silence"), FAULTS.values(), ids=list(FAULTS))
def test_a_fault_causes_no_rejection_and_a_short_silence(
    fault: Fault, share: RateLimit | None, silence: float, moment: float
) -> None:
    """All requests get through, at most 8 seconds later than without the fault, and none is rejected."""
    processes = play(run(fault, moment, share=share))
    seen = processes.server.seen
    assert (processes.server.rejected, len(seen)) == (0, 140)
    assert seen[-1] < 64.2 + 8.0
    assert max(processes.find_silences(0.0, 8.0)) < silence


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_requests_of_a_killed_process_count_until_they_must_have_been_answered(moment: float) -> None:
    """Its answers would have taken 1.5 s: what it had sent reaches the server, and no request of others is too many."""

    async def kill(processes: Processes) -> None:
        processes.processes[0].kill()

    processes = play(run(kill, moment, latency=1.5))
    assert processes.server.rejected == 0
    assert len(processes.server.seen) >= 105


def test_others_continue_a_second_after_the_lease_of_a_killed_process() -> None:
    """It holds all ten permits of the second when it is killed."""

    async def scene() -> list[float]:
        processes = Processes(latency=3.0)
        first, second = await processes.start(), await processes.start()
        processes.send(first, 10)
        await asyncio.sleep(0.5)
        processes.send(second, 10)
        await asyncio.sleep(0.5)
        first.kill()
        await processes.finish()
        assert processes.server.rejected == 0
        return list(processes.server.seen)

    seen = play(scene())
    assert len(seen) == 20
    assert seen[10] < 1.0 + 5.0 + 1.0 + 1.5  # killed, lease, window, and half of the latency


def test_a_share_leaves_out_what_others_used_beyond_theirs() -> None:
    """One process has used nearly the whole minute when Redis ends: of their shares the others use as little."""

    async def scene() -> Processes:
        processes = Processes()
        busy, *others = [await processes.start(share=SHARE) for _ in range(4)]
        processes.send(busy, 90)
        await asyncio.sleep(9.3)
        for each in others:
            processes.send(each, 10)
        await asyncio.sleep(0.1)
        await end(processes)
        await processes.finish()
        return processes

    processes = play(scene())
    assert (processes.server.rejected, len(processes.server.seen)) == (0, 120)


def test_a_call_that_started_in_the_outage_is_served_once_redis_is_back() -> None:
    """Without a share it waits; the time until Redis is tried again is a second at most."""

    async def scene() -> float:
        processes = Processes()
        process = await processes.start()
        processes.redis.is_down = True
        processes.send(process, 1)
        await asyncio.sleep(20.0)
        processes.redis.is_down = False
        await processes.finish()
        return processes.server.seen[0] - 20.0

    assert 0.0 <= play(scene()) <= 1.5


async def noop(_: Any) -> None:
    """No fault."""


def test_four_processes_take_what_one_would() -> None:
    """Without a fault 140 requests take no longer than the limit demands, but for the answers' own time."""
    processes = play(run(noop, 0.0))
    assert (processes.server.rejected, len(processes.server.seen)) == (0, 140)
    assert processes.server.seen[-1] < 60.0 + 3.0 + 1.2
