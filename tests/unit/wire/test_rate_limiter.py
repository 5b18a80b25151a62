"""The request budget: windows, priorities, the gate, and what a wait may cost."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amili_async._wire.rate_limiter import SlidingWindowLimiter
from amili_async.errors import BudgetExhausted, ConfigurationError
from amili_async.events import Announcer, Event
from amili_async.policies import Priority, Quota, RateLimit
from tests.support.clocks import JumpingLoop, MovedClock, settle


class StrictServer:
    """Refuses the 101st request in any 60 s and the 11th in any second, by the time at which they reach it."""

    def __init__(self, windows: tuple[tuple[int, float], ...] = ((10, 1.0), (100, 60.0))) -> None:
        self.windows = windows
        self.seen: deque[float] = deque()
        self.refused = 0

    def receive(self, now: float) -> bool:
        if any(sum(at > now - period for at in self.seen) >= limit for limit, period in self.windows):
            self.refused += 1
            return False
        self.seen.append(now)
        return True


@pytest.mark.parametrize("seed", range(5))
def test_a_strict_server_never_refuses_a_request_whatever_the_latencies(seed: int) -> None:
    """Ten workers never put one too many into a window of the server's, and waste next to no time."""
    dice = random.Random(seed)
    server = StrictServer()

    async def work(budget: SlidingWindowLimiter, requests: int) -> None:
        for _ in range(requests):
            await budget.acquire(Priority.BULK)
            await asyncio.sleep(dice.expovariate(20))
            server.receive(asyncio.get_running_loop().time())
            await asyncio.sleep(dice.expovariate(20))
            budget.on_response()

    async def extract() -> float:
        budget = SlidingWindowLimiter(RateLimit())
        await asyncio.gather(*(work(budget, 50) for _ in range(10)))
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        seconds = runner.run(extract())
    assert (server.refused, len(server.seen)) == (0, 500)
    assert seconds < (4 * 60 + 9) * 1.05


@settings(max_examples=60, deadline=None)
@given(
    calls=st.lists(
        st.tuples(st.floats(0, 30), st.floats(0.001, 3), st.floats(0, 1), st.booleans()), min_size=1, max_size=60
    )
)
def test_no_schedule_of_calls_and_cancellations_exceeds_a_window(
    calls: list[tuple[float, float, float, bool]],
) -> None:
    """However calls come, last and are cancelled, no window is exceeded, and whoever stays gets through."""
    server = StrictServer(((3, 1.0), (12, 20.0)))
    through = 0

    async def call(budget: SlidingWindowLimiter, begin: float, lasts: float, share: float, leaves: bool) -> None:
        nonlocal through
        await asyncio.sleep(begin)
        try:
            async with asyncio.timeout(2.0 if leaves else None):
                await budget.acquire(Priority.BULK)
        except TimeoutError:
            return
        await asyncio.sleep(lasts * share)
        server.receive(asyncio.get_running_loop().time())
        await asyncio.sleep(lasts * (1 - share))
        budget.on_response()
        through += 1

    async def run() -> None:
        budget = SlidingWindowLimiter(RateLimit(per_second=3))
        budget._windows[1].limit, budget._windows[1].period = 12, 20.005
        await asyncio.gather(*(call(budget, *each) for each in calls))
        assert budget._in_flight == 0

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(run())
    assert server.refused == 0
    assert through >= sum(not leaves for *_, leaves in calls)


async def test_the_slot_is_freed_its_window_after_the_answer() -> None:
    """A slot whose answer came at second 5 is free at second 6, not at second 1."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(per_second=1), clock=clock)
    await budget.acquire(Priority.SINGLE)
    waiter = asyncio.create_task(budget.acquire(Priority.SINGLE))
    await clock.move(5)
    budget.on_response()
    await clock.move(0.9)
    assert not waiter.done()
    await clock.move(0.2)
    assert waiter.done()


async def test_single_calls_overtake_bulk_pages_and_tokens_overtake_both() -> None:
    """Whoever waits in an earlier priority goes first; within a priority the first to come."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(per_second=1), clock=clock)
    await budget.acquire(Priority.BULK)
    budget.on_response()
    served: list[str] = []

    async def wait(priority: Priority, name: str) -> None:
        await budget.acquire(priority)
        served.append(name)
        budget.on_response()

    tasks = [
        asyncio.create_task(wait(priority, name))
        for priority, name in [
            (Priority.BULK, "page 1"),
            (Priority.BULK, "page 2"),
            (Priority.SINGLE, "get"),
            (Priority.TOKEN, "token"),
        ]
    ]
    await clock.move(10)
    await asyncio.gather(*tasks)
    assert served == ["token", "get", "page 1", "page 2"]


