"""What the server's own count (`X-RateLimit-*`) says: of the others who use the same key, and of its new beginning.

Others show up as the part of the quota that we did not use; when it is used up, all is silent until it is renewed.
"""

from math import inf

from msgspec import Struct

from amili_async._wire.windows import Window


class Quota(Struct, frozen=True, gc=False, kw_only=True):
    """What the server says of its own count, in `X-RateLimit-*`."""

    limit: int | None
    """Requests per period."""
    remaining: int
    """How many of them are left."""
    reset_in: float
    """Seconds until the count starts anew."""


class Ledger:
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

    def take_in(self, quota: Quota, now: float, in_flight: int) -> bool:
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
        is_news = not self._was_told and self.silence(now) > 0
        self._was_told |= is_news
        return is_news

    def reset_in(self, now: float) -> float:
        """Seconds until the server starts counting anew; 0 where that is not known."""
        return max(0.0, self._reset_at - now) if self._reset_at is not None else 0.0

    def silence(self, now: float) -> float:
        """Seconds until the next request, where the quota is used up."""
        if self._reset_at is None or now >= self._silent_until + self.SLACK:
            return 0.0
        return self._silent_until + self.SLACK - now if self._limit - self._others <= self.sent else 0.0


class Renewal:
    """When our count of a minute may begin anew because the server's own does: clock-aligned windows tell nobody else.

    The law: while none of ours is on its way, one request may go and ask, however full our window is, if the server
    has room for it by its own word: where each of those that were last on their way together was told that something
    is left, since one of them was the last that the server counted; or where every reset that was told has passed,
    since then something has left its count. What the answer to it counts is all that is counted.

    It holds for sliding windows, whose reset is when the oldest request leaves, as for those that begin anew; and only
    while each answer tells the count of the minute.
    """

    def __init__(self, minute: Window | None) -> None:
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

    def take_in(self, quota: Quota | None, now: float) -> None:
        """Note what an answer said."""
        if self.minute is None or quota is None or quota.limit != self.minute.limit:
            self._untold_at = now  # a request without an answer can still reach the server
            return
        self._least_left = min(self._least_left, quota.remaining)
        self._reset_at = max(self._reset_at, now + quota.reset_in)
        if self._was_alone and self._is_told(now) and quota.reset_in > self.minute.period / 2:
            self.minute.keep(quota.limit - quota.remaining)

    def asks_in(self, now: float) -> float:
        """Seconds until one request may go and ask, if none is on its way; without end where nothing was told."""
        if not self._is_told(now) or self._reset_at == -inf:
            return inf
        return 0.0 if 1 <= self._least_left < inf else max(0.0, self._reset_at + Ledger.SLACK - now)

    def _is_told(self, now: float) -> bool:
        return self.minute is not None and now - self._untold_at > self.minute.period
