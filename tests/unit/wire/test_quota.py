"""What the server's own count says about the others who use the same key."""

import pytest

from amili_async._wire.sliding_window import QuotaTracker, SlidingWindow, WindowReset
from amili_async.policies import Quota


def quota(remaining: int, *, limit: int | None = 100, reset_in: float = 60.0) -> Quota:
    """What an answer's headers say."""
    return Quota(limit=limit, remaining=remaining, reset_in=reset_in)


def ledger_after(*answers: tuple[Quota, float]) -> QuotaTracker:
    """A ledger that has seen these answers, each to a request of ours, one at a time."""
    ledger = QuotaTracker()
    for said, now in answers:
        ledger.sent += 1
        ledger.update(said, now, 0)
    return ledger


def test_nothing_is_known_at_first() -> None:
    """Before the first answer there is no silence and no reset."""
    ledger = QuotaTracker()
    assert (ledger.pause_remaining(0.0), ledger.reset_in(0.0)) == (0.0, 0.0)


def test_a_reset_that_moves_back_prolongs_the_silence() -> None:
    """Eve moves its reset back with each request: silence lasts until the latest, or the block never ends."""
    ledger = QuotaTracker()
    for sent in range(3):
        ledger.sent = sent + 1
        ledger.update(Quota(limit=3, remaining=2 - sent, reset_in=60.0), 0.5 * sent, 0)
    assert ledger.pause_remaining(1.0) == pytest.approx(60.25)


def test_a_quota_with_something_left_is_no_silence() -> None:
    """Requests may go on while there is any left."""
    ledger = ledger_after((quota(1), 0.0))
    assert ledger.pause_remaining(0.0) == 0.0
    assert ledger.reset_in(10.0) == 50.0


@pytest.mark.parametrize("limit", [100, None])
def test_a_quota_that_is_used_up_is_silence_until_the_reset(limit: int | None) -> None:
    """At zero nothing goes until a little after the reset, whether or not the server tells its limit."""
    ledger = ledger_after((quota(0, limit=limit, reset_in=30.0), 100.0))
    assert ledger.pause_remaining(100.0) == 30.0 + QuotaTracker.SLACK
    assert ledger.pause_remaining(120.0) == 10.0 + QuotaTracker.SLACK
    assert ledger.pause_remaining(130.0) == QuotaTracker.SLACK
    assert ledger.pause_remaining(130.0 + QuotaTracker.SLACK) == 0.0
    assert ledger.reset_in(200.0) == 0.0


def test_our_own_requests_use_up_what_the_others_left() -> None:
    """Others took 90 of 100: after ten of ours it is silent, before the server says so."""
    ledger = ledger_after((quota(9), 0.0))
    for _ in range(8):
        ledger.sent += 1
        assert ledger.pause_remaining(1.0) == 0.0
    ledger.sent += 1
    assert ledger.pause_remaining(1.0) == 59.0 + QuotaTracker.SLACK


def test_requests_in_flight_count_as_ours() -> None:
    """Those that the server has not counted yet are on their way to it."""
    ledger = QuotaTracker()
    ledger.update(quota(5), 0.0, 5)
    assert ledger.sent == 6
    assert ledger.pause_remaining(0.0) == 0.0
    ledger.update(quota(0), 0.0, 0)
    assert ledger.pause_remaining(0.0) > 0


def test_answers_in_any_order_end_at_the_same_sum() -> None:
    """Of a burst the answer with the least left tells how much the others took."""
    ledger = QuotaTracker()
    for in_flight, remaining in ((3, 40), (2, 37), (1, 39), (0, 38)):
        ledger.update(quota(remaining), 0.0, in_flight)
    # The others took 59, we took 4: 37 are left.
    for _ in range(36):
        ledger.sent += 1
        assert ledger.pause_remaining(0.0) == 0.0
    ledger.sent += 1
    assert ledger.pause_remaining(0.0) > 0


def test_the_start_of_a_silence_is_told_once() -> None:
    """Only the answer that begins a silence says so, so that an observer hears of it once."""
    ledger = QuotaTracker()
    assert ledger.update(quota(1), 0.0, 0) is False
    assert ledger.update(quota(0), 1.0, 0) is True
    assert ledger.update(quota(0), 2.0, 0) is False


def test_a_new_period_forgets_the_old_one() -> None:
    """After the reset the count starts anew, by the next answer."""
    ledger = ledger_after((quota(0, reset_in=30.0), 0.0))
    ledger.update(quota(99, reset_in=60.0), 31.0, 0)
    assert ledger.pause_remaining(31.0) == 0.0
    assert ledger.reset_in(31.0) == 60.0
    assert ledger.sent == 1


def test_a_short_period_after_the_reset_is_a_new_one_too() -> None:
    """The old count ends at its reset, wherever the next one lies."""
    ledger = ledger_after((quota(0, reset_in=30.0), 0.0))
    ledger.update(quota(99, reset_in=0.5), 30.0, 0)
    assert ledger.pause_remaining(30.0) == 0.0
    assert ledger.reset_in(30.0) == 0.5


def test_a_short_silence_is_told_too() -> None:
    """Also a fraction of a second of silence is one."""
    ledger = QuotaTracker()
    ledger.update(quota(1, reset_in=0.5), 0.0, 0)
    assert ledger.update(quota(0, reset_in=0.5), 0.0, 0) is True


