"""What the server reports of its own count in `X-RateLimit-*`, and what follows from it for ours.

Invariant: a report makes a client send less than its own windows allow, or, by one probe at a time, earlier; it never
makes it send more than either count allows.
"""

from math import inf

from amili_async.policies import Quota

MAX_PAUSE = 3600.0
"""Seconds after which one request is sent even if a longer pause was demanded or reported: it may be a mistake, such as
milliseconds for seconds or a clock that is hours off, and only a response can show that."""
RESET_SLACK = 0.25
"""Seconds after a reported reset before anything is sent: headers hold whole seconds, and clocks differ."""
RESET_JITTER = 2.0
"""Seconds by which the reset of one period may move between responses: it is rounded, and the responses are delayed."""


class QuotaTracker:
    """The quota of the current period: how much of it this client and the other users of the key have used."""

    def __init__(self) -> None:
        self.sent = 0
        """Requests that this client sent in the period, as far as it can know."""
        self._limit = 0
        self._others = 0
        self._reset_at: float | None = None
        self._paused_until = 0.0
        self._is_capped = False
        self._is_pause_reported = False

    @property
    def is_probe_due(self) -> bool:
        """Whether the end of a pause is our own guess, since the server reported a reset that is too far away."""
        return self._is_capped and self._is_used_up(0)

    def update(self, quota: Quota | None, now: float, in_flight: int) -> bool:
        """Add the report of one response, if it has one; true for the first in a period that demands a pause."""
        if quota is None:
            self._is_capped &= now < self._paused_until
            return False
        reset_at = now + min(quota.reset_in, MAX_PAUSE)
        if self._reset_at is None or now >= self._reset_at or reset_at > self._reset_at + RESET_JITTER:
            self._reset_at = self._paused_until = reset_at
            self.sent = in_flight + 1
            self._others = 0
            self._is_capped = self._is_pause_reported = False
            self._limit = quota.limit if quota.limit is not None else quota.remaining + self.sent
        # Eve's limiter (`eve.methods.common.RateLimit`) postpones its reset with each request, and a rejected one
        # prolongs the block: only silence until the latest of these resets ends it.
        self._paused_until = max(self._paused_until, reset_at)
        self._is_capped |= quota.reset_in > MAX_PAUSE
        # The responses of a burst arrive in any order, and an early one has not counted the rest of the burst. The
        # largest difference is the one that the server counted last.
        self._others = max(self._others, self._limit - quota.remaining - self.sent)
        is_news = not self._is_pause_reported and self.pause_remaining(now) > 0
        self._is_pause_reported |= is_news
        return is_news

    def reset_in(self, now: float) -> float:
        """Seconds until the reported reset; 0 if there is none."""
        return max(0.0, self._reset_at - now) if self._reset_at is not None else 0.0

    def remaining(self, now: float) -> int | None:
        """How much of the quota is left, by our own count since the report; `None` without one."""
        if self._reset_at is None or now >= self._reset_at:
            return None
        return max(0, self._limit - self._others - self.sent)

    def pause_remaining(self, now: float, kept: int = 0) -> float:
        """Seconds until the next request may be sent, if no more than *kept* of the quota is left; else 0."""
        if self._reset_at is None or now >= self._paused_until + RESET_SLACK:
            return 0.0
        return self._paused_until + RESET_SLACK - now if self._is_used_up(kept) else 0.0

    def _is_used_up(self, kept: int) -> bool:
        # Counted from our own requests since the report: with several in flight, `remaining: 0` arrives too late.
        return self._limit - self._others - kept <= self.sent


class WindowReset:
    """When our minute window may be rebuilt from the server's count, because the server may have started another.

    Windows aligned to the clock start again before ours has passed, and only their headers show it. When our minute
    window is full but nothing is in flight, one probe request is allowed if the headers show spare quota: either every
    response of the last batch reported `remaining >= 1`, or every reported reset has passed. The window is then rebuilt
    from the response to the probe.

    Invariant: one probe at a time, and only while each response of a whole period reported the count of the minute. So
    the probe is correct for sliding windows too, whose reset is when their oldest request leaves them.
    """

    def __init__(self, limit: int | None, period: float) -> None:
        self._limit = limit
        self._period = period
        self._is_probe = False
        self._least_remaining = inf
        self._latest_reset = -inf
        self._unreported_at = -inf

    def disable(self) -> None:
        """Never probe again: after a 429 the server counts something that its headers do not show."""
        self._limit = None

    def on_sent(self, in_flight: int) -> None:
        """A request is sent while so many others are in flight."""
        self._is_probe = in_flight == 0
        if self._is_probe:
            self._least_remaining = inf

    def on_response(self, quota: Quota | None, now: float) -> int | None:
        """Add a report; returns how many requests the minute window holds now if this responds to a probe."""
        if self._limit is None or quota is None or quota.limit != self._limit:
            # Another count (per second, per day), or none. A request without a response counts here too, at the latest
            # time that it can still reach the server, where it may be counted after its successors.
            self._unreported_at = max(self._unreported_at, now)
            return None
        # Of the requests that were in flight together one was counted last; which one, the order does not show.
        self._least_remaining = min(self._least_remaining, quota.remaining)
        self._latest_reset = max(self._latest_reset, now + min(quota.reset_in, MAX_PAUSE))
        # A count below ours is believed only early in a period, when the server has just started it. Later it would
        # mean that the server leaves something out, such as requests that a proxy still holds.
        if self._is_probe and self._is_reported(now) and quota.reset_in > self._period / 2:
            return quota.limit - quota.remaining
        return None

    def seconds_until_probe(self, now: float, kept: int = 0) -> float:
        """Seconds until a probe may be sent that leaves *kept*, if nothing is in flight; infinite without reports."""
        if not self._is_reported(now) or self._latest_reset == -inf:
            return inf
        return 0.0 if kept < self._least_remaining < inf else max(0.0, self._latest_reset + RESET_SLACK - now)

    def _is_reported(self, now: float) -> bool:
        return self._limit is not None and now - self._unreported_at > self._period
