"""The sliding windows of the sandbox at chosen moments."""

import pytest

from amili_async.sandbox.limits import AMILI_LIMITS, RateWindow, RequestLimiter, limit_headers


def test_the_hundred_and_first_request_in_a_minute_is_rejected() -> None:
    """A hundred requests at even intervals are admitted, the next only once the first has left the window."""
    limiter = RequestLimiter(AMILI_LIMITS)
    assert all(limiter.admit(n * 0.5).allowed for n in range(100))
    assert not limiter.admit(59.9).allowed
    assert limiter.admit(60.0).allowed
    assert not limiter.admit(60.4).allowed


def test_the_eleventh_request_in_a_second_is_rejected() -> None:
    """The burst window slides as well, so the start of a calendar second does not matter."""
    limiter = RequestLimiter(AMILI_LIMITS)
    assert all(limiter.admit(0.95).allowed for _ in range(10))
    assert not limiter.admit(1.05).allowed
    assert limiter.admit(1.95).allowed


@pytest.mark.parametrize(("counts", "passes"), [(False, True), (True, False)])
def test_rejected_requests_prolong_the_block_only_on_request(counts: bool, passes: bool) -> None:
    """By default a client is admitted as soon as its admitted requests have left the window."""
    limiter = RequestLimiter([RateWindow(2, 10.0)], count_rejected=counts)
    for moment in (0.0, 0.0, 5.0, 9.0):
        limiter.admit(moment)
    assert limiter.admit(10.0).allowed is passes


def test_headers_report_the_tightest_window() -> None:
    """Remaining and reset are those of the window with the fewest requests left; a 429 has the wait."""
    limiter = RequestLimiter([RateWindow(100, 60.0), RateWindow(2, 1.0)])
    first, second, third = (limiter.admit(1_000.25) for _ in range(3))
    assert (first.remaining, second.remaining, third.allowed) == (1, 0, False)
    assert limit_headers(second, 1_000.25)["X-RateLimit-Reset"] == "1002"
    assert limit_headers(third, 1_000.25) == {
        "X-RateLimit-Limit": "2",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "1002",
        "Retry-After": "1",
    }


@pytest.mark.parametrize("window", [(0, 1.0), (1, 0.0), (-1, 1.0)])
def test_an_invalid_window_raises(window: tuple[int, float]) -> None:
    """A window admits at least one request in a positive number of seconds."""
    with pytest.raises(ValueError, match="at least one"):
        RateWindow(*window)
