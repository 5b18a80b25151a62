"""A sliding window of requests, and how long many requests take under several of them."""

from collections import deque
from collections.abc import Sequence
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
        while self.answered and self.answered[0] + self.period <= now:
            self.answered.popleft()
        missing = in_flight + len(self.answered) + nth - self.limit
        if missing < 0:
            return 0.0
        if missing < len(self.answered):
            return self.answered[missing] + self.period - now
        return None


def forecast(
    windows: Sequence[Window], requests: int, *, in_flight: int, now: float, start: float, interval: float
) -> float:
    """Seconds until the last of so many requests can go: the first at *start* or later, each *interval* after the last.

    Those in flight are taken to be answered now, and each of the others at once.
    """
    if requests < 1:
        return 0.0
    frees = [_slots(window, in_flight, now) for window in windows]
    cycle = lcm(*(window.limit for window in windows))
    # Once every window has been used up, each cycle is like the one before.
    cycles, simulated = divmod(requests - 1, cycle)
    times: list[float] = []
    for _ in range(min(requests, simulated + 1 + 2 * cycle)):
        at = max([times[-1] + interval if times else start, *(slots[0] for slots in frees)])
        for slots, window in zip(frees, windows, strict=True):
            slots.popleft()
            slots.append(at + window.period)
        times.append(at)
    if cycles <= 2:
        return times[-1]
    return times[-1] + (cycles - 2) * (times[-1] - times[-1 - cycle])


def _slots(window: Window, in_flight: int, now: float) -> deque[float]:
    """When each slot of a window is free, the first one first."""
    held = [max(0.0, answered + window.period - now) for answered in window.answered] + [window.period] * in_flight
    return deque([0.0] * (window.limit - len(held)) + sorted(held)[-window.limit :])
