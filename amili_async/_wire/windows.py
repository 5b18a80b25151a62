"""Sliding windows of requests, what a token bucket would have instead, and how long many requests take."""

from collections import deque
from collections.abc import Sequence
from copy import copy
from math import lcm


class Window:
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


class Bucket:
    """A token bucket of *size* that the server may have instead of windows: it would refuse a second burst.

    The law: while the next request could be the first that such a server refuses, at most `FEELERS` are in flight,
    and one more each time that no answer came for as long as `PATIENCE`. That is over once the server has refused
    one, or has let through more than a bucket could.
    """

    FEELERS = 3
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
        if not self.is_possible or in_flight < self.FEELERS or in_flight + 1 <= self._left_at(now):
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


class Pace:
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
    windows: Sequence[Window], requests: int, *, in_flight: int, now: float, start: float, pace: Pace | None
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


def _slots(window: Window, in_flight: int, now: float) -> deque[float]:
    """When each slot of a window is free, the first one first."""
    held = [max(0.0, answered + window.period - now) for answered in window.answered] + [window.period] * in_flight
    return deque([0.0] * (window.limit - len(held)) + sorted(held)[-window.limit :])
