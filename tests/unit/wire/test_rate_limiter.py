"""The rate limiter: windows, priorities, pauses, and how long a call may wait."""

import asyncio
import random
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import inf

import pytest

from amili_async._wire.rate_limiter import LONG_WAIT, SlidingWindowLimiter
from amili_async.errors import BudgetExhausted
from amili_async.events import Event, PermitDelayed
from amili_async.policies import Priority, Quota, RateLimit
from tests.support import internals
from tests.support.clocks import JumpingLoop, MovedClock, settle
from tests.support.strict_server import StrictServer


async def cancel(*tasks: asyncio.Task[None]) -> None:
    """Cancel the calls that still wait."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("seed", range(5))
def test_a_strict_server_rejects_no_request_whatever_the_latencies(seed: int) -> None:
    """Ten workers never exceed a window of the server, and take at most 5 % longer than the limit demands."""
    dice = random.Random(seed)
    server = StrictServer()

    async def work(limiter: SlidingWindowLimiter, requests: int) -> None:
        for _ in range(requests):
            await limiter.acquire(Priority.BULK)
            await asyncio.sleep(dice.expovariate(20))
            server.receive(asyncio.get_running_loop().time())
            await asyncio.sleep(dice.expovariate(20))
            limiter.on_response()

    async def extract() -> float:
        limiter = SlidingWindowLimiter(RateLimit())
        await asyncio.gather(*(work(limiter, 50) for _ in range(10)))
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        seconds = runner.run(extract())
    assert (server.rejected, len(server.seen)) == (0, 500)
    assert seconds < (4 * 60 + 9) * 1.05


async def test_a_slot_is_free_one_window_after_the_response() -> None:
    """A slot whose response arrived at second 5 is free at second 6, not at second 1."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(per_second=1), clock=clock)
    await limiter.acquire(Priority.SINGLE)
    waiter = asyncio.create_task(limiter.acquire(Priority.SINGLE))
    await clock.move(5)
    limiter.on_response()
    await clock.move(0.9)
    assert not waiter.done()
    await clock.move(0.2)
    assert waiter.done()


async def test_a_cancelled_request_occupies_its_slot_until_it_cannot_arrive_any_more() -> None:
    """Five seconds are left to its timeout: its slot is free a window after those, whatever is answered before."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(per_second=2), clock=clock)
    for _ in range(2):
        await limiter.acquire(Priority.SINGLE)
    limiter.on_no_response(5.0)
    limiter.on_response()
    assert limiter.in_flight == 0
    waiters = [asyncio.create_task(limiter.acquire(Priority.SINGLE)) for _ in range(3)]
    await clock.move(1.1)
    assert [waiter.done() for waiter in waiters] == [True, False, False]
    limiter.on_response()
    await clock.move(1.1)
    assert [waiter.done() for waiter in waiters] == [True, True, False]
    await clock.move(3.7)
    assert not waiters[2].done()
    await clock.move(0.2)
    assert waiters[2].done()


async def test_single_calls_overtake_bulk_pages_and_tokens_overtake_both() -> None:
    """The higher priority is served first; within a priority the earlier call."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(per_second=1), clock=clock)
    await limiter.acquire(Priority.BULK)
    limiter.on_response()
    served: list[str] = []

    async def wait(priority: Priority, name: str) -> None:
        await limiter.acquire(priority)
        served.append(name)
        limiter.on_response()

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


