"""What each rate limiter must do, the one in the process and those that processes share, in virtual time.

Invariant: these tests use the protocol `RateLimiter` and a `LimiterWorld`, and nothing else of a limiter.
"""

import asyncio
import random
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_async import Event, Priority, Quota, RateLimit, RateLimiter
from amili_async.errors import BudgetExhausted
from amili_async.events import RateLimiterPaused
from tests.support.clocks import JumpingLoop
from tests.support.exhaustive import examples
from tests.support.limiter_worlds import MAX_FLIGHT, WORLDS, LimiterWorld

Make: TypeAlias = Callable[[], LimiterWorld]
EACH_WORLD = pytest.mark.parametrize("make", WORLDS.values(), ids=list(WORLDS))
SMALL = RateLimit(per_second=3, per_minute=12)
PROCESSES = 3


def play(make: Make, scene: Callable[[LimiterWorld], Awaitable[None]]) -> None:
    """Run a scene in virtual time; no task is left after it."""

    async def run() -> None:
        world = make()
        try:
            await scene(world)
        finally:
            await world.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(run())


def now() -> float:
    """The time of the loop, which is that of the server."""
    return asyncio.get_running_loop().time()


async def start_all(world: LimiterWorld, limit: RateLimit | None = None) -> list[RateLimiter]:
    """The limiters of some processes."""
    return [await world.start(limit or RateLimit()) for _ in range(PROCESSES)]


async def send(limiter: RateLimiter, priority: Priority = Priority.BULK, seconds: float = 0.0) -> None:
    """One call whose response arrives after so many seconds."""
    await limiter.acquire(priority)
    await asyncio.sleep(seconds)
    limiter.on_response()


async def spend(limiter: RateLimiter, requests: int) -> None:
    """So many calls at once."""
    await asyncio.gather(*(send(limiter) for _ in range(requests)))


class Schedule:
    """Calls of several processes, whose requests reach one strict server."""

    def __init__(self, world: LimiterWorld, limiters: list[RateLimiter]) -> None:
        self.world = world
        self.limiters = limiters
        self.arrivals: list[float] = []
        """When each request reached the server."""
        self.calls: list[list[asyncio.Task[None]]] = [[] for _ in limiters]

    async def call(
        self, process: int, begin: float, priority: Priority, patience: float | None, flight: float, ending: str
    ) -> None:
        """Wait for a permit, and send, unless the patience ends before; it arrives even if the process dies."""
        limiter = self.limiters[process]
        await asyncio.sleep(begin)
        try:
            async with asyncio.timeout(patience):
                await limiter.acquire(priority)
        except TimeoutError:
            return
        if ending == "unused":
            limiter.release_unused()
            return
        self.arrivals.append(now() + flight)
        if ending == "no response":
            limiter.on_no_response(flight)
        else:
            await asyncio.sleep(flight)
            limiter.on_response()

    async def kill(self, process: int) -> None:
        """End a process and all its calls."""
        if self.world.can_die:
            await self.world.kill(self.limiters[process])
            for call in self.calls[process]:
                call.cancel()

    async def run(self, calls: list[Any], disturbances: list[tuple[float, str, float]]) -> None:
        """Start all calls, and disturb them; those that nothing ended get through."""
        for call in calls:
            self.calls[call[0]].append(asyncio.create_task(self.call(*call)))
        for pause, kind, value in disturbances:
            await asyncio.sleep(pause)
            if kind == "kill":
                await self.kill(int(value) % len(self.limiters))
            else:
                self.world.step_clock(value)
        outcomes = await asyncio.gather(*(call for group in self.calls for call in group), return_exceptions=True)
        assert all(outcome is None or isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        assert self.find_largest(1.0) <= SMALL.per_second
        assert self.find_largest(60.0) <= SMALL.per_minute

    def find_largest(self, period: float) -> int:
        """The largest number of requests that reached the server in any such period."""
        times = sorted(self.arrivals)
        return max((bisect_left(times, at + period) - place for place, at in enumerate(times)), default=0)


calls = st.lists(
    st.tuples(
        st.integers(0, PROCESSES - 1),
        st.sampled_from([0.0, 0.0, 0.3, 1.0, 1.5, 20.0, 60.0]),
        st.sampled_from(Priority),
        st.sampled_from([None, None, None, 0.1, 1.005, 5.0]),
        st.sampled_from([0.001, 0.2, 1.0, MAX_FLIGHT]),
        st.sampled_from(["response", "response", "no response", "no response", "unused"]),
    ),
    min_size=10,
    max_size=40,
)
disturbances = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.sampled_from(["kill", "step"]),
        st.sampled_from([0.0, 1.0, 2.0, 61.0, 120.0, -61.0, -120.0]),
    ),
    max_size=3,
)


