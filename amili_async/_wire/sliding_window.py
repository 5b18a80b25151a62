"""Sliding windows of requests, what a token bucket would have instead, and how long many requests take."""

from collections import deque
from collections.abc import Sequence
from copy import copy
from math import inf, lcm

from amili_async.policies import Quota


class SlidingWindow:
    """At most *limit* requests in any *period* seconds."""

    MARGIN = 0.005
    """Seconds added to the period: clocks differ in their last digits."""

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period + self.MARGIN
        self.answered: deque[float] = deque()

    def wait_for(self, nth: int, in_flight: int, now: float) -> float | None:
        """Seconds until the *nth* of those waiting (0 is the next) can go; `None` where that needs an answer first."""
        if in_flight + len(self.answered) + nth < self.limit:
            return 0.0
        while self.answered and self.answered[0] + self.period <= now:
            self.answered.popleft()
        missing = in_flight + len(self.answered) + nth - self.limit
        if missing < 0:
            return 0.0
        if missing < len(self.answered):
            return self.answered[missing] + self.period - now
        return None

    def keep(self, count: int) -> None:
        """Free all slots but the latest *count*."""
        while len(self.answered) > count:
            self.answered.popleft()


class TokenBucketProbe:
    """A token bucket of *size* that the server may have instead of windows: it would refuse a second burst.

    The law: while the next request could be the first that such a server refuses, at most `MAX_PROBES` are in flight,
    and one more each time that no answer came for as long as `PATIENCE`. That is over once the server has refused
    one, or has let through more than a bucket could.
    """

    MAX_PROBES = 3
    PATIENCE = 0.25
    """Seconds: who is answered more slowly than that could else never show that it is no bucket."""

    def __init__(self, size: int, *, rate: float, is_possible: bool) -> None:
        self._size = size
        self._rate = rate
        self._left = float(size)
        self._at = 0.0
        self.sent_at = 0.0
        """When the latest request went."""
        self.is_possible = is_possible
        """Whether the server may have one, and has not refused anything yet."""

    def wait_for(self, in_flight: int, now: float) -> float:
        """Seconds until the next can go, if no answer comes before."""
        if not self.is_possible or in_flight < self.MAX_PROBES or in_flight + 1 <= self._left_at(now):
            return 0.0
        return max(0.0, self.sent_at + self.PATIENCE - now)

    def take(self, now: float) -> None:
        """A request was let through."""
        if self.is_possible:
            self._left = self._left_at(now) - 1
            self._at = now
            self.is_possible = self._left >= -1

    def _left_at(self, now: float) -> float:
        return min(self._size, self._left + (now - self._at) * self._rate)


class TokenBucket:
    """An even pace: one request each *interval* from *start* on, and up to *burst* at once where as many did not go."""

    def __init__(self, interval: float, *, burst: int, start: float) -> None:
        self._interval = interval
        self._leeway = (burst - 1) * interval
        self._next_at = start + self._leeway

    def wait_for(self, nth: int, now: float) -> float:
        """Seconds until the *nth* of those waiting (0 is the next) can go."""
        return max(0.0, self._next_at + nth * self._interval - self._leeway - now)

    def take(self, now: float) -> None:
        """One goes."""
        self._next_at = max(self._next_at, now) + self._interval


def forecast(
    windows: Sequence[SlidingWindow],
    requests: int,
    *,
    in_flight: int,
    now: float,
    start: float,
    pace: TokenBucket | None,
) -> float:
    """Seconds until the last of so many requests can go, the first at *start* or later, at that pace if there is one.

    Those in flight are taken to be answered now, and each of the others at once.
    """
    if requests < 1:
        return 0.0
    frees = [_slots(window, in_flight, now) for window in windows]
    cycle = lcm(*(window.limit for window in windows))
    # Once every window has been used up, each cycle is like the one before.
    cycles, simulated = divmod(requests - 1, cycle)
    times = [start]
    pace = copy(pace)
    for _ in range(min(requests, simulated + 1 + 2 * cycle)):
        at = max(times[-1], pace.wait_for(0, now) if pace else 0.0, *(slots[0] for slots in frees))
        for slots, window in zip(frees, windows, strict=True):
            slots.popleft()
            slots.append(at + window.period)
        if pace is not None:
            pace.take(now + at)
        times.append(at)
    if cycles <= 2:
        return times[-1]
    return times[-1] + (cycles - 2) * (times[-1] - times[-1 - cycle])