async def test_a_cancelled_waiter_leaves_its_permit_to_the_next() -> None:
    """Also one that is cancelled after its permit was granted, and before its task could run."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(per_second=1), clock=clock)
    await limiter.acquire(Priority.SINGLE)
    limiter.on_response()
    waiting = asyncio.create_task(limiter.acquire(Priority.SINGLE))
    granted = asyncio.create_task(limiter.acquire(Priority.SINGLE))
    follower = asyncio.create_task(limiter.acquire(Priority.SINGLE))
    await settle()
    waiting.cancel()
    await settle()
    clock.skip(2)
    internals.wake(limiter)  # grants the permit; the task is cancelled before it can run
    granted.cancel()
    await settle()
    assert granted.cancelled()
    assert follower.done()
    assert limiter.in_flight == 1


async def test_an_unused_permit_is_free_again_at_once() -> None:
    """A request that was never sent does not count."""
    limiter = SlidingWindowLimiter(RateLimit(per_second=1), clock=MovedClock())
    await limiter.acquire(Priority.SINGLE)
    limiter.release_unused()
    await asyncio.wait_for(limiter.acquire(Priority.SINGLE), 0.05)


@pytest.mark.parametrize(("retry_after", "pause"), [(7.0, 7.0), (None, 60.0)])
async def test_a_429_pauses_all_calls(retry_after: float | None, pause: float) -> None:
    """After a 429 nothing is sent for `Retry-After` seconds, or for a minute without that header."""
    clock, events = MovedClock(), list[Event]()
    limiter = SlidingWindowLimiter(RateLimit(), clock=clock)
    limiter.add_observer(events.append)
    await limiter.acquire(Priority.SINGLE)
    limiter.on_response()
    assert limiter.on_rate_limited(retry_after) == pause
    waiters = [asyncio.create_task(limiter.acquire(priority)) for priority in (Priority.SINGLE, Priority.BULK)]
    await clock.move(pause - 0.1)
    assert not any(waiter.done() for waiter in waiters)
    await clock.move(1)
    assert all(waiter.done() for waiter in waiters)
    delays = ["PermitDelayed"] * (2 if pause > LONG_WAIT else 0)
    assert [type(event).__name__ for event in events] == ["RateLimiterPaused", *delays]


async def test_after_a_429_requests_are_spread_evenly() -> None:
    """After a rejection requests are sent evenly, at 99 a minute, instead of in bursts."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(), clock=clock)
    await limiter.acquire(Priority.SINGLE)
    limiter.on_response()
    limiter.on_rate_limited(1.0)
    times: list[float] = []

    async def send() -> None:
        await limiter.acquire(Priority.BULK)
        times.append(clock.now())
        limiter.on_response()

    tasks = [asyncio.create_task(send()) for _ in range(5)]
    await clock.move(10)
    await asyncio.gather(*tasks)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == pytest.approx([60 / 99] * 4)


async def test_after_a_429_an_idle_client_may_send_one_burst() -> None:
    """After an idle time one second's worth of requests is sent at once, and the others evenly again."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(), clock=clock)
    limiter.on_rate_limited(1.0)
    await clock.move(61)
    waiters = [asyncio.create_task(limiter.acquire(Priority.BULK)) for _ in range(20)]
    await settle()
    assert sum(waiter.done() for waiter in waiters) == 10
    for _ in range(10):
        limiter.on_response()
    await clock.move(2.0)
    assert sum(waiter.done() for waiter in waiters) == 13
    await cancel(*waiters)


async def test_a_used_up_quota_pauses_until_the_reset() -> None:
    """If the server reports that other users used up the key's quota, nothing is sent until its reset."""
    clock, events = MovedClock(), list[Event]()
    limiter = SlidingWindowLimiter(RateLimit(), clock=clock)
    limiter.add_observer(events.append)
    await limiter.acquire(Priority.SINGLE)
    limiter.on_response(Quota(limit=100, remaining=1, reset_in=30.0))
    await limiter.acquire(Priority.SINGLE)
    waiter = asyncio.create_task(limiter.acquire(Priority.SINGLE))
    limiter.on_response(Quota(limit=100, remaining=0, reset_in=30.0))
    await clock.move(30.1)
    assert not waiter.done()
    await clock.move(0.3)
    assert waiter.done()
    assert [type(event).__name__ for event in events] == ["RateLimiterPaused", "PermitDelayed"]


