"""What follows from the count that the server reports: pauses, and probes after its reset."""

import pytest

from amili_async._wire.quota import MAX_PAUSE, RESET_SLACK, QuotaTracker, WindowReset
from amili_async.policies import Quota


def quota(remaining: int, *, limit: int | None = 100, reset_in: float = 60.0) -> Quota:
    """What the headers of a response report."""
    return Quota(limit=limit, remaining=remaining, reset_in=reset_in)


def tracker_after(*reports: tuple[Quota, float]) -> QuotaTracker:
    """A tracker after these responses, each to a request of ours, one at a time."""
    tracker = QuotaTracker()
    for report, now in reports:
        tracker.sent += 1
        tracker.update(report, now, 0)
    return tracker


def test_nothing_is_known_at_first() -> None:
    """Before the first response there is no pause and no reset."""
    tracker = QuotaTracker()
    assert (tracker.pause_remaining(0.0), tracker.reset_in(0.0)) == (0.0, 0.0)


def test_a_postponed_reset_prolongs_the_pause() -> None:
    """Eve postpones its reset with each request: the pause lasts until the latest, or the block never ends."""
    tracker = QuotaTracker()
    for sent in range(3):
        tracker.sent = sent + 1
        tracker.update(Quota(limit=3, remaining=2 - sent, reset_in=60.0), 0.5 * sent, 0)
    assert tracker.pause_remaining(1.0) == pytest.approx(60.25)


def test_a_quota_with_something_left_is_no_pause() -> None:
    """Requests are sent while any are left."""
    tracker = tracker_after((quota(1), 0.0))
    assert tracker.pause_remaining(0.0) == 0.0
    assert tracker.reset_in(10.0) == 50.0


@pytest.mark.parametrize("limit", [100, None])
def test_a_used_up_quota_is_a_pause_until_the_reset(limit: int | None) -> None:
    """At zero nothing is sent until a little after the reset, whether or not the server reports its limit."""
    tracker = tracker_after((quota(0, limit=limit, reset_in=30.0), 100.0))
    assert tracker.pause_remaining(100.0) == 30.0 + RESET_SLACK
    assert tracker.pause_remaining(120.0) == 10.0 + RESET_SLACK
    assert tracker.pause_remaining(130.0) == RESET_SLACK
    assert tracker.pause_remaining(130.0 + RESET_SLACK) == 0.0
    assert tracker.reset_in(200.0) == 0.0


def test_our_own_requests_use_up_what_the_others_left() -> None:
    """Others used 90 of 100: after ten of ours the pause starts, before the server reports zero."""
    tracker = tracker_after((quota(9), 0.0))
    for _ in range(8):
        tracker.sent += 1
        assert tracker.pause_remaining(1.0) == 0.0
    tracker.sent += 1
    assert tracker.pause_remaining(1.0) == 59.0 + RESET_SLACK


def test_requests_in_flight_count_as_ours() -> None:
    """The server has not counted them yet, but will."""
    tracker = QuotaTracker()
    tracker.update(quota(5), 0.0, 5)
    assert tracker.sent == 6
    assert tracker.pause_remaining(0.0) == 0.0
    tracker.update(quota(0), 0.0, 0)
    assert tracker.pause_remaining(0.0) > 0


def test_responses_in_any_order_lead_to_the_same_sum() -> None:
    """Of a burst the response with the least left shows how much other users used."""
    tracker = QuotaTracker()
    for in_flight, remaining in ((3, 40), (2, 37), (1, 39), (0, 38)):
        tracker.update(quota(remaining), 0.0, in_flight)
    # Others used 59, we used 4: 37 are left.
    for _ in range(36):
        tracker.sent += 1
        assert tracker.pause_remaining(0.0) == 0.0
    tracker.sent += 1
    assert tracker.pause_remaining(0.0) > 0


def test_the_start_of_a_pause_is_reported_once() -> None:
    """Only the response that starts a pause returns true, so that observers get one event."""
    tracker = QuotaTracker()
    assert tracker.update(quota(1), 0.0, 0) is False
    assert tracker.update(quota(0), 1.0, 0) is True
    assert tracker.update(quota(0), 2.0, 0) is False


def test_a_new_period_replaces_the_old_one() -> None:
    """After the reset the count starts again with the next response."""
    tracker = tracker_after((quota(0, reset_in=30.0), 0.0))
    tracker.update(quota(99, reset_in=60.0), 31.0, 0)
    assert tracker.pause_remaining(31.0) == 0.0
    assert tracker.reset_in(31.0) == 60.0
    assert tracker.sent == 1


