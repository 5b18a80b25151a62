"""How long many requests take under two windows: the forecast against the budget itself, on a clock that jumps."""

import asyncio

import pytest

from amili_async import RateLimit
from amili_async._wire.rate_limiter import SlidingWindowLimiter
from amili_async.policies import Priority
from tests.support.clocks import MovedClock


async def measure(budget: SlidingWindowLimiter, clock: MovedClock, requests: int) -> float:
    """Seconds until the last of so many requests can go, each answered at once."""
    began, times = clock.now(), []

    async def ask() -> None:
        await budget.acquire(Priority.BULK)
        times.append(clock.now() - began)
        budget.on_response()

    tasks = [asyncio.create_task(ask()) for _ in range(requests)]
    while len(times) < requests:
        await clock.move(0.25)
    await asyncio.gather(*tasks)
    return max(times, default=0.0)


@pytest.mark.parametrize("requests", [1, 10, 11, 99, 100, 101, 250, 305, 1_000])
@pytest.mark.parametrize("used", [0, 7, 130])
async def test_a_forecast_is_what_comes_true(requests: int, used: int) -> None:
    """Whatever was sent before, the last of so many requests goes when it was said to."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(), clock=clock)
    await measure(budget, clock, used)
    await clock.move(0.4)
    said = budget.forecast(requests)
    assert await measure(budget, clock, requests) == pytest.approx(said, abs=0.1)


async def test_a_pause_and_the_even_pace_after_it_are_counted() -> None:
    """After a 429 nothing goes for as long as it said, and then one request at a time."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(), clock=clock)
    budget.on_rate_limited(20.0)
    said = budget.forecast(30)
    assert said == pytest.approx(20 + 29 * 60 / 99, abs=0.1)
    assert await measure(budget, clock, 30) == pytest.approx(said, abs=0.1)


@pytest.mark.parametrize("rest", [0.0, 3.0, 30.0])
@pytest.mark.parametrize("requests", [5, 90, 250])
async def test_a_rest_that_is_made_up_for_after_a_429_is_counted(rest: float, requests: int) -> None:
    """Also where the windows hold up the even pace at first, the last one goes when it was said to."""
    clock = MovedClock()
    budget = SlidingWindowLimiter(RateLimit(), clock=clock)
    await measure(budget, clock, 40)
    budget.on_rate_limited(1.0)
    await clock.move(rest)
    said = budget.forecast(requests)
    assert await measure(budget, clock, requests) == pytest.approx(said, abs=0.1)


def test_nothing_takes_no_time_and_no_budget_never_waits() -> None:
    """No request needs no time; without windows no number of them does."""

    async def ask() -> tuple[float, float, float]:
        clock = MovedClock()
        return (
            SlidingWindowLimiter(RateLimit(), clock=clock).forecast(0),
            SlidingWindowLimiter(None, clock=clock).forecast(0),
            SlidingWindowLimiter(None, clock=clock).forecast(10_000_000),
        )

    assert asyncio.run(ask()) == (0.0, 0.0, 0.0)


async def test_a_million_records_take_as_long_as_the_limit_says() -> None:
    """Ten thousand requests at a hundred a minute: the formula of two sliding windows, to the second."""
    budget = SlidingWindowLimiter(RateLimit(), clock=MovedClock())
    assert budget.forecast(10_000) == pytest.approx(60 * 99 + 9, abs=2)


@pytest.mark.parametrize("requests", [40, 77, 200])
async def test_windows_of_any_proportion_are_forecast(requests: int) -> None:
    """More in a second than in a minute, or neither a multiple of the other: the forecast still comes true."""
    for limit in (RateLimit(per_minute=11, per_second=3), RateLimit(per_minute=2, per_second=10)):
        clock = MovedClock()
        budget = SlidingWindowLimiter(limit, clock=clock)
        said = budget.forecast(requests)
        assert await measure(budget, clock, requests) == pytest.approx(said, abs=0.1)
