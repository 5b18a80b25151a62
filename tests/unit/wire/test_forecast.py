"""How long many requests take under two windows: the forecast compared with the limiter itself."""

import asyncio
import sys

import pytest

from amili_async import RateLimit
from amili_async._wire.rate_limiter import SlidingWindowLimiter
from amili_async._wire.sliding_window import RequestSchedule
from amili_async.policies import Priority
from tests.support.clocks import MovedClock


async def measure(limiter: SlidingWindowLimiter, clock: MovedClock, requests: int) -> float:
    """Seconds until the last of so many requests is sent, each with an immediate response."""
    began, times = clock.now(), []

    async def send() -> None:
        await limiter.acquire(Priority.BULK)
        times.append(clock.now() - began)
        limiter.on_response()

    tasks = [asyncio.create_task(send()) for _ in range(requests)]
    while len(times) < requests:
        await clock.move(0.25)
    await asyncio.gather(*tasks)
    return max(times, default=0.0)


@pytest.mark.parametrize("requests", [1, 10, 11, 99, 100, 101, 250, 305, 1_000])
@pytest.mark.parametrize("used", [0, 7, 130])
async def test_a_forecast_is_exact(requests: int, used: int) -> None:
    """Whatever was sent before, the last of so many requests is sent at the time forecast."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(), clock=clock)
    await measure(limiter, clock, used)
    await clock.move(0.4)
    expected = limiter.forecast(requests)
    assert await measure(limiter, clock, requests) == pytest.approx(expected, abs=0.1)


async def test_a_pause_and_the_even_rate_after_it_are_forecast() -> None:
    """After a 429 nothing is sent for as long as it demands, and then one request at a time."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(), clock=clock)
    limiter.on_rate_limited(20.0)
    expected = limiter.forecast(30)
    assert expected == pytest.approx(20 + 29 * 60 / 99, abs=0.1)
    assert await measure(limiter, clock, 30) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("idle", [0.0, 3.0, 30.0])
@pytest.mark.parametrize("requests", [5, 90, 250])
async def test_a_burst_after_an_idle_time_is_forecast(idle: float, requests: int) -> None:
    """Also if the windows delay the even rate at first, the last one is sent at the time forecast."""
    clock = MovedClock()
    limiter = SlidingWindowLimiter(RateLimit(), clock=clock)
    await measure(limiter, clock, 40)
    limiter.on_rate_limited(1.0)
    await clock.move(idle)
    expected = limiter.forecast(requests)
    assert await measure(limiter, clock, requests) == pytest.approx(expected, abs=0.1)


def test_no_request_takes_no_time_and_without_a_limit_none_waits() -> None:
    """Zero requests need no time; without windows no number of them does."""

    async def forecast() -> tuple[float, float, float]:
        clock = MovedClock()
        return (
            SlidingWindowLimiter(RateLimit(), clock=clock).forecast(0),
            SlidingWindowLimiter(None, clock=clock).forecast(0),
            SlidingWindowLimiter(None, clock=clock).forecast(10_000_000),
        )

    assert asyncio.run(forecast()) == (0.0, 0.0, 0.0)


async def test_a_million_records_take_as_long_as_the_limit_says() -> None:
    """Ten thousand requests at a hundred a minute: the formula of two sliding windows, to the second."""
    limiter = SlidingWindowLimiter(RateLimit(), clock=MovedClock())
    assert limiter.forecast(10_000) == pytest.approx(60 * 99 + 9, abs=2)


@pytest.mark.parametrize("requests", [40, 77, 200])
async def test_windows_of_any_proportion_are_forecast(requests: int) -> None:
    """More in a second than in a minute, neither a multiple of the other, or a reserve: the forecast is still exact."""
    for limit in (
        RateLimit(per_minute=11, per_second=3),
        RateLimit(per_minute=2, per_second=10),
        RateLimit(reserve=10),
        RateLimit(per_minute=11, per_second=3, reserve=5),
    ):
        clock = MovedClock()
        limiter = SlidingWindowLimiter(limit, clock=clock)
        expected = limiter.forecast(requests)
        assert await measure(limiter, clock, requests) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("limit", [(97, 89), (10_007, 101), (1_000_003, 1_009), (1_000_000, 100_000), (3, 1_000_003)])
@pytest.mark.parametrize("requests", [1_000, 10**9])
def test_a_forecast_takes_a_bounded_number_of_steps(limit: tuple[int, int], requests: int) -> None:
    """Whatever the limits, few slots are looked at, and the result is at most a window from what the limit allows."""
    per_minute, per_second = limit
    schedule, steps = RequestSchedule(RateLimit(per_minute=per_minute, per_second=per_second)), 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    sys.setprofile(count)
    try:
        seconds = schedule.forecast(requests, 1000.0)
    finally:
        sys.setprofile(None)
    assert steps < 20_000
    least = max(60.005 * ((requests - 1) // per_minute), 1.005 * ((requests - 1) // per_second))
    assert least * 0.999 <= seconds + 60.005
    assert seconds <= least * 1.001 + 120.01


@pytest.mark.parametrize("rest", range(401, 501, 7))
def test_whole_periods_are_skipped_exactly(rest: int) -> None:
    """Each further hundred requests take a minute more, wherever within the hundred the last one is."""
    schedule = RequestSchedule(RateLimit())
    assert schedule.forecast(rest + 9_500, 1000.0) == pytest.approx(schedule.forecast(rest, 1000.0) + 95 * 60.005)


def test_the_even_rate_after_a_429_is_forecast_for_any_number() -> None:
    """Ten thousand requests after a rejection leave at 99 a minute."""
    schedule = RequestSchedule(RateLimit())
    schedule.on_rate_limited(20.0, 1000.0)
    assert schedule.forecast(10_000, 1000.0) == pytest.approx(20 + 9_999 * 60 / 99)