async def test_a_cancelled_waiter_takes_nothing() -> None:
    """A waiter that is cancelled, even after its turn came, leaves the turn to the next."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(per_second=1), clock=clock)
    await budget.acquire(Priority.SINGLE)
    budget.on_response()
    waiting = asyncio.create_task(budget.acquire(Priority.SINGLE))
    granted = asyncio.create_task(budget.acquire(Priority.SINGLE))
    follower = asyncio.create_task(budget.acquire(Priority.SINGLE))
    await settle()
    waiting.cancel()
    await settle()
    clock._now += 2
    budget._wake()  # gives the turn; before the task can run, it is cancelled
    granted.cancel()
    await settle()
    assert granted.cancelled()
    assert follower.done()
    assert budget._in_flight == 1


async def test_a_turn_that_was_not_used_is_free_again_at_once() -> None:
    """A request that was never sent does not count."""
    budget = SlidingWindowLimiter(RateLimit(per_second=1), clock=MovedClock())
    await budget.acquire(Priority.SINGLE)
    budget.release_unused()
    await asyncio.wait_for(budget.acquire(Priority.SINGLE), 0.05)


@pytest.mark.parametrize(("said", "silent"), [(7.0, 7.0), (None, 60.0)])
async def test_a_429_closes_the_gate_for_everybody(said: float | None, silent: float) -> None:
    """After a 429 nobody goes until Retry-After, or for a whole minute where the server gave none."""
    clock, events = MovedClock(), list[Event]()
    budget = SlidingWindowLimiter(RateLimit(), clock=clock, announce=Announcer([events.append]))
    await budget.acquire(Priority.SINGLE)
    budget.on_response()
    assert budget.on_rate_limited(said) == silent
    waiters = [asyncio.create_task(budget.acquire(priority)) for priority in (Priority.SINGLE, Priority.BULK)]
    await clock.move(silent - 0.1)
    assert not any(waiter.done() for waiter in waiters)
    await clock.move(1)
    assert all(waiter.done() for waiter in waiters)
    assert [type(event).__name__ for event in events] == ["RateLimiterPaused"]


async def test_after_a_429_the_pace_is_even() -> None:
    """Once refused, requests go out evenly, a little under 100 a minute, instead of in bursts."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(), clock=clock)
    await budget.acquire(Priority.SINGLE)
    budget.on_response()
    budget.on_rate_limited(1.0)
    times: list[float] = []

    async def go() -> None:
        await budget.acquire(Priority.BULK)
        times.append(clock.now())
        budget.on_response()

    tasks = [asyncio.create_task(go()) for _ in range(5)]
    await clock.move(10)
    await asyncio.gather(*tasks)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == pytest.approx([60 / 99] * 4)


async def test_after_a_429_a_rest_is_made_up_for() -> None:
    """Who sent nothing for a while may send as much at once as a bucket would have gathered, and then evenly again."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(), clock=clock)
    budget.on_rate_limited(1.0)
    await clock.move(61)
    waiters = [asyncio.create_task(budget.acquire(Priority.BULK)) for _ in range(20)]
    await settle()
    assert sum(waiter.done() for waiter in waiters) == 10
    for _ in range(10):
        budget.on_response()
    await clock.move(2.0)
    assert sum(waiter.done() for waiter in waiters) == 13
    budget.close()
    await asyncio.gather(*waiters, return_exceptions=True)


async def test_a_used_up_quota_means_silence_until_the_reset() -> None:
    """Where the server's count shows that others used the key, all is silent from zero until the reset."""
    clock, events = MovedClock(), list[Event]()
    budget = SlidingWindowLimiter(RateLimit(), clock=clock, announce=Announcer([events.append]))
    await budget.acquire(Priority.SINGLE)
    budget.on_response(Quota(limit=100, remaining=1, reset_in=30.0))
    await budget.acquire(Priority.SINGLE)
    waiter = asyncio.create_task(budget.acquire(Priority.SINGLE))
    budget.on_response(Quota(limit=100, remaining=0, reset_in=30.0))
    await clock.move(30.1)
    assert not waiter.done()
    await clock.move(0.3)
    assert waiter.done()
    assert [type(event).__name__ for event in events] == ["RateLimiterPaused"]