def _slots(window: SlidingWindow, in_flight: int, now: float) -> deque[float]:
    """When each slot of a window is free, the first one first."""
    held = [max(0.0, answered + window.period - now) for answered in window.answered] + [window.period] * in_flight
    return deque([0.0] * (window.limit - len(held)) + sorted(held)[-window.limit :])


class QuotaTracker:
    """The quota of the period that is running, and who has used how much of it."""

    SLACK = 0.25
    """Seconds of silence beyond the reset."""

    def __init__(self) -> None:
        self.sent = 0
        self._limit = 0
        self._others = 0
        self._reset_at: float | None = None
        self._silent_until = 0.0
        self._was_told = False

    def update(self, quota: Quota, now: float, in_flight: int) -> bool:
        """Note what the server said; true the first time in a period that it means silence."""
        reset_at = now + quota.reset_in
        if self._reset_at is None or now >= self._reset_at or reset_at > self._reset_at + 2.0:
            self._reset_at = self._silent_until = reset_at
            self.sent = in_flight + 1
            self._others = 0
            self._was_told = False
            self._limit = quota.limit if quota.limit is not None else quota.remaining + self.sent
        # Eve moves its reset back with each request, and only silence until the last of them ends the block.
        self._silent_until = max(self._silent_until, reset_at)
        # The answers of one burst come in any order: the last of them in the server's order shows the true sum.
        self._others = max(self._others, self._limit - quota.remaining - self.sent)
        is_news = not self._was_told and self.pause_remaining(now) > 0
        self._was_told |= is_news
        return is_news

    def reset_in(self, now: float) -> float:
        """Seconds until the server starts counting anew; 0 where that is not known."""
        return max(0.0, self._reset_at - now) if self._reset_at is not None else 0.0

    def pause_remaining(self, now: float) -> float:
        """Seconds until the next request, where the quota is used up."""
        if self._reset_at is None or now >= self._silent_until + self.SLACK:
            return 0.0
        return self._silent_until + self.SLACK - now if self._limit - self._others <= self.sent else 0.0


class WindowReset:
    """When our count of a minute may begin anew because the server's own does: clock-aligned windows tell nobody else.

    The law: while none of ours is on its way, one request may go and ask, however full our window is, if the server
    has room for it by its own word: where each of those that were last on their way together was told that something
    is left, since one of them was the last that the server counted; or where every reset that was told has passed,
    since then something has left its count. What the answer to it counts is all that is counted.

    It holds for sliding windows, whose reset is when the oldest request leaves, as for those that begin anew; and only
    while each answer tells the count of the minute.
    """

    def __init__(self, minute: SlidingWindow | None) -> None:
        self.minute = minute
        """Our count; `None` where the server's cannot be told from another, or is not to be believed."""
        self._was_alone = False
        self._least_left = inf
        self._reset_at = -inf
        self._untold_at = -inf

    def send(self, in_flight: int) -> None:
        """A request goes, while so many are on their way."""
        self._was_alone = in_flight == 0
        if self._was_alone:
            self._least_left = inf

    def update(self, quota: Quota | None, now: float) -> None:
        """Note what an answer said."""
        if self.minute is None or quota is None or quota.limit != self.minute.limit:
            self._untold_at = now  # a request without an answer can still reach the server
            return
        self._least_left = min(self._least_left, quota.remaining)
        self._reset_at = max(self._reset_at, now + quota.reset_in)
        if self._was_alone and self._is_told(now) and quota.reset_in > self.minute.period / 2:
            self.minute.keep(quota.limit - quota.remaining)

    def seconds_until_probe(self, now: float) -> float:
        """Seconds until one request may go and ask, if none is on its way; without end where nothing was told."""
        if not self._is_told(now) or self._reset_at == -inf:
            return inf
        return 0.0 if 1 <= self._least_left < inf else max(0.0, self._reset_at + QuotaTracker.SLACK - now)

    def _is_told(self, now: float) -> bool:
        return self.minute is not None and now - self._untold_at > self.minute.period