async def test_reordered_responses_do_not_invent_other_users() -> None:
    """Ten responses of one burst in reverse order still leave ninety of a hundred."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(per_second=1000), clock=clock)
    for _ in range(10):
        await limiter.acquire(Priority.BULK)
    for remaining in (90, 91, 92, 93, 94, 95, 96, 97, 98, 99):
        limiter.on_response(Quota(limit=100, remaining=remaining, reset_in=30.0))
    for _ in range(90):
        await asyncio.wait_for(limiter.acquire(Priority.BULK), 0.05)


async def spend_the_minute(
    limiter: SlidingWindowLimiter, clock: MovedClock, quota: Callable[[int], Quota | None]
) -> None:
    """A hundred requests in ten seconds, each with an immediate response that reports the quota after so many."""
    for number in range(1, 101):
        await limiter.acquire(Priority.BULK)
        limiter.on_response(quota(number))
        if number % 10 == 0:
            await clock.move(1.01)


@pytest.mark.parametrize(("is_reported", "granted"), [(True, 10), (False, 0)])
async def test_a_probe_after_the_reported_reset_frees_the_minute(is_reported: bool, granted: int) -> None:
    """After the server's reset one probe is sent; if its count is new, others follow before our minute is over."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(), clock=clock)
    await spend_the_minute(
        limiter, clock, lambda sent: Quota(limit=100, remaining=100 - sent, reset_in=20.0) if is_reported else None
    )
    waiters = [asyncio.create_task(limiter.acquire(Priority.BULK)) for _ in range(20)]
    await clock.move(20.5)
    assert sum(waiter.done() for waiter in waiters) == is_reported
    if is_reported:
        limiter.on_response(Quota(limit=100, remaining=99, reset_in=60.0))
    await clock.move(0.1)
    assert sum(waiter.done() for waiter in waiters) == granted
    await cancel(*waiters)


async def test_after_a_429_no_probe_is_sent() -> None:
    """The server counts something that it does not report, so only our own minute counts."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(), clock=clock)
    await spend_the_minute(limiter, clock, lambda sent: Quota(limit=100, remaining=100 - sent, reset_in=20.0))
    limiter.on_rate_limited(1.0)
    waiter = asyncio.create_task(limiter.acquire(Priority.BULK))
    await clock.move(40)
    assert not waiter.done()
    await clock.move(20)
    await waiter


async def test_no_permit_is_granted_between_a_429_and_its_pause() -> None:
    """The response to a probe may free slots and be a 429: its pause starts before the next permit is granted."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(), clock=clock)
    await spend_the_minute(limiter, clock, lambda sent: Quota(limit=100, remaining=100 - sent, reset_in=20.0))
    waiters = [asyncio.create_task(limiter.acquire(Priority.BULK)) for _ in range(20)]
    await clock.move(20.5)
    limiter.on_response(Quota(limit=100, remaining=99, reset_in=60.0))
    limiter.on_rate_limited(5.0)
    await clock.move(4.9)
    assert sum(waiter.done() for waiter in waiters) == 1
    await cancel(*waiters)


@pytest.mark.parametrize("priority", [Priority.SINGLE, Priority.TOKEN])
async def test_a_stream_gets_one_permit_in_ten_beside_calls_at_the_full_rate(priority: Priority) -> None:
    """However many calls of a higher priority wait, each tenth permit is that of the longest waiting page."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(per_second=2, per_minute=1000), clock=clock)
    served: list[str] = []

    async def send(priority: Priority, name: str) -> None:
        await limiter.acquire(priority)
        served.append(name)
        limiter.on_response()

    pages = [asyncio.create_task(send(Priority.BULK, f"page {number}")) for number in range(5)]
    calls = [asyncio.create_task(send(priority, "call")) for _ in range(100)]
    await clock.move(22)
    assert [place for place, name in enumerate(served) if name != "call"] == [0, 1, 11, 21, 31]
    assert [name for name in served if name != "call"] == [f"page {number}" for number in range(5)]
    await cancel(*pages, *calls)


async def test_a_stream_leaves_the_reserve_of_the_servers_quota_too() -> None:
    """Others used 80 of a hundred: with a reserve of ten a stream sends ten more, and a single call is sent at once."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(per_second=50, reserve=10), clock=clock)
    await limiter.acquire(Priority.BULK)
    limiter.on_response(Quota(limit=100, remaining=20, reset_in=60.0))
    pages = [asyncio.create_task(limiter.acquire(Priority.BULK)) for _ in range(30)]
    await clock.move(5)
    assert sum(page.done() for page in pages) == 10
    await asyncio.wait_for(limiter.acquire(Priority.SINGLE), 0.05)
    await cancel(*pages)


