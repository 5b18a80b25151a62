"""Sliding windows, asked at chosen moments."""

import pytest

from amili_async.sandbox.limits import AMILI_LIMITS, Budget, RateWindow, limit_headers


def test_the_hundred_and_first_in_a_minute_is_refused() -> None:
    """A hundred requests at an even pace pass, the next is refused until the first has left the window."""
    budget = Budget(AMILI_LIMITS)
    assert all(budget.ask(n * 0.5).allowed for n in range(100))
    assert not budget.ask(59.9).allowed
    assert budget.ask(60.0).allowed
    assert not budget.ask(60.4).allowed


def test_the_eleventh_in_a_second_is_refused() -> None:
    """The burst window slides as well: it is no matter where a second begins."""
    budget = Budget(AMILI_LIMITS)
    assert all(budget.ask(0.95).allowed for _ in range(10))
    assert not budget.ask(1.05).allowed
    assert budget.ask(1.95).allowed


@pytest.mark.parametrize(("counts", "passes"), [(False, True), (True, False)])
def test_refusals_prolong_the_block_only_if_told_to(counts: bool, passes: bool) -> None:
    """By default a client that knocks is let in as soon as its accepted requests have left the window."""
    budget = Budget([RateWindow(2, 10.0)], counts_refused=counts)
    for moment in (0.0, 0.0, 5.0, 9.0):
        budget.ask(moment)
    assert budget.ask(10.0).allowed is passes


def test_headers_tell_of_the_tightest_window() -> None:
    """Remaining and reset are those of the window with the least left; a refusal says how long to wait."""
    budget = Budget([RateWindow(100, 60.0), RateWindow(2, 1.0)])
    first, second, third = (budget.ask(1_000.25) for _ in range(3))
    assert (first.remaining, second.remaining, third.allowed) == (1, 0, False)
    assert limit_headers(second, 1_000.25)["X-RateLimit-Reset"] == "1002"
    assert limit_headers(third, 1_000.25) == {
        "X-RateLimit-Limit": "2",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "1002",
        "Retry-After": "1",
    }


@pytest.mark.parametrize("window", [(0, 1.0), (1, 0.0), (-1, 1.0)])
def test_a_senseless_window_is_refused(window: tuple[int, float]) -> None:
    """A window lets at least one request through in a positive time."""
    with pytest.raises(ValueError, match="at least one"):
        RateWindow(*window)