async def test_answers_out_of_order_do_not_invent_other_users() -> None:
    """Ten answers of one burst in reverse order still leave ninety of a hundred."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(per_second=1000), clock=clock)
    for _ in range(10):
        await budget.acquire(Priority.BULK)
    for remaining in (90, 91, 92, 93, 94, 95, 96, 97, 98, 99):
        budget.on_response(Quota(limit=100, remaining=remaining, reset_in=30.0))
    for _ in range(90):
        await asyncio.wait_for(budget.acquire(Priority.BULK), 0.05)


async def spend_the_minute(
    budget: SlidingWindowLimiter, clock: MovedClock, quota: Callable[[int], Quota | None]
) -> None:
    """A hundred requests in ten seconds, each answered at once with what the server says after so many."""
    for number in range(1, 101):
        await budget.acquire(Priority.BULK)
        budget.on_response(quota(number))
        if number % 10 == 0:
            await clock.move(1.01)


@pytest.mark.parametrize(("is_told", "gone"), [(True, 10), (False, 0)])
async def test_a_count_that_begins_anew_lets_the_next_hundred_go(is_told: bool, gone: int) -> None:
    """At the server's reset one request asks; if all is new, the others follow, though our own minute is not over."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(), clock=clock)
    await spend_the_minute(
        budget, clock, lambda sent: Quota(limit=100, remaining=100 - sent, reset_in=20.0) if is_told else None
    )
    waiters = [asyncio.create_task(budget.acquire(Priority.BULK)) for _ in range(20)]
    await clock.move(20.5)
    assert sum(waiter.done() for waiter in waiters) == is_told
    if is_told:
        budget.on_response(Quota(limit=100, remaining=99, reset_in=60.0))
    await clock.move(0.1)
    assert sum(waiter.done() for waiter in waiters) == gone
    budget.close()
    await asyncio.gather(*waiters, return_exceptions=True)


async def test_after_a_429_the_server_is_not_asked_whether_it_has_begun_anew() -> None:
    """It counts something that it does not tell, so only our own minute counts."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(), clock=clock)
    await spend_the_minute(budget, clock, lambda sent: Quota(limit=100, remaining=100 - sent, reset_in=20.0))
    budget.on_rate_limited(1.0)
    waiter = asyncio.create_task(budget.acquire(Priority.BULK))
    await clock.move(40)
    assert not waiter.done()
    await clock.move(20)
    await waiter


async def begin_second_burst(budget: SlidingWindowLimiter, clock: MovedClock) -> list[asyncio.Task[None]]:
    """Twenty calls at once, of which the first ten are answered."""
    waiters = [asyncio.create_task(budget.acquire(Priority.BULK)) for _ in range(20)]
    await settle()
    for _ in range(10):
        budget.on_response()
    await clock.move(1.01)
    return waiters


async def test_few_are_in_flight_while_the_next_could_be_refused() -> None:
    """A server with a bucket of ten would refuse a second burst: three go, and the others wait for their answers."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(), clock=clock)
    waiters = await begin_second_burst(budget, clock)
    assert sum(waiter.done() for waiter in waiters) == 13
    for _ in range(3):  # with these the server has let through more than such a bucket could
        budget.on_response()
    await settle()
    assert all(waiter.done() for waiter in waiters)


async def test_who_is_answered_slowly_is_not_held_up_for_long() -> None:
    """Where no answer comes, another one goes each quarter of a second."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(), clock=clock)
    waiters = await begin_second_burst(budget, clock)
    await clock.move(0.55)
    assert sum(waiter.done() for waiter in waiters) == 15
    budget.close()
    await asyncio.gather(*waiters, return_exceptions=True)


async def test_nobody_slips_out_between_an_answer_and_the_pause_that_it_brings() -> None:
    """The turn after a 429 is given only once its pause was heard of."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(), clock=clock)
    waiters = await begin_second_burst(budget, clock)
    budget.on_response()
    budget.on_rate_limited(5.0)
    await clock.move(4.9)
    assert sum(waiter.done() for waiter in waiters) == 13
    budget.close()
    await asyncio.gather(*waiters, return_exceptions=True)


