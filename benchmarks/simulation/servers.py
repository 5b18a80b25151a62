"""Models of a server that limits to 100 requests per minute and 10 per second, and the fastest way to use each.

The API does not document how it counts, so the client must do well with every model. All times are virtual seconds
since the first request.
"""

import random
from collections import deque
from math import ceil, floor
from typing import ClassVar

from msgspec import Struct

from amili_async.policies import Quota

PER_MINUTE, PER_SECOND = 100, 10
WINDOWS = ((PER_SECOND, 1.0), (PER_MINUTE, 60.0))
"""Limit and seconds of each window."""
TICK = 1e-6
"""Seconds added to the end of a window, so that float rounding cannot place a time just before it."""


class ServerResponse(Struct, frozen=True, kw_only=True):
    """The part of a response that concerns a rate limiter."""

    is_rate_limited: bool = False
    """Whether this is a 429."""
    retry_after: float | None = None
    """Its `Retry-After` header: whole seconds."""
    quota: Quota | None = None
    """Its `X-RateLimit-*` headers, parsed."""


class ServerModel:
    """A server without `X-RateLimit-*` headers; each model defines when it accepts the next request.

    The seed decides the phase of the server's clock.
    """

    label: ClassVar[str]

    def __init__(self, seed: int) -> None:
        raise NotImplementedError

    def next_free(self, now: float) -> float:
        """The earliest time, not before *now*, at which it accepts another request."""
        raise NotImplementedError

    def count(self, now: float) -> None:
        """Count an accepted request."""
        raise NotImplementedError

    def receive(self, now: float) -> ServerResponse:
        """Accept a request that arrives at *now*, or reject it with a 429."""
        free_at = self.next_free(now)
        if free_at > now:
            return ServerResponse(is_rate_limited=True, retry_after=float(max(1, ceil(free_at - now))))
        self.count(now)
        return ServerResponse()


def find_optimum(server: ServerModel, requests: int) -> float:
    """Seconds from the first to the last of *requests* requests, for a client that knows the server's state."""
    now = 0.0
    for _ in range(requests):
        now = server.next_free(now)
        server.count(now)
    return now


class SlidingWindowServer(ServerModel):
    """The limit taken literally: at most 100 requests in any 60 seconds and 10 in any second."""

    label = "sliding windows"

    def __init__(self, _seed: int) -> None:
        self._seen: deque[float] = deque(maxlen=PER_MINUTE)

    def next_free(self, now: float) -> float:
        for limit, period in WINDOWS:
            if len(self._seen) >= limit:
                now = max(now, self._seen[-limit] + period)
        return now

    def count(self, now: float) -> None:
        self._seen.append(now)


class SlidingWindowServerWithQuota(SlidingWindowServer):
    """With headers; `Reset` is when the oldest request leaves the minute window, rounded up."""

    label = "sliding windows with X-RateLimit headers"

    def receive(self, now: float) -> ServerResponse:
        response = super().receive(now)
        seen = [at for at in self._seen if at > now - 60.0]
        quota = Quota(limit=PER_MINUTE, remaining=PER_MINUTE - len(seen), reset_in=float(ceil(seen[0] + 60.0 - now)))
        return ServerResponse(is_rate_limited=response.is_rate_limited, retry_after=response.retry_after, quota=quota)


class SlidingWindowServerWithTightestQuota(SlidingWindowServer):
    """With headers about the window that has the least left: mostly the second's."""

    label = "sliding windows with X-RateLimit headers of the tightest"

    def receive(self, now: float) -> ServerResponse:
        response = super().receive(now)
        windows = [(limit, [at for at in self._seen if at > now - period], period) for limit, period in WINDOWS]
        limit, seen, period = min(windows, key=lambda window: window[0] - len(window[1]))
        # Both are whole seconds: the reset is rounded up, and the `Date` with which the client compares it down.
        quota = Quota(limit=limit, remaining=limit - len(seen), reset_in=float(ceil(seen[0] + period) - floor(now)))
        return ServerResponse(is_rate_limited=response.is_rate_limited, retry_after=response.retry_after, quota=quota)


class AlignedWindowServer(ServerModel):
    """Fixed windows: one count per second and one per minute of the server's clock."""

    label = "clock-aligned windows"

    def __init__(self, seed: int) -> None:
        self._phase = random.Random(seed).uniform(0.0, 60.0)
        self._minute = self._second = -1
        self._in_minute = self._in_second = 0

    def next_free(self, now: float) -> float:
        clock = now + self._phase
        if floor(clock / 60.0) == self._minute and self._in_minute >= PER_MINUTE:
            return (self._minute + 1) * 60.0 - self._phase + TICK
        if floor(clock) == self._second and self._in_second >= PER_SECOND:
            return max(now, self._second + 1 - self._phase + TICK)
        return now

    def count(self, now: float) -> None:
        clock = now + self._phase
        if floor(clock / 60.0) != self._minute:
            self._minute, self._in_minute = floor(clock / 60.0), 0
        if floor(clock) != self._second:
            self._second, self._in_second = floor(clock), 0
        self._in_minute += 1
        self._in_second += 1