@EACH_WORLD
@examples(600)
@given(calls=calls, disturbances=disturbances)
def test_no_schedule_exceeds_a_window(make: Make, calls: list[Any], disturbances: list[Any]) -> None:
    """Whenever calls start, end, are cancelled, and processes die and clocks jump; every call that stays is served."""

    async def scene(world: LimiterWorld) -> None:
        await Schedule(world, await start_all(world, SMALL)).run(calls, disturbances)

    play(make, scene)


@EACH_WORLD
@pytest.mark.parametrize("seed", range(3))
def test_within_a_priority_calls_are_served_in_their_order(make: Make, seed: int) -> None:
    """First come, first served in each process, although others are cancelled."""
    dice = random.Random(seed)
    served: list[tuple[int, Priority, int]] = []

    async def call(process: int, limiter: RateLimiter, number: int) -> None:
        priority, patience = dice.choice(list(Priority)), dice.choice([None, None, dice.uniform(0, 9)])
        async with asyncio.timeout(patience):
            await limiter.acquire(priority)
        served.append((process, priority, number))
        await asyncio.sleep(dice.uniform(0, 0.5))
        limiter.on_response()

    async def scene(world: LimiterWorld) -> None:
        limiters = await start_all(world, RateLimit(per_second=4))
        tasks = [call(number % 2, limiters[number % 2], number) for number in range(80)]
        await asyncio.gather(*tasks, return_exceptions=True)

    play(make, scene)
    for process in range(2):
        for priority in Priority:
            numbers = [number for *place, number in served if place == [process, priority]]
            assert numbers == sorted(numbers)
            assert numbers


async def keep_sending(limiter: RateLimiter, priority: Priority, counts: list[int], place: int) -> None:
    """Calls one after the other, without end."""
    while True:
        await send(limiter, priority, 0.05)
        counts[place] += 1


async def count_for(seconds: float, sending: list[tuple[RateLimiter, Priority, int]], width: int = 12) -> list[int]:
    """How many requests each of these got through, with so many workers each, in so many seconds."""
    counts = [0] * len(sending)
    tasks = [
        asyncio.create_task(keep_sending(limiter, priority, counts, place))
        for limiter, priority, place in sending
        for _ in range(width)
    ]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return counts


@EACH_WORLD
@pytest.mark.parametrize("reserve", [0, 10])
def test_streams_get_one_permit_in_ten_beside_single_calls_at_the_full_rate(make: Make, reserve: int) -> None:
    """A priority that waits is never starved, and gets no more than its tenth."""

    async def scene(world: LimiterWorld) -> None:
        single, bulk, _ = await start_all(world, RateLimit(reserve=reserve))
        calls, pages = await count_for(179.0, [(single, Priority.SINGLE, 0), (bulk, Priority.BULK, 1)])
        assert calls + pages >= 290
        # The first second's permits may be granted before the calls of the other process are known.
        assert 0.09 * calls <= pages <= 0.13 * calls + (10 if world.lag else 0)

    play(make, scene)


@EACH_WORLD
def test_processes_that_send_all_they_can_get_equal_shares(make: Make) -> None:
    """No process starves beside another."""

    async def scene(world: LimiterWorld) -> None:
        limiters = await start_all(world)
        shares = await count_for(179.0, [(each, Priority.BULK, place) for place, each in enumerate(limiters)])
        assert sum(shares) >= 290
        assert min(shares) >= 0.8 * max(shares)

    play(make, scene)


@EACH_WORLD
def test_a_thousand_random_cancellations_leak_no_permit(make: Make) -> None:
    """After them nothing waits or is in flight, and a minute later a hundred requests leave in ten seconds."""
    dice = random.Random(1)
    waiting: list[asyncio.Task[Any]] = []

    async def call(limiter: RateLimiter) -> None:
        await asyncio.sleep(dice.uniform(0, 60))
        task: Any = asyncio.current_task()
        waiting.append(task)
        try:
            async with asyncio.timeout(dice.choice([0, 0.001, 0.3, dice.uniform(0, 5)])):
                await limiter.acquire(Priority.SINGLE)
        finally:
            waiting.remove(task)
        dice.choice([limiter.release_unused, limiter.on_response])()
        if waiting and dice.random() < 0.5:  # its permit may be this one
            waiting[0].cancel()

    async def scene(world: LimiterWorld) -> None:
        limiters = await start_all(world)
        await asyncio.gather(*(call(dice.choice(limiters)) for _ in range(1_000)), return_exceptions=True)
        assert {(limiter.waiting or 0, limiter.in_flight or 0) for limiter in limiters} == {(0, 0)}
        await asyncio.sleep(61)
        began = now()
        await spend(limiters[0], 100)
        assert now() - began <= 9.2 + 10 * world.lag

    play(make, scene)


