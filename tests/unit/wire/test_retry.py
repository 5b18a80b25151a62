"""Which failures are retried, how often, and how long the waits between the attempts are."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from amili_async._wire.retry import Retrier
from amili_async.errors import (
    AmiliError,
    AuthenticationError,
    BadRequest,
    BudgetExhausted,
    ConfigurationError,
    ConnectionFailed,
    NotFound,
    RateLimited,
    ServerFault,
    TimedOut,
    UnreadableResponse,
    ValidationFailed,
)
from amili_async.policies import RetryPolicy
from tests.support.clocks import JumpingLoop, MovedClock


class InstantClock(MovedClock):
    """Waiting takes no time, but the clock advances by it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._now += seconds


class FailingAttempt:
    """An attempt that fails so often, then succeeds; it counts how often it was made."""

    def __init__(self, count: int, make: Callable[[], AmiliError]) -> None:
        self._count, self._make = count, make
        self.made = 0

    def __call__(self) -> "asyncio.Future[str]":
        self.made += 1
        outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if self.made <= self._count:
            outcome.set_exception(self._make())
        else:
            outcome.set_result("answer")
        return outcome


def server_fault(retry_after: float | None = None) -> ServerFault:
    error = ServerFault("down", status=503)
    error.retry_after = retry_after
    return error


def rate_limited(retry_after: float | None = None) -> RateLimited:
    error = RateLimited("slow down", status=429)
    error.retry_after = retry_after
    return error


def make_retrier(clock: MovedClock, policy: RetryPolicy | None = None) -> Retrier:
    return Retrier(policy or RetryPolicy(), clock=clock)


def ignore(error: str, wait: float) -> None:
    """What is called before each wait."""


@pytest.mark.parametrize(
    "make",
    [server_fault, rate_limited, lambda: ConnectionFailed("cut"), lambda: TimedOut("late")],
    ids=["ServerFault", "RateLimited", "ConnectionFailed", "TimedOut"],
)
async def test_a_get_is_repeated_after_any_transient_failure(make: Callable[[], AmiliError]) -> None:
    """Two failures and a success make three attempts."""
    attempt = FailingAttempt(2, make)
    assert (
        await make_retrier(InstantClock()).run(attempt, request="GET /x", is_repeatable=True, on_retry=ignore)
        == "answer"
    )
    assert attempt.made == 3


@pytest.mark.parametrize(
    ("make", "attempts"),
    [
        (lambda: ConnectionFailed("no route", was_sent=False), 2),
        (rate_limited, 2),
        (lambda: ConnectionFailed("cut", was_sent=True), 1),
        (lambda: TimedOut("late"), 1),
        (server_fault, 1),
    ],
)
async def test_a_post_is_repeated_only_if_it_was_certainly_not_processed(
    make: Callable[[], AmiliError], attempts: int
) -> None:
    """Not sent and 429 are retried; a cut connection, a timeout and a 503 are not."""
    attempt = FailingAttempt(1, make)
    run = make_retrier(InstantClock()).run(attempt, request="POST /x", is_repeatable=False, on_retry=ignore)
    if attempts == 1:
        with pytest.raises(AmiliError):
            await run
    else:
        assert await run == "answer"
    assert attempt.made == attempts