async def test_a_limiter_shows_what_is_left_and_when_there_is_more() -> None:
    """Of its own minute, or of the quota where that is less; in a pause nothing is left until its end."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(), clock=clock)
    assert (limiter.remaining, limiter.resets_at) == (100, None)
    await limiter.acquire(Priority.SINGLE)
    assert (limiter.remaining, limiter.resets_at) == (99, None)
    limiter.on_response()
    await clock.move(10)
    assert limiter.resets_at is not None
    assert limiter.resets_at.timestamp() - clock.wall() == pytest.approx(50, abs=0.01)
    await limiter.acquire(Priority.SINGLE)
    limiter.on_response(Quota(limit=100, remaining=7, reset_in=60.0))
    assert limiter.remaining == 7
    limiter.on_rate_limited(20.0)
    assert limiter.remaining == 0
    assert limiter.resets_at.timestamp() - clock.wall() == pytest.approx(20, abs=0.01)
    unlimited = SlidingWindowLimiter(None, clock=clock)
    assert (unlimited.limit, unlimited.remaining, unlimited.resets_at) == (None, None, None)


async def test_a_page_ahead_of_which_many_calls_wait_is_not_failed_early() -> None:
    """With max_wait, only what must be waited for counts: nine of ten calls."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(per_second=20), clock=clock)
    for pause in (0.9, 0.05):
        for _ in range(10):
            await limiter.acquire(Priority.SINGLE)
            limiter.on_response()
        await clock.move(pause)
    calls = [asyncio.create_task(limiter.acquire(Priority.SINGLE, max_wait=0.5)) for _ in range(10)]
    await settle()
    page = asyncio.create_task(limiter.acquire(Priority.BULK, max_wait=0.5))
    await clock.move(0.1)
    assert [call.done() for call in calls] == [True] * 9 + [False]
    assert page.done()
    await page
    with pytest.raises(BudgetExhausted):
        await limiter.acquire(Priority.BULK, max_wait=0.5)
    await cancel(*calls)


@pytest.mark.parametrize(("max_wait", "is_failed"), [(0.6, True), (0.85, False)])
async def test_what_has_overtaken_a_page_counts_for_the_page_behind_it(max_wait: float, is_failed: bool) -> None:
    """Six calls have overtaken the first page, so no more than thirteen permits precede that of the second."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(per_second=20), clock=clock)

    async def send(priority: Priority) -> None:
        await limiter.acquire(priority)
        limiter.on_response()

    for _ in range(20):
        await send(Priority.SINGLE)
        await clock.move(0.05)
    page = asyncio.create_task(send(Priority.BULK))
    calls = [asyncio.create_task(send(Priority.SINGLE)) for _ in range(50)]
    await clock.move(0.26)
    assert (sum(call.done() for call in calls), page.done()) == (6, False)
    other = asyncio.create_task(limiter.acquire(Priority.BULK, max_wait=max_wait))
    await settle()
    assert other.done() == is_failed
    if is_failed:
        with pytest.raises(BudgetExhausted):
            await other
    await cancel(page, other, *calls)


async def test_the_permits_of_others_count_only_while_a_page_waits() -> None:
    """A page that was cancelled leaves nothing to the next one, which waits for nine calls of its own."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(per_second=1, per_minute=1000), clock=clock)
    served: list[str] = []

    async def send(priority: Priority, name: str) -> None:
        await limiter.acquire(priority)
        served.append(name)
        limiter.on_response()

    calls = [asyncio.create_task(send(Priority.SINGLE, "call")) for _ in range(40)]
    await settle()
    first = asyncio.create_task(send(Priority.BULK, "first"))
    await clock.move(5.1)
    first.cancel()
    await clock.move(2.1)
    second = asyncio.create_task(send(Priority.BULK, "second"))
    before = len(served)
    await clock.move(12)
    assert served.index("second") - before == 9
    await cancel(first, second, *calls)