def test_a_reset_that_moves_away_is_a_new_period() -> None:
    """Some servers begin their period before the old one has ended by our clock."""
    ledger = ledger_after((quota(0, reset_in=10.0), 0.0))
    ledger.update(quota(99, reset_in=60.0), 5.0, 0)
    assert ledger.pause_remaining(5.0) == 0.0


def test_a_reset_that_moves_by_a_rounding_is_the_same_period() -> None:
    """Headers have whole seconds: a second more or less is no new period."""
    ledger = ledger_after((quota(50, reset_in=10.0), 0.0), (quota(49, reset_in=11.0), 0.5))
    assert ledger.sent == 2
    assert ledger.reset_in(0.0) == 10.0
    ledger.update(quota(99, reset_in=11.0), 1.5, 0)
    assert ledger.reset_in(1.5) == 11.0


@pytest.mark.parametrize("remaining", [100, 5000])
def test_more_left_than_the_limit_does_no_harm(remaining: int) -> None:
    """Others cannot have used less than nothing."""
    ledger = ledger_after((quota(remaining), 0.0))
    ledger.sent += 98
    assert ledger.pause_remaining(0.0) == 0.0
    ledger.sent += 1
    assert ledger.pause_remaining(0.0) > 0


def renewal_after(*said: tuple[Quota | None, float]) -> WindowReset:
    """Our count of a minute is used up; then each of these came as the answer to a request that was alone."""
    minute = SlidingWindow(3, 60.0)
    minute.answered.extend([0.0] * 3)
    renewal = WindowReset(minute)
    for each, now in said:
        renewal.send(0)
        renewal.update(each, now)
    return renewal


def used(renewal: WindowReset) -> int:
    """How many slots of our minute are taken."""
    assert renewal.minute is not None
    return len(renewal.minute.answered)


def test_past_every_reset_that_was_told_one_may_ask() -> None:
    """Answers come in any order: the latest reset of all is the one that counts."""
    renewal = renewal_after((quota(1, limit=3, reset_in=20.0), 1.0), (quota(0, limit=3, reset_in=5.0), 2.0))
    assert renewal.seconds_until_probe(2.0) == pytest.approx(19.0 + QuotaTracker.SLACK)
    assert renewal.seconds_until_probe(30.0) == 0.0


@pytest.mark.parametrize(("left", "seconds_until_probe"), [((2, 1), 0.0), ((2, 0), 9.0 + QuotaTracker.SLACK)])
def test_where_something_is_left_by_each_answer_one_may_ask_at_once(
    left: tuple[int, int], seconds_until_probe: float
) -> None:
    """One of those that were on their way together is the last that the server counted."""
    renewal = renewal_after()
    for in_flight, remaining in enumerate(left):
        renewal.send(in_flight)
        renewal.update(quota(remaining, limit=3, reset_in=10.0), 1.0)
    assert renewal.seconds_until_probe(2.0) == pytest.approx(seconds_until_probe)


def test_a_turn_that_was_not_used_tells_nothing() -> None:
    """What the answers before it left is known no more, so the reset is waited for."""
    renewal = renewal_after((quota(1, limit=3, reset_in=10.0), 1.0))
    renewal.send(0)
    assert renewal.seconds_until_probe(2.0) == pytest.approx(9.0 + QuotaTracker.SLACK)


@pytest.mark.parametrize("said", [None, quota(0, limit=10, reset_in=1.0), quota(0, limit=None, reset_in=1.0)])
def test_who_was_not_told_the_count_of_the_minute_does_not_ask(said: Quota | None) -> None:
    """For a minute after an answer without a count, or with another one, ours alone counts."""
    renewal = renewal_after((quota(0, limit=3, reset_in=1.0), 1.0), (said, 2.0))
    assert renewal.seconds_until_probe(50.0) == float("inf")
    assert renewal_after((quota(0, limit=3, reset_in=1.0), 1.0)).seconds_until_probe(50.0) == 0.0


def test_nobody_asks_before_anything_was_told() -> None:
    """Without a reset there is no moment to ask."""
    assert renewal_after().seconds_until_probe(1000.0) == float("inf")


@pytest.mark.parametrize(("remaining", "left"), [(2, 1), (1, 2), (0, 3)])
def test_a_count_that_has_begun_anew_frees_our_slots(remaining: int, left: int) -> None:
    """What the server counts, others' requests too, is what stays taken."""
    assert used(renewal_after((quota(remaining, limit=3, reset_in=59.0), 40.0))) == left


@pytest.mark.parametrize(
    ("said", "in_flight"), [(quota(2, limit=3), 1), (quota(2, limit=3, reset_in=20.0), 0), (quota(9, limit=10), 0)]
)
def test_a_count_that_may_leave_something_out_frees_nothing(said: Quota, in_flight: int) -> None:
    """Not where another request was on its way, nor in the middle of a period, nor by the count of something else."""
    renewal = renewal_after()
    renewal.send(in_flight)
    renewal.update(said, 40.0)
    assert used(renewal) == 3


def test_a_request_that_was_lost_keeps_our_slots_for_a_minute() -> None:
    """What never was answered may still reach the server, and be counted after its successors."""
    assert used(renewal_after((None, 10.0), (quota(2, limit=3), 60.0))) == 3
    assert used(renewal_after((None, 10.0), (quota(2, limit=3), 71.0))) == 1