class AlignedWindowServerWithQuota(AlignedWindowServer):
    """With headers; `Reset` is the next minute, relative to a `Date` header of whole seconds."""

    label = "clock-aligned windows with X-RateLimit headers"

    def receive(self, now: float) -> ServerResponse:
        response = super().receive(now)
        clock = now + self._phase
        # The client computes Reset minus Date, and Date has no fraction: it may seem up to a second longer than it is.
        remaining = PER_MINUTE - self._in_minute
        reset_in = (floor(clock / 60.0) + 1) * 60.0 - floor(clock)
        quota = Quota(limit=PER_MINUTE, remaining=remaining, reset_in=reset_in)
        return ServerResponse(is_rate_limited=response.is_rate_limited, retry_after=response.retry_after, quota=quota)


class TokenBucketServer(ServerModel):
    """A bucket of 10 tokens, refilled at 100 per minute."""

    label = "token bucket"

    def __init__(self, _seed: int) -> None:
        self._tokens = float(PER_SECOND)
        self._at = 0.0

    def next_free(self, now: float) -> float:
        return max(now, self._at + (1.0 - self._tokens) * 60.0 / PER_MINUTE)

    def count(self, now: float) -> None:
        refilled = self._tokens + (now - self._at) * PER_MINUTE / 60.0
        self._tokens = max(0.0, min(float(PER_SECOND), refilled) - 1.0)
        self._at = now


class WeightedCounterServer(ServerModel):
    """The count of this minute plus the share of the last one that a sliding minute still covers; 10 in any second."""

    label = "weighted counter"

    def __init__(self, seed: int) -> None:
        self._phase = random.Random(seed).uniform(0.0, 60.0)
        self._minute = 0
        self._last = self._this = 0
        self._seen: deque[float] = deque(maxlen=PER_SECOND)

    def next_free(self, now: float) -> float:
        if len(self._seen) == PER_SECOND:
            now = max(now, self._seen[0] + 1.0)
        minute, share = divmod((now + self._phase) / 60.0, 1.0)
        last, this = self._counts(int(minute))
        if last * (1.0 - share) + this + 1 <= PER_MINUTE:
            return now
        if this + 1 > PER_MINUTE:  # only after the minute changes, when `this` is weighted as `last`
            free_at = int(minute) + 1 + 1.0 - (PER_MINUTE - 1) / this
        else:
            free_at = int(minute) + 1.0 - (PER_MINUTE - 1 - this) / last
        return free_at * 60.0 - self._phase + TICK

    def count(self, now: float) -> None:
        minute = int((now + self._phase) / 60.0)
        self._last, self._this = self._counts(minute)
        self._minute = minute
        self._this += 1
        self._seen.append(now)

    def _counts(self, minute: int) -> tuple[int, int]:
        """The counts of the previous minute and of *minute*."""
        if minute == self._minute:
            return self._last, self._this
        return (self._this if minute == self._minute + 1 else 0), 0


class EveCounterServer(ServerModel):
    """Eve's own counter behind a gateway that limits to 10 requests in any second.

    Every request renews the expiry of the counter, rejected ones included (`RateLimit.__init__` in Eve's source), so a
    client that keeps sending never leaves the window. Eve's 429 has no `Retry-After`.
    """

    label = "Eve's own counter"

    def __init__(self, _seed: int) -> None:
        self._gateway: deque[float] = deque(maxlen=PER_SECOND)
        self._used = 0
        self._ends = 0.0

    def next_free(self, now: float) -> float:
        if len(self._gateway) == PER_SECOND:
            now = max(now, self._gateway[0] + 1.0)
        return self._ends if self._used >= PER_MINUTE and now < self._ends else now

    def count(self, now: float) -> None:
        self._used = 1 if now >= self._ends else self._used + 1
        self._ends = now + 60.0
        self._gateway.append(now)

    def receive(self, now: float) -> ServerResponse:
        # What the gateway rejects never reaches Eve, so it does not renew the expiry.
        if len(self._gateway) == PER_SECOND and self._gateway[0] + 1.0 > now:
            return ServerResponse(is_rate_limited=True, retry_after=1.0)
        self.count(now)
        if self._used > PER_MINUTE:
            return ServerResponse(is_rate_limited=True)
        return ServerResponse(quota=Quota(limit=PER_MINUTE, remaining=PER_MINUTE - self._used, reset_in=60.0))


SERVERS: tuple[type[ServerModel], ...] = (
    SlidingWindowServer,
    SlidingWindowServerWithQuota,
    SlidingWindowServerWithTightestQuota,
    AlignedWindowServer,
    AlignedWindowServerWithQuota,
    TokenBucketServer,
    WeightedCounterServer,
    EveCounterServer,
)
