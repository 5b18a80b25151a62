"""Whether a request is within its budget: strict sliding windows, one set per API key."""

import math
from collections import deque
from collections.abc import Sequence

import msgspec


class RateWindow(msgspec.Struct, frozen=True):
    """At most so many requests in any span of so many seconds."""

    requests: int
    seconds: float

    def __post_init__(self) -> None:
        """Refuse a window that lets nothing or everything through."""
        if self.requests < 1 or self.seconds <= 0:
            raise ValueError("a rate window allows at least one request in a positive number of seconds")


AMILI_LIMITS = (RateWindow(100, 60.0), RateWindow(10, 1.0))


class Verdict(msgspec.Struct, frozen=True):
    """Whether a request may pass, and the state of the window that has the least left."""

    allowed: bool
    limit: int
    remaining: int
    wait: float
    """Seconds until that window lets the next one through; 0.0 while it still does."""
    resets_in: float
    """Seconds until that window gives back the next of what was used."""


class Budget:
    """What one API key has used.

    *counts_refused*: whether a refused request prolongs the block, as in Eve's own limiter.
    """

    def __init__(self, windows: Sequence[RateWindow], *, counts_refused: bool = False) -> None:
        self._windows = windows
        self._counts_refused = counts_refused
        self._used: deque[float] = deque(maxlen=max(window.requests for window in windows))

    def ask(self, now: float) -> Verdict:
        """Count a request that arrived *now*, and say whether it may pass."""
        allowed = all(self._wait(window, now) == 0 for window in self._windows)
        if allowed or self._counts_refused:
            self._used.append(now)
        tightest = min(self._windows, key=lambda window: (self._remaining(window, now), -self._wait(window, now)))
        return Verdict(
            allowed=allowed,
            limit=tightest.requests,
            remaining=self._remaining(tightest, now),
            wait=max(self._wait(window, now) for window in self._windows),
            resets_in=self._resets_in(tightest, now),
        )

    def _wait(self, window: RateWindow, now: float) -> float:
        if len(self._used) < window.requests:
            return 0.0
        return max(0.0, self._used[-window.requests] + window.seconds - now)

    def _remaining(self, window: RateWindow, now: float) -> int:
        return max(0, window.requests - sum(at + window.seconds > now for at in self._used))

    def _resets_in(self, window: RateWindow, now: float) -> float:
        return next((at + window.seconds - now for at in self._used if at + window.seconds > now), 0.0)


def limit_headers(verdict: Verdict, now: float) -> dict[str, str]:
    """The headers that tell a verdict; the reset in epoch seconds, as Eve writes it."""
    headers = {
        "X-RateLimit-Limit": str(verdict.limit),
        "X-RateLimit-Remaining": str(verdict.remaining),
        "X-RateLimit-Reset": str(math.ceil(now + verdict.resets_in)),
    }
    if not verdict.allowed:
        headers["Retry-After"] = str(max(1, math.ceil(verdict.wait)))
    return headers