async def test_a_wait_of_half_a_minute_is_reported_once_per_priority() -> None:
    """Of many calls that wait, one event for each priority in thirty seconds, with how many wait."""
    clock, events = MovedClock(), list[Event]()
    limiter = SlidingWindowLimiter(RateLimit(), clock=clock)
    limiter.add_observer(events.append)
    limiter.on_rate_limited(100.0)
    events.clear()
    calls = [asyncio.create_task(limiter.acquire(each)) for each in [Priority.SINGLE] * 2 + [Priority.BULK] * 3]
    await clock.move(29.9)
    assert events == []
    await clock.move(0.2)
    assert events == [PermitDelayed(priority=name, seconds=30.0, waiting=5) for name in ("single", "bulk")]
    await clock.move(150)
    assert len(events) == 2
    await asyncio.gather(*calls)
    assert clock.timers == []


async def test_a_call_that_would_wait_too_long_fails_at_once() -> None:
    """With max_wait, a call whose permit is farther away than that fails without waiting; the error holds the time."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(per_second=2), clock=clock)
    for _ in range(2):
        await limiter.acquire(Priority.SINGLE)
        limiter.on_response()
    with pytest.raises(BudgetExhausted) as caught:
        await limiter.acquire(Priority.SINGLE, max_wait=0.5)
    assert caught.value.retry_after == pytest.approx(1.0, abs=0.01)
    assert not caught.value.transient


async def test_a_call_whose_wait_is_unpredictable_fails_after_max_wait() -> None:
    """With all slots in flight, the wait ends with an error after max_wait."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(per_second=1), clock=clock)
    await limiter.acquire(Priority.SINGLE)
    waiter = asyncio.create_task(limiter.acquire(Priority.SINGLE, max_wait=2.0))
    await clock.move(2.5)
    with pytest.raises(BudgetExhausted):
        await waiter
    limiter.on_response()


async def test_a_pause_longer_than_max_pause_fails_calls() -> None:
    """A 429 that demands an hour fails the waiting calls and new ones."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(per_second=1, max_pause=100), clock=clock)
    await limiter.acquire(Priority.SINGLE)
    waiter = asyncio.create_task(limiter.acquire(Priority.SINGLE))
    await settle()
    limiter.on_response()
    limiter.on_rate_limited(3600)
    for call in (waiter, limiter.acquire(Priority.BULK)):
        with pytest.raises(BudgetExhausted):
            await call


async def test_a_reported_reset_beyond_max_pause_fails_the_waiting_calls() -> None:
    """A call that waits already does not hang for an hour."""
    limiter = SlidingWindowLimiter(RateLimit(per_second=1, max_pause=100), clock=MovedClock())
    await limiter.acquire(Priority.SINGLE)
    waiter = asyncio.create_task(limiter.acquire(Priority.SINGLE))
    await settle()
    limiter.on_response(Quota(limit=100, remaining=0, reset_in=3600.0))
    with pytest.raises(BudgetExhausted):
        await waiter


async def test_a_pause_lasts_an_hour_at_most() -> None:
    """The error holds what the server demanded; after an hour a request is sent nevertheless."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(), clock=clock)
    await limiter.acquire(Priority.SINGLE)
    limiter.on_response()
    assert limiter.on_rate_limited(999_999_999.0) == 999_999_999.0
    with pytest.raises(BudgetExhausted):
        await limiter.acquire(Priority.SINGLE)
    clock.skip(3601)
    await asyncio.wait_for(limiter.acquire(Priority.SINGLE), 0.05)


