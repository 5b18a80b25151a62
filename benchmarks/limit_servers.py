"""Five ways in which a server may count "100 a minute, ten a second", and how fast each of them could be used.

Which of them Amili runs is unknown. All times are seconds since the client began, in virtual time.
"""

import random
from collections import deque
from math import ceil, floor
from typing import ClassVar

from msgspec import Struct

from amili_async.policies import Quota

PER_MINUTE, PER_SECOND = 100, 10
TICK = 1e-6
"""Seconds added where a count must have fallen below its limit: floats end where the limit is met exactly."""


class Answer(Struct, frozen=True, kw_only=True):
    """What a server says to one request."""

    is_refused: bool = False
    """Whether this is a 429."""
    retry_after: float | None = None
    """Its `Retry-After`: whole seconds, as HTTP has it."""
    quota: Quota | None = None
    """Its `X-RateLimit-*`, as the client reads them."""


class Server:
    """A server that gives no `X-RateLimit-*`; each model says from when on it would accept the next request.

    The seed decides where the server's clock stands.
    """

    label: ClassVar[str]

    def __init__(self, seed: int) -> None:
        raise NotImplementedError

    def earliest(self, now: float) -> float:
        """The first moment, not before *now*, at which one more request would be accepted."""
        raise NotImplementedError

    def count(self, now: float) -> None:
        """Note a request that was accepted."""
        raise NotImplementedError

    def receive(self, now: float) -> Answer:
        """Accept or refuse a request that arrives now."""
        opens = self.earliest(now)
        if opens > now:
            return Answer(is_refused=True, retry_after=float(max(1, ceil(opens - now))))
        self.count(now)
        return Answer()


def find_optimum(server: Server, requests: int) -> float:
    """Seconds between the first and the last of so many requests, by a client that sees into a fresh server."""
    now = 0.0
    for _ in range(requests):
        now = server.earliest(now)
        server.count(now)
    return now


class SlidingWindows(Server):
    """The literal reading: at most 100 in any 60 seconds, and ten in any second."""

    label = "SL two sliding windows"

    def __init__(self, _seed: int) -> None:
        self._seen: deque[float] = deque(maxlen=PER_MINUTE)

    def earliest(self, now: float) -> float:
        for limit, period in ((PER_MINUTE, 60.0), (PER_SECOND, 1.0)):
            if len(self._seen) >= limit:
                now = max(now, self._seen[-limit] + period)
        return now

    def count(self, now: float) -> None:
        self._seen.append(now)


class ToldSlidingWindows(SlidingWindows):
    """The same; its `Reset` is when the oldest request of the minute leaves the window, rounded up."""

    label = "SL with X-RateLimit headers"

    def receive(self, now: float) -> Answer:
        answer = super().receive(now)
        seen = [at for at in self._seen if at > now - 60.0]
        quota = Quota(limit=PER_MINUTE, remaining=PER_MINUTE - len(seen), reset_in=float(ceil(seen[0] + 60.0 - now)))
        return Answer(is_refused=answer.is_refused, retry_after=answer.retry_after, quota=quota)


class AlignedWindows(Server):
    """Counts that begin anew with each second and each minute of the server's clock, wherever that stands."""

    label = "FW clock-aligned windows"

    def __init__(self, seed: int) -> None:
        self._phase = random.Random(seed).uniform(0.0, 60.0)
        self._minute = self._second = -1
        self._in_minute = self._in_second = 0

    def earliest(self, now: float) -> float:
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


class ToldAlignedWindows(AlignedWindows):
    """The same; its `Reset` is the next minute, which the client compares with a `Date` of whole seconds."""

    label = "FW with X-RateLimit headers"

    def receive(self, now: float) -> Answer:
        answer = super().receive(now)
        clock = now + self._phase
        remaining = PER_MINUTE - self._in_minute
        reset_in = (floor(clock / 60.0) + 1) * 60.0 - floor(clock)
        quota = Quota(limit=PER_MINUTE, remaining=remaining, reset_in=reset_in)
        return Answer(is_refused=answer.is_refused, retry_after=answer.retry_after, quota=quota)


class TokenBucket(Server):
    """Ten tokens, refilled at 100 a minute."""

    label = "TB token bucket"

    def __init__(self, _seed: int) -> None:
        self._tokens = float(PER_SECOND)
        self._at = 0.0

    def earliest(self, now: float) -> float:
        return max(now, self._at + (1.0 - self._tokens) * 60.0 / PER_MINUTE)

    def count(self, now: float) -> None:
        refilled = self._tokens + (now - self._at) * PER_MINUTE / 60.0
        self._tokens = max(0.0, min(float(PER_SECOND), refilled) - 1.0)
        self._at = now


class WeightedCounter(Server):
    """The count of this minute and the part of the last one's that a sliding minute would still cover; ten a second."""

    label = "SC weighted counter"

    def __init__(self, seed: int) -> None:
        self._phase = random.Random(seed).uniform(0.0, 60.0)
        self._minute = 0
        self._last = self._this = 0
        self._seen: deque[float] = deque(maxlen=PER_SECOND)

    def earliest(self, now: float) -> float:
        if len(self._seen) == PER_SECOND:
            now = max(now, self._seen[0] + 1.0)
        minute, share = divmod((now + self._phase) / 60.0, 1.0)
        last, this = self._counts(int(minute))
        if last * (1.0 - share) + this + 1 <= PER_MINUTE:
            return now
        if this + 1 > PER_MINUTE:  # the next minute begins with this one as its last
            opens = int(minute) + 1 + 1.0 - (PER_MINUTE - 1) / this
        else:
            opens = int(minute) + 1.0 - (PER_MINUTE - 1 - this) / last
        return opens * 60.0 - self._phase + TICK

    def count(self, now: float) -> None:
        minute = int((now + self._phase) / 60.0)
        self._last, self._this = self._counts(minute)
        self._minute = minute
        self._this += 1
        self._seen.append(now)

    def _counts(self, minute: int) -> tuple[int, int]:
        """The last minute's count and this one's, as they stand in *minute*."""
        if minute == self._minute:
            return self._last, self._this
        return (self._this if minute == self._minute + 1 else 0), 0


class EveCounter(Server):
    """Eve's own: a count that lasts until 60 seconds after the latest request, be it refused; a gateway before it."""

    label = "EVE Eve's own counter"

    def __init__(self, _seed: int) -> None:
        self._gateway: deque[float] = deque(maxlen=PER_SECOND)
        self._used = 0
        self._ends = 0.0

    def earliest(self, now: float) -> float:
        if len(self._gateway) == PER_SECOND:
            now = max(now, self._gateway[0] + 1.0)
        return self._ends if self._used >= PER_MINUTE and now < self._ends else now

    def count(self, now: float) -> None:
        self._used = 1 if now >= self._ends else self._used + 1
        self._ends = now + 60.0
        self._gateway.append(now)

    def receive(self, now: float) -> Answer:
        if len(self._gateway) == PER_SECOND and self._gateway[0] + 1.0 > now:
            return Answer(is_refused=True, retry_after=1.0)
        self.count(now)
        if self._used > PER_MINUTE:
            return Answer(is_refused=True)
        return Answer(quota=Quota(limit=PER_MINUTE, remaining=PER_MINUTE - self._used, reset_in=60.0))


SERVERS: tuple[type[Server], ...] = (
    SlidingWindows,
    ToldSlidingWindows,
    AlignedWindows,
    ToldAlignedWindows,
    TokenBucket,
    WeightedCounter,
    EveCounter,
)