async def test_a_call_that_would_wait_too_long_fails_at_once() -> None:
    """With max_wait, a call whose turn is farther away than that fails without waiting, and says how far."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(per_second=2, max_wait=0.5), clock=clock)
    for _ in range(2):
        await budget.acquire(Priority.SINGLE)
        budget.on_response()
    with pytest.raises(BudgetExhausted) as caught:
        await budget.acquire(Priority.SINGLE)
    assert caught.value.retry_after == pytest.approx(1.0, abs=0.01)
    assert not caught.value.transient


async def test_a_call_whose_wait_could_not_be_foreseen_fails_at_max_wait() -> None:
    """Where all slots are in flight, the wait ends with an error after max_wait."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(per_second=1, max_wait=2.0), clock=clock)
    await budget.acquire(Priority.SINGLE)
    waiter = asyncio.create_task(budget.acquire(Priority.SINGLE))
    await clock.move(2.5)
    with pytest.raises(BudgetExhausted):
        await waiter
    budget.on_response()


async def test_a_pause_beyond_max_pause_fails_calls_instead_of_hanging_them() -> None:
    """A server that asks for an hour fails those who wait and those who come."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(per_second=1, max_pause=100), clock=clock)
    await budget.acquire(Priority.SINGLE)
    waiter = asyncio.create_task(budget.acquire(Priority.SINGLE))
    await settle()
    budget.on_response()
    budget.on_rate_limited(3600)
    for call in (waiter, budget.acquire(Priority.BULK)):
        with pytest.raises(BudgetExhausted):
            await call


async def test_a_quota_silence_beyond_max_pause_fails_those_who_wait() -> None:
    """Whoever waits already is not left hanging for an hour."""
    budget = SlidingWindowLimiter(RateLimit(per_second=1, max_pause=100), clock=MovedClock())
    await budget.acquire(Priority.SINGLE)
    waiter = asyncio.create_task(budget.acquire(Priority.SINGLE))
    await settle()
    budget.on_response(Quota(limit=100, remaining=0, reset_in=3600.0))
    with pytest.raises(BudgetExhausted):
        await waiter


async def test_an_absurd_pause_does_not_last_for_ever() -> None:
    """The error tells what the server asked for; after an hour at most, one call may look again."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(), clock=clock)
    await budget.acquire(Priority.SINGLE)
    budget.on_response()
    assert budget.on_rate_limited(999_999_999.0) == 999_999_999.0
    with pytest.raises(BudgetExhausted):
        await budget.acquire(Priority.SINGLE)
    clock._now += 3601
    await asyncio.wait_for(budget.acquire(Priority.SINGLE), 0.05)


async def test_a_pause_of_nothing_is_still_a_second() -> None:
    """`Retry-After: 0` does not make all workers knock again at once."""
    assert SlidingWindowLimiter(RateLimit(), clock=MovedClock()).on_rate_limited(0.0) == 1.0


async def test_closing_fails_whoever_waits() -> None:
    """A waiter does not outlive the client."""
    budget = SlidingWindowLimiter(RateLimit(per_second=1), clock=MovedClock())
    await budget.acquire(Priority.SINGLE)
    waiter = asyncio.create_task(budget.acquire(Priority.SINGLE))
    await settle()
    budget.close()
    with pytest.raises(ConfigurationError):
        await waiter


async def test_closing_forgets_the_timer() -> None:
    """Nothing wakes up after the client is gone."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(per_second=1), clock=clock)
    await budget.acquire(Priority.SINGLE)
    budget.on_response()
    waiter = asyncio.create_task(budget.acquire(Priority.SINGLE))
    await settle()
    budget.close()
    assert [timer for *_, timer in clock._timers if timer.callback is not None] == []
    with pytest.raises(ConfigurationError):
        await waiter


@pytest.mark.parametrize("limit", [{"per_minute": 0}, {"per_second": 0}, {"max_wait": -1.0}, {"max_pause": -1.0}])
def test_a_rate_limit_that_cannot_work_is_refused(limit: dict[str, float]) -> None:
    """Zero requests and negative times are refused."""
    with pytest.raises(ConfigurationError):
        RateLimit(**limit)  # type: ignore[arg-type]
