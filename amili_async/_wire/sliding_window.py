"""When the next request may be sent, as a pure rule: state and time in, seconds to wait out.

Invariant: a request occupies its slot until one window after its *response* arrived, not after it was sent. The server
counted it no later than that, so no delay in the network can put one request too many into any window of the server. A
request without a response may reach the server until its timeout, so it occupies its slot until one window after that.
Only `WindowReset` frees slots earlier, where the server's own count shows that it has started again.

After a 429 nothing is sent for as long as it demands, and from then on requests are also limited by a token bucket at
99 % of the rate, with a burst of one second's worth of requests: some servers do not count by sliding windows.
"""

from bisect import bisect_right, insort
from collections import deque
from copy import copy

from amili_async._wire.quota import MAX_PAUSE, QuotaTracker, WindowReset
from amili_async.policies import Quota, RateLimit

CLOCK_TOLERANCE = 0.005
"""Seconds added to each window: the server's clock and ours differ in their last digits."""
MIN_PAUSE = 1.0
"""Seconds: after `Retry-After: 0` all workers would otherwise retry at once, and be rejected again."""
MAX_FORECAST_STEPS = 500
"""Requests whose times a forecast computes one by one: the event loop stands still for about a millisecond."""
UNDERRUN = 0.99
"""Share of the rate that is used after a 429: at exactly the rate, clock drift alone would cause the next one."""


class SlidingWindow:
    """At most *limit* requests in any *period* seconds."""

    def __init__(self, limit: int, period: float, kept: int = 0) -> None:
        self.limit = limit
        self.kept = kept
        """Slots that streams leave free."""
        self.period = period + CLOCK_TOLERANCE
        self.counted: deque[float] = deque()
        """By when each request was counted, in order; those older than the period are dropped when it is full."""

    @property
    def spare(self) -> int:
        """Slots that streams may use."""
        return self.limit - self.kept

    def wait_for(self, nth: int, in_flight: int, now: float) -> float | None:
        """Seconds until the *nth* waiting request (0 is the next) may be sent; `None` if a response decides that."""
        if in_flight + len(self.counted) + nth < self.limit:
            return 0.0
        while self.counted and self.counted[0] + self.period <= now:
            self.counted.popleft()
        missing = in_flight + len(self.counted) + nth - self.limit
        if missing < 0:
            return 0.0
        if missing < len(self.counted):
            return self.counted[missing] + self.period - now
        return None

    def free(self, in_flight: int, now: float) -> int:
        """How many slots are free."""
        past = bisect_right(self.counted, now, key=lambda at: at + self.period)
        return max(0, self.limit - in_flight - (len(self.counted) - past))

    def seconds_until_free(self, now: float) -> float | None:
        """Seconds until the next of the used slots is free; `None` if none is used, or by requests in flight only."""
        return next((at + self.period - now for at in self.counted if at + self.period > now), None)

    def keep(self, count: int) -> None:
        """Free all slots but the latest *count*."""
        while len(self.counted) > count:
            self.counted.popleft()


class TokenBucket:
    """One request each *interval* seconds from *start* on; up to *burst* at once after a time with fewer."""

    def __init__(self, interval: float, *, burst: int, start: float) -> None:
        self.interval = interval
        self._leeway = (burst - 1) * interval
        # Empty at the start, not full: a burst right after a 429 would cause another.
        self._next_at = start + self._leeway

    def wait_for(self, nth: int, now: float) -> float:
        """Seconds until the *nth* waiting request (0 is the next) may be sent."""
        return max(0.0, self._next_at + nth * self.interval - self._leeway - now)

    def on_sent(self, now: float) -> None:
        """A request is sent."""
        self._next_at = max(self._next_at, now) + self.interval