@pytest.mark.parametrize("is_demanded", [True, False])
async def test_a_pause_that_was_cut_short_ends_with_one_probe(is_demanded: bool) -> None:
    """After an hour one request is sent, and the others only when its response has arrived."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(max_pause=inf), clock=clock)
    await limiter.acquire(Priority.SINGLE)
    limiter.on_response(None if is_demanded else Quota(limit=100, remaining=0, reset_in=86_400.0))
    if is_demanded:
        limiter.on_rate_limited(86_400.0)
    waiters = [asyncio.create_task(limiter.acquire(Priority.BULK)) for _ in range(3)]
    await clock.move(3599)
    assert not any(waiter.done() for waiter in waiters)
    await clock.move(600)
    assert sum(waiter.done() for waiter in waiters) == 1
    limiter.on_response(Quota(limit=100, remaining=99, reset_in=60.0))
    await clock.move(2)
    assert all(waiter.done() for waiter in waiters)


async def test_a_response_during_a_pause_does_not_replace_its_probe() -> None:
    """What was in flight when the pause began shows nothing about its end."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(max_pause=inf), clock=clock)
    for _ in range(2):
        await limiter.acquire(Priority.BULK)
    limiter.on_response()
    limiter.on_rate_limited(86_400.0)
    limiter.on_response()
    waiters = [asyncio.create_task(limiter.acquire(Priority.BULK)) for _ in range(3)]
    await clock.move(3700)
    assert sum(waiter.done() for waiter in waiters) == 1
    await cancel(*waiters)


async def test_a_lost_request_prevents_the_probe_of_the_minute() -> None:
    """It may be counted after the requests that report, so that only our own minute counts."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(), clock=clock)
    await limiter.acquire(Priority.BULK)
    limiter.on_no_response(0.0)
    for number in range(2, 101):
        await limiter.acquire(Priority.BULK)
        limiter.on_response(Quota(limit=100, remaining=100 - number, reset_in=20.0))
        if number % 10 == 0:
            await clock.move(1.01)
    waiters = [asyncio.create_task(limiter.acquire(Priority.BULK)) for _ in range(2)]
    await clock.move(49)
    assert not any(waiter.done() for waiter in waiters)
    await clock.move(5)
    assert all(waiter.done() for waiter in waiters)


async def test_a_probe_that_is_lost_is_followed_by_another() -> None:
    """Neither an unused permit nor a request without a response leaves the others waiting."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(max_pause=inf), clock=clock)
    limiter.on_rate_limited(86_400.0)
    waiters = [asyncio.create_task(limiter.acquire(Priority.BULK)) for _ in range(3)]
    endings: list[Callable[[], None]] = [limiter.release_unused, partial(limiter.on_no_response, 0.0)]
    for number, finish in enumerate(endings, start=1):
        await clock.move(3700)
        assert sum(waiter.done() for waiter in waiters) == number
        finish()
    await clock.move(2)
    assert all(waiter.done() for waiter in waiters)


async def test_a_pause_lasts_a_second_at_least() -> None:
    """`Retry-After: 0` does not make all workers retry at once."""
    assert SlidingWindowLimiter(RateLimit(), clock=MovedClock()).on_rate_limited(0.0) == 1.0


async def test_the_last_waiting_call_cancels_the_timer() -> None:
    """No timer is left when all calls were cancelled: their event loop may end, and the limiter be used in another."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(per_second=1), clock=clock)
    await limiter.acquire(Priority.SINGLE)
    limiter.on_response()
    waiters = [asyncio.create_task(limiter.acquire(Priority.SINGLE)) for _ in range(2)]
    await settle()
    await cancel(waiters[0])
    assert len(clock.timers) == 1
    await cancel(waiters[1])
    assert clock.timers == []