@EACH_WORLD
def test_a_call_fails_as_soon_as_its_wait_is_known_to_be_too_long(make: Make) -> None:
    """At the end of *max_wait* at the latest; the permit that it did not get is the next one's."""

    async def scene(world: LimiterWorld) -> None:
        limiter = await world.start(RateLimit(per_second=2))
        await spend(limiter, 2)
        for max_wait in (0.0, 0.5):
            began = now()
            with pytest.raises(BudgetExhausted) as caught:
                await limiter.acquire(Priority.SINGLE, max_wait=max_wait)
            assert now() - began <= max_wait + world.lag
            assert caught.value.retry_after is not None
        await limiter.acquire(Priority.SINGLE, max_wait=2.0)
        await limiter.acquire(Priority.SINGLE, max_wait=2.0)
        began = now()
        with pytest.raises(BudgetExhausted):  # both are in flight: a response decides how long it takes, if it is soon
            await limiter.acquire(Priority.SINGLE, max_wait=2.0)
        assert 1.0 <= now() - began <= 2.01 + world.lag
        limiter.on_response()
        limiter.on_response()

    play(make, scene)


@EACH_WORLD
def test_a_429_pauses_all_processes(make: Make) -> None:
    """For as long as it demands, and the observers of its process hear of it until they are removed."""
    events: list[Event] = []

    async def scene(world: LimiterWorld) -> None:
        limiters = await start_all(world)
        limiters[0].add_observer(events.append)
        await spend(limiters[0], 1)
        assert limiters[0].on_rate_limited(7.0) == 7.0
        began = now()
        await asyncio.sleep(world.lag)
        await asyncio.gather(*(send(each, Priority.SINGLE) for each in limiters))
        assert 7.0 <= now() - began <= 10.0 + world.lag
        limiters[0].remove_observer(events.append)
        limiters[0].on_rate_limited(1.0)

    play(make, scene)
    assert [event.reason for event in events if isinstance(event, RateLimiterPaused)] == ["429"]


@EACH_WORLD
@pytest.mark.parametrize(("limit", "seconds"), [(100, 20.0), (10, 0.0)])
def test_a_used_up_quota_pauses_all_processes_if_it_is_the_minutes(make: Make, limit: int, seconds: float) -> None:
    """Headers about the second's window change nothing: this limiter counts that itself."""

    async def scene(world: LimiterWorld) -> None:
        first, second, _ = await start_all(world)
        await first.acquire(Priority.SINGLE)
        first.on_response(Quota(limit=limit, remaining=0, reset_in=20.0))
        began = now()
        await asyncio.sleep(world.lag)
        await asyncio.gather(send(first), send(second, Priority.SINGLE))
        assert seconds <= now() - began <= seconds + 1.0 + world.lag

    play(make, scene)


@EACH_WORLD
def test_the_reserve_is_kept_from_streams_for_single_calls(make: Make) -> None:
    """While a stream of another process takes all that it may, ten calls are answered at once."""

    async def scene(world: LimiterWorld) -> None:
        bulk, single, _ = await start_all(world, RateLimit(reserve=10))
        pages = [asyncio.create_task(send(bulk)) for _ in range(300)]
        for second in range(9):
            await asyncio.sleep(0.9 + second / 100)
            began = now()
            await send(single, Priority.SINGLE)
            assert now() - began <= 0.01 + world.lag
        await asyncio.sleep(10)
        assert sum(page.done() for page in pages) in range(80, 92)
        for page in pages:
            page.cancel()
        await asyncio.gather(*pages, return_exceptions=True)

    play(make, scene)


@EACH_WORLD
def test_the_forecast_is_when_the_last_request_leaves(make: Make) -> None:
    """A limiter that cannot know it forecasts nothing; none forecasts too much."""

    async def scene(world: LimiterWorld) -> None:
        limiter = await world.start(RateLimit())
        await spend(limiter, 95)
        for requests in (1, 7, 50):
            expected, began = limiter.forecast(requests), now()
            await spend(limiter, requests)
            assert expected is None or now() - began == pytest.approx(expected, abs=0.1 + world.lag)

    play(make, scene)


@EACH_WORLD
def test_a_limiter_shows_its_state(make: Make) -> None:
    """Its limit; what waits, is in flight and remains, as far as it knows them."""

    async def scene(world: LimiterWorld) -> None:
        limiter = await world.start(SMALL)
        assert limiter.limit == SMALL
        assert limiter.resets_at is None
        await limiter.acquire(Priority.SINGLE)
        assert (limiter.in_flight, limiter.remaining) in {(1, 11), (None, 11), (1, None), (None, None)}
        await spend(limiter, 11)
        await asyncio.sleep(world.lag)
        assert limiter.remaining in {0, None}
        waiter = asyncio.create_task(limiter.acquire(Priority.SINGLE))
        await asyncio.sleep(world.lag)
        assert limiter.waiting in {1, None}
        limiter.on_response()
        await waiter
        limiter.release_unused()

    play(make, scene)