class RequestSchedule:
    """When requests may be sent: both windows, the server's own count, and what follows from a 429.

    Without a limit only pauses remain: after a 429, and if the server reports that the quota is used up.
    """

    def __init__(self, limit: RateLimit | None) -> None:
        self.in_flight = 0
        """Requests that hold a permit."""
        self._limit = limit
        self._reserve = limit.reserve if limit else 0
        self._windows: list[SlidingWindow] = []
        if limit is not None:
            kept = 1 if limit.reserve and limit.per_second > 1 else 0
            self._windows.append(SlidingWindow(limit.per_second, 1.0, kept))
            self._windows.append(SlidingWindow(limit.per_minute, 60.0, limit.reserve))
        self.paused_until = 0.0
        """End of the pause after the last 429."""
        self._is_pause_capped = False
        self._bucket: TokenBucket | None = None
        self._quota = QuotaTracker()
        # With equal limits a report does not show which of the two windows it is about.
        is_distinct = limit is not None and limit.per_minute != limit.per_second
        self._window_reset = WindowReset(limit.per_minute if limit and is_distinct else None, 60.0 + CLOCK_TOLERANCE)

    def wait(self, now: float, nth: int = 0, *, keeps_reserve: bool = False) -> float | None:
        """Seconds until the *nth* waiting request (0 is the next) may be sent; `None` if a response decides that.

        One that *keeps_reserve* is sent only if the slots that its window keeps stay free.
        """
        wait = self.pause_remaining(now, self._reserve if keeps_reserve else 0)
        if (self.in_flight or nth) and wait == 0.0 and (self._is_pause_capped or self._quota.is_probe_due):
            return None  # one probe: only its response shows whether the pause that was cut short is over
        if self._bucket is not None:
            wait = max(wait, self._bucket.wait_for(nth, now))
        for window in self._windows:
            kept = window.kept if keeps_reserve else 0
            free = window.wait_for(nth + kept, self.in_flight, now)
            if free is None:
                return None
            if free > wait and window is self._windows[-1] and self.in_flight == nth == 0:
                free = min(free, self._window_reset.seconds_until_probe(now, kept))
            wait = max(wait, free)
        return wait

    def pause_remaining(self, now: float, kept: int = 0) -> float:
        """Seconds until any request may be sent, after a 429 or with all of the server's quota but *kept* used up."""
        return max(0.0, self.paused_until - now, self._quota.pause_remaining(now, kept))

    def remaining(self, now: float) -> int | None:
        """How many requests may still be sent in this minute; `None` without a limit."""
        if self._limit is None:
            return None
        if self.pause_remaining(now) > 0.0:
            return 0
        free, left = self._windows[-1].free(self.in_flight, now), self._quota.remaining(now)
        return free if left is None else min(free, left)

    def seconds_until_more(self, now: float) -> float | None:
        """Seconds until `remaining` grows; `None` if nothing is used up, or if a response decides that."""
        pause = self.pause_remaining(now)
        if pause > 0.0 or not self._windows:
            return pause or None
        return self._windows[-1].seconds_until_free(now)

    def on_sent(self, now: float) -> None:
        """A request gets its permit."""
        self._window_reset.on_sent(self.in_flight)
        self.in_flight += 1
        self._quota.sent += 1
        if self._bucket is not None:
            self._bucket.on_sent(now)

    def on_unused(self) -> None:
        """A permit was not used: nothing was sent."""
        self.in_flight -= 1
        self._quota.sent -= 1

    def on_no_response(self, counted_by: float) -> None:
        """No response will arrive, and the server counts the request by then, if it ever does."""
        self._occupy(counted_by)
        self._window_reset.on_response(None, counted_by)

    def on_response(self, quota: Quota | None, now: float) -> float | None:
        """A response arrived; returns the seconds of a pause that the reported quota starts."""
        self._occupy(now)
        if now >= self.paused_until:
            self._is_pause_capped = False
        counted = self._window_reset.on_response(quota, now)
        if counted is not None:
            self._windows[-1].keep(counted)
        if quota is not None and self._limit is not None and quota.limit not in {None, self._limit.per_minute}:
            quota = None  # of another count, such as the second's: ours of the minute would stop until its reset
        return self._quota.pause_remaining(now) if self._quota.update(quota, now, self.in_flight) else None

    def _occupy(self, counted_by: float) -> None:
        """Turn a permit into a slot of each window, for a request that the server counts no later than that."""
        self.in_flight -= 1
        for window in self._windows:
            if window.counted and window.counted[-1] > counted_by:  # a request without a response, which may be late
                insort(window.counted, counted_by)
            else:
                window.counted.append(counted_by)

    def on_rate_limited(self, seconds: float | None, now: float) -> float:
        """A 429 arrived; returns the seconds of the pause that it demands, which may be longer than the pause made."""
        # Without Retry-After a whole minute: Eve's limiter sends none, and each further request prolongs its block.
        demanded = max(seconds if seconds is not None else self._quota.reset_in(now) or 60.0, MIN_PAUSE)
        self.paused_until = max(self.paused_until, now + min(demanded, MAX_PAUSE))
        self._is_pause_capped |= demanded > MAX_PAUSE
        if self._limit is not None:
            interval = 60.0 / max(1.0, self._limit.per_minute * UNDERRUN)
            self._bucket = TokenBucket(interval, burst=self._limit.per_second, start=self.paused_until)
        self._window_reset.disable()
        return demanded

    def forecast(self, requests: int, now: float) -> float:
        """Seconds until the last of so many requests of a stream may be sent, if each gets its response at once."""
        rates = [(window.period / window.spare, window.spare) for window in self._windows]
        bucket = copy(self._bucket)
        if bucket is not None:
            rates.append((bucket.interval, 1))
        # Once all slots have been used, the slowest limit decides, and the times repeat with its count as their period:
        # whole periods are skipped, so that the millionth request costs no more than the first ones.
        interval, cycle = max(rates, default=(0.0, 1))
        skipped = max(0, requests - MAX_FORECAST_STEPS)
        if cycle <= MAX_FORECAST_STEPS // 2:
            skipped += -skipped % cycle
        at = self.pause_remaining(now) if requests > 0 else 0.0
        slots = [_free_at(window, self.in_flight, now) for window in self._windows]
        for _ in range(requests - skipped):
            at = max(at, bucket.wait_for(0, now) if bucket else 0.0, *(free[0] for free in slots))
            for free, window in zip(slots, self._windows, strict=True):
                free.popleft()
                free.append(at + window.period)
            if bucket is not None:
                bucket.on_sent(now + at)
        return at + skipped * interval


def _free_at(window: SlidingWindow, in_flight: int, now: float) -> deque[float]:
    """In how many seconds each slot that streams may use is free, sorted; requests in flight get their response now."""
    used = [max(0.0, counted + window.period - now) for counted in window.counted] + [window.period] * in_flight
    return deque([0.0] * min(window.spare - len(used), MAX_FORECAST_STEPS) + sorted(used)[-window.spare :])