def test_a_short_period_after_the_reset_is_a_new_one_too() -> None:
    """The old count ends at its reset, however soon the next one ends."""
    tracker = tracker_after((quota(0, reset_in=30.0), 0.0))
    tracker.update(quota(99, reset_in=0.5), 30.0, 0)
    assert tracker.pause_remaining(30.0) == 0.0
    assert tracker.reset_in(30.0) == 0.5


def test_a_short_pause_is_reported_too() -> None:
    """A fraction of a second is a pause too."""
    tracker = QuotaTracker()
    tracker.update(quota(1, reset_in=0.5), 0.0, 0)
    assert tracker.update(quota(0, reset_in=0.5), 0.0, 0) is True


def test_a_much_later_reset_is_a_new_period() -> None:
    """Some servers start a period before the old one has ended by our clock."""
    tracker = tracker_after((quota(0, reset_in=10.0), 0.0))
    tracker.update(quota(99, reset_in=60.0), 5.0, 0)
    assert tracker.pause_remaining(5.0) == 0.0


def test_a_reset_that_moves_by_a_rounding_is_the_same_period() -> None:
    """Headers hold whole seconds: a second more or less is no new period."""
    tracker = tracker_after((quota(50, reset_in=10.0), 0.0), (quota(49, reset_in=11.0), 0.5))
    assert tracker.sent == 2
    assert tracker.reset_in(0.0) == 10.0
    tracker.update(quota(99, reset_in=11.0), 1.5, 0)
    assert tracker.reset_in(1.5) == 11.0


@pytest.mark.parametrize("remaining", [100, 5000])
def test_more_left_than_the_limit_does_no_harm(remaining: int) -> None:
    """Other users cannot have used less than nothing."""
    tracker = tracker_after((quota(remaining), 0.0))
    tracker.sent += 98
    assert tracker.pause_remaining(0.0) == 0.0
    tracker.sent += 1
    assert tracker.pause_remaining(0.0) > 0


@pytest.mark.parametrize("reset_in", [3601.0, 10_800.0, 60_000.0, 86_400.0])
def test_a_reset_that_is_too_far_away_ends_after_an_hour_with_a_probe(reset_in: float) -> None:
    """Milliseconds for seconds, or a clock that is hours off: the next response decides whether requests go on."""
    tracker = tracker_after((quota(0, reset_in=reset_in), 0.0))
    assert tracker.pause_remaining(1.0) == MAX_PAUSE + RESET_SLACK - 1.0
    now = MAX_PAUSE + RESET_SLACK
    assert (tracker.pause_remaining(now), tracker.is_probe_due) == (0.0, True)
    tracker.update(quota(0, reset_in=60.0), now, 0)
    assert (tracker.pause_remaining(now), tracker.is_probe_due) == (60.0 + RESET_SLACK, False)


def test_a_response_without_a_report_ends_the_probes() -> None:
    """Once the pause is over, a server that reports nothing any more limits nothing any more."""
    tracker = tracker_after((quota(0, reset_in=86_400.0), 0.0))
    tracker.update(None, 5.0, 0)
    assert tracker.is_probe_due
    tracker.update(None, MAX_PAUSE + 1.0, 0)
    assert not tracker.is_probe_due


def test_a_pause_until_an_honest_reset_needs_no_probe() -> None:
    """The limit itself decides what is sent after it."""
    assert not tracker_after((quota(0, reset_in=60.0), 0.0)).is_probe_due
    assert not tracker_after((quota(50, reset_in=86_400.0), 0.0)).is_probe_due


def test_a_probe_of_the_minute_waits_an_hour_at_most() -> None:
    """A reset that is too far away does not end the probes for good."""
    reset, _ = reset_after((quota(0, limit=3, reset_in=86_400.0), 1.0))
    assert reset.seconds_until_probe(1.0) == MAX_PAUSE + RESET_SLACK


def reset_after(*reports: tuple[Quota | None, float]) -> tuple[WindowReset, int | None]:
    """A limit of three a minute, after the responses to requests that were each alone; with the last result."""
    reset = WindowReset(3, 60.0)
    counted = None
    for report, now in reports:
        reset.on_sent(0)
        counted = reset.on_response(report, now)
    return reset, counted


