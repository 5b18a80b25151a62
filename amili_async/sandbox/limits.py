"""The server's rate limit: strict sliding windows over the requests of the one API key."""

import math
from collections import deque
from collections.abc import Sequence

from msgspec import Struct


class RateWindow(Struct, frozen=True):
    """At most so many requests in any span of so many seconds."""

    requests: int
    seconds: float

    def __post_init__(self) -> None:
        if self.requests < 1 or self.seconds <= 0:
            raise ValueError(
                f"a rate window needs at least one request and a positive number of seconds, "
                f"not {self.requests} in {self.seconds}"
            )


AMILI_LIMITS = (RateWindow(100, 60.0), RateWindow(10, 1.0))


class Admission(Struct, frozen=True):
    """Whether a request is admitted, and the state of the window with the fewest requests left."""

    allowed: bool
    limit: int
    remaining: int
    wait: float
    """Seconds until every window admits the next request; 0.0 if they do already."""
    resets_in: float
    """Seconds until the oldest counted request leaves that window."""


class RequestLimiter:
    """Counts the requests of one API key. *count_rejected*: a rejected one prolongs the block, as in Eve 2.3."""

    def __init__(self, windows: Sequence[RateWindow], *, count_rejected: bool = False) -> None:
        self._windows = windows
        self._count_rejected = count_rejected
        self._counted: deque[float] = deque(maxlen=max(window.requests for window in windows))

    def admit(self, now: float) -> Admission:
        """Count a request that arrived *now*, and decide whether it is admitted."""
        allowed = all(self._wait(window, now) == 0 for window in self._windows)
        if allowed or self._count_rejected:
            self._counted.append(now)
        tightest = min(self._windows, key=lambda window: (self._remaining(window, now), -self._wait(window, now)))
        return Admission(
            allowed=allowed,
            limit=tightest.requests,
            remaining=self._remaining(tightest, now),
            wait=max(self._wait(window, now) for window in self._windows),
            resets_in=self._resets_in(tightest, now),
        )

    def _wait(self, window: RateWindow, now: float) -> float:
        if len(self._counted) < window.requests:
            return 0.0
        return max(0.0, self._counted[-window.requests] + window.seconds - now)

    def _remaining(self, window: RateWindow, now: float) -> int:
        return max(0, window.requests - sum(at + window.seconds > now for at in self._counted))

    def _resets_in(self, window: RateWindow, now: float) -> float:
        return next((at + window.seconds - now for at in self._counted if at + window.seconds > now), 0.0)


def limit_headers(admission: Admission, now: float) -> dict[str, str]:
    """The headers that report an admission; the reset in epoch seconds, as Eve 2.3 sends it."""
    headers = {
        "X-RateLimit-Limit": str(admission.limit),
        "X-RateLimit-Remaining": str(admission.remaining),
        "X-RateLimit-Reset": str(math.ceil(now + admission.resets_in)),
    }
    if not admission.allowed:
        headers["Retry-After"] = str(max(1, math.ceil(admission.wait)))
    return headers