@pytest.mark.parametrize(
    "error",
    [
        BadRequest("", status=400),
        NotFound("", status=404),
        ValidationFailed("", status=422),
        AuthenticationError(""),
        ConfigurationError(""),
        UnreadableResponse(""),
        BudgetExhausted("", status=429),
        KeyError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_is_not_transient_is_not_repeated(error: Exception) -> None:
    """Error responses and bugs are raised at once and unchanged."""
    clock = InstantClock()

    async def attempt() -> str:
        raise error

    with pytest.raises(type(error)) as caught:
        await make_retrier(clock).run(attempt, request="GET /x", is_repeatable=True, on_retry=ignore)
    assert caught.value is error
    assert clock.waits == []


async def test_the_last_error_is_raised_with_the_number_of_attempts() -> None:
    """Five attempts by default, then the error itself, not one of tenacity."""
    with pytest.raises(ServerFault) as caught:
        await make_retrier(InstantClock()).run(
            FailingAttempt(9, server_fault), request="GET /x", is_repeatable=True, on_retry=ignore
        )
    assert caught.value.attempts == 5


@pytest.mark.parametrize("retry_after", [None, 0.0])
async def test_the_wait_grows_with_full_jitter_up_to_its_cap(retry_after: float | None) -> None:
    """Each wait is between zero and base times two per attempt, never above max_wait, also after `Retry-After: 0`."""
    policy = RetryPolicy(attempts=8, base=1.0, max_wait=5.0)
    all_waits = []
    for _ in range(50):
        clock = InstantClock()
        attempt = FailingAttempt(7, lambda: server_fault(retry_after))
        await make_retrier(clock, policy).run(attempt, request="GET /x", is_repeatable=True, on_retry=ignore)
        all_waits.append(clock.waits)
    longest = [max(waits) for waits in zip(*all_waits, strict=True)]
    assert all(wait <= cap for wait, cap in zip(longest, [1, 2, 4, 5, 5, 5, 5], strict=True))
    assert longest[0] > 0.5
    assert longest[-1] > 2.5


@pytest.mark.parametrize("make", [server_fault, rate_limited])
async def test_the_wait_is_what_the_server_demands(make: Callable[[float], AmiliError]) -> None:
    """A Retry-After that is longer than our own backoff is the wait, neither longer nor shorter."""
    clock = InstantClock()
    await make_retrier(clock).run(
        FailingAttempt(1, lambda: make(42.0)), request="GET /x", is_repeatable=True, on_retry=ignore
    )
    assert clock.waits == [42.0]


async def test_any_number_of_attempts_can_be_made() -> None:
    """The wait before attempt 3,000 is still a number."""
    policy = RetryPolicy(attempts=3000, base=0.001, max_elapsed=1e9, retry_budget=3000)
    attempt = FailingAttempt(2999, server_fault)
    assert (
        await make_retrier(InstantClock(), policy).run(attempt, request="GET /x", is_repeatable=True, on_retry=ignore)
        == "answer"
    )


async def test_a_demanded_wait_beyond_the_cap_fails_at_once() -> None:
    """A server that demands an hour gets no second attempt, and the error holds the hour."""
    clock = InstantClock()
    with pytest.raises(RateLimited) as caught:
        await make_retrier(clock).run(
            FailingAttempt(1, lambda: rate_limited(3600.0)), request="GET /x", is_repeatable=True, on_retry=ignore
        )
    assert caught.value.retry_after == 3600.0
    assert clock.waits == []


async def test_a_429_longer_than_max_wait_fails_at_once() -> None:
    """With AmiliClient(max_wait=…) a call waits neither in the queue nor for the end of a pause."""
    clock = InstantClock()
    retrier = Retrier(RetryPolicy(), clock=clock, max_pause=2.0)
    with pytest.raises(RateLimited) as caught:
        await retrier.run(
            FailingAttempt(1, lambda: rate_limited(60.0)), request="GET /x", is_repeatable=True, on_retry=ignore
        )
    assert caught.value.retry_after == 60.0
    assert clock.waits == []


async def test_no_wait_ends_after_max_elapsed() -> None:
    """A call fails instead of waiting longer than it may take."""
    clock = InstantClock()
    policy = RetryPolicy(attempts=100, max_elapsed=100.0)
    with pytest.raises(RateLimited):
        await make_retrier(clock, policy).run(
            FailingAttempt(99, lambda: rate_limited(40.0)), request="GET /x", is_repeatable=True, on_retry=ignore
        )
    assert clock.waits == [40.0, 40.0]


async def test_the_retry_budget_is_used_up_by_an_outage_and_restored_by_successes() -> None:
    """During an outage calls soon fail after one attempt; successes permit retries again."""
    retrier = make_retrier(InstantClock(), RetryPolicy(retry_budget=6))

    async def count_attempts(failures: int) -> int:
        attempt = FailingAttempt(failures, server_fault)
        with suppress(ServerFault):
            await retrier.run(attempt, request="GET /x", is_repeatable=True, on_retry=ignore)
        return attempt.made

    assert [await count_attempts(99) for _ in range(4)] == [5, 3, 1, 1]
    for _ in range(4):
        await count_attempts(0)
    assert await count_attempts(99) == 3


async def test_each_retry_is_reported_with_its_wait() -> None:
    """The name of the error and the seconds until the next attempt, before each wait."""
    reported: list[tuple[str, float]] = []
    attempt = FailingAttempt(2, lambda: rate_limited(3.0))
    run = make_retrier(InstantClock()).run
    await run(attempt, request="GET /x", is_repeatable=True, on_retry=lambda *retry: reported.append(retry))
    assert reported == [("RateLimited", 3.0)] * 2


@pytest.mark.parametrize("moment", [0.5, 1.5])
def test_a_cancellation_is_never_swallowed(moment: float) -> None:
    """Cancelled during an attempt or a wait, the call is cancelled at once."""

    async def attempt() -> str:
        await asyncio.sleep(1)
        raise rate_limited(1.0)

    async def run() -> None:
        from amili_async._wire.clock import SystemClock

        retrier = Retrier(RetryPolicy(), clock=SystemClock())
        call = asyncio.create_task(retrier.run(attempt, request="GET /x", is_repeatable=True, on_retry=ignore))
        await asyncio.sleep(moment)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert asyncio.get_running_loop().time() == moment

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(run())