def test_a_probe_waits_for_the_latest_reported_reset() -> None:
    """Responses arrive in any order: the latest reset counts."""
    reset, _ = reset_after((quota(1, limit=3, reset_in=20.0), 1.0), (quota(0, limit=3, reset_in=5.0), 2.0))
    assert reset.seconds_until_probe(2.0) == pytest.approx(19.0 + RESET_SLACK)
    assert reset.seconds_until_probe(30.0) == 0.0


@pytest.mark.parametrize(("remaining", "seconds"), [((2, 1), 0.0), ((2, 0), 9.0 + RESET_SLACK)])
def test_a_probe_may_be_sent_at_once_if_each_response_left_something(
    remaining: tuple[int, int], seconds: float
) -> None:
    """One of the requests that were in flight together is the last that the server counted."""
    reset, _ = reset_after()
    for in_flight, each in enumerate(remaining):
        reset.on_sent(in_flight)
        reset.on_response(quota(each, limit=3, reset_in=10.0), 1.0)
    assert reset.seconds_until_probe(2.0) == pytest.approx(seconds)


def test_an_unused_permit_reports_nothing() -> None:
    """What earlier responses left does not count any more, so the probe waits for the reset."""
    reset, _ = reset_after((quota(1, limit=3, reset_in=10.0), 1.0))
    reset.on_sent(0)
    assert reset.seconds_until_probe(2.0) == pytest.approx(9.0 + RESET_SLACK)


@pytest.mark.parametrize("report", [None, quota(0, limit=10, reset_in=1.0), quota(0, limit=None, reset_in=1.0)])
def test_no_probe_is_sent_for_a_minute_after_a_response_without_the_count(report: Quota | None) -> None:
    """After a response with no count, or with another one, only our own window counts."""
    reset, _ = reset_after((quota(0, limit=3, reset_in=1.0), 1.0))
    assert reset.seconds_until_probe(50.0) == 0.0
    reset, _ = reset_after((quota(0, limit=3, reset_in=1.0), 1.0), (report, 2.0))
    assert reset.seconds_until_probe(50.0) == float("inf")


def test_no_probe_is_sent_without_reports() -> None:
    """Without a reported reset there is no time for a probe."""
    reset, _ = reset_after()
    assert reset.seconds_until_probe(1000.0) == float("inf")


def test_no_probe_is_sent_after_a_429() -> None:
    """Once disabled, reports count no more."""
    reset, _ = reset_after((quota(2, limit=3, reset_in=1.0), 1.0))
    reset.disable()
    assert reset.seconds_until_probe(50.0) == float("inf")
    assert reset.on_response(quota(2, limit=3, reset_in=59.0), 51.0) is None


@pytest.mark.parametrize(("remaining", "counted"), [(2, 1), (1, 2), (0, 3)])
def test_the_response_to_a_probe_holds_the_new_count(remaining: int, counted: int) -> None:
    """What the server counts, other users' requests included, is what stays occupied."""
    assert reset_after((quota(remaining, limit=3, reset_in=59.0), 40.0))[1] == counted


@pytest.mark.parametrize(
    ("report", "in_flight"), [(quota(2, limit=3), 1), (quota(2, limit=3, reset_in=20.0), 0), (quota(9, limit=10), 0)]
)
def test_a_count_that_may_be_incomplete_frees_nothing(report: Quota, in_flight: int) -> None:
    """Neither with another request in flight, nor late in a period, nor with the count of something else."""
    reset, _ = reset_after()
    reset.on_sent(in_flight)
    assert reset.on_response(report, 40.0) is None


def test_a_lost_request_keeps_all_slots_for_a_minute() -> None:
    """A request without a response may still reach the server, and be counted after its successors."""
    assert reset_after((None, 10.0), (quota(2, limit=3), 60.0))[1] is None
    assert reset_after((None, 10.0), (quota(2, limit=3), 71.0))[1] == 1


def test_a_request_that_may_still_arrive_keeps_all_slots_after_later_ones() -> None:
    """An earlier response without a count does not shorten the time in which a lost request may be counted."""
    reset, _ = reset_after((quota(0, limit=3, reset_in=1.0), 1.0), (None, 30.0), (None, 10.0))
    assert reset.seconds_until_probe(89.0) == float("inf")
    assert reset.seconds_until_probe(91.0) == 0.0
