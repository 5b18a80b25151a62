"""The request budget: which request may go now, and how long the others wait.

The law: a slot is freed its window after the *answer* arrived, not after the request was sent. The server saw the
request no later than that, so no jitter on the way can put one too many into any window of the server's. Sooner it is
freed only where the server's own count shows that it has begun anew.

A 429 closes one gate for everybody, and from then on the pace is even: some servers count in another way than we do,
and some extend the block on each knock. Few are in flight while the next could be the first that is refused. The pace
is that of a token bucket, so what did not go may be made up for, but for no more than a second allows.
"""

import asyncio
from collections import deque

from amili_async._wire.clock import Clock, SystemClock, Timer
from amili_async._wire.sliding_window import (
    QuotaTracker,
    SlidingWindow,
    TokenBucket,
    TokenBucketProbe,
    WindowReset,
    forecast,
)
from amili_async.errors import BudgetExhausted, ConfigurationError
from amili_async.events import Announcer, RateLimiterPaused
from amili_async.policies import Priority, Quota, RateLimit

SHORTEST_PAUSE = 1.0
"""Seconds: a 429 with `Retry-After: 0` would otherwise be answered by knocking again at once."""
LONGEST_PAUSE = 3600.0
"""Seconds: after a 429 that asks for more, one call may look again by then, whatever was asked for."""


class SlidingWindowLimiter:
    """Both windows, the gate and the queues, for one client."""

    def __init__(
        self, limit: RateLimit | None = None, *, clock: Clock | None = None, announce: Announcer | None = None
    ) -> None:
        self._limit = limit or RateLimit()
        self._windows = [SlidingWindow(limit.per_second, 1.0), SlidingWindow(limit.per_minute, 60.0)] if limit else []
        self._clock = clock or SystemClock()
        self._announce = announce or Announcer()
        self._queues: tuple[deque[asyncio.Future[None]], ...] = tuple(deque() for _ in Priority)
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._in_flight = 0
        self._closed_until = 0.0
        self._pace: TokenBucket | None = None
        self._quota = QuotaTracker()
        self._window_reset = WindowReset(self._windows[1] if limit and limit.per_minute != limit.per_second else None)
        self._probe = TokenBucketProbe(
            self._limit.per_second, rate=self._limit.per_minute / 60.0, is_possible=limit is not None
        )

    async def acquire(self, priority: Priority) -> None:
        """Wait for a permit: first come, first served within a priority."""
        now = self._clock.now()
        if not any(self._queues) and self._wait(now) == 0.0:
            self._take(now)
            return
        self._refuse_a_long_wait(priority, now)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues[priority].append(turn)
        self._serve()
        deadline = self._limit.max_wait
        timer = None if deadline is None else self._clock.call_later(deadline, lambda: self._fail(turn, deadline))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.release_unused()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def release_unused(self) -> None:
        """Return an unused turn to whoever is next."""
        self._in_flight -= 1
        self._quota.sent -= 1
        self._serve()

    def on_response(self, quota: Quota | None = None) -> None:
        """Start the time after which the slot is free again, and take in what the server said of its quota."""
        self._in_flight -= 1
        now = self._clock.now()
        for window in self._windows:
            window.answered.append(now)
        self._probe.take(now)
        self._window_reset.update(quota, now)
        if quota is not None and self._quota.update(quota, now, self._in_flight):
            self._announce(RateLimiterPaused(seconds=self._quota.pause_remaining(now), reason="quota"))
            self._fail_where_too_long(self._quota.pause_remaining(now))
        if any(self._queues):
            asyncio.get_running_loop().call_soon(self._serve)  # not before a pause that this same answer may bring

    def on_rate_limited(self, seconds: float | None) -> float:
        """Close the gate: for as long as the 429 said, else until the reported reset, else for a whole minute."""
        now = self._clock.now()
        if seconds is None:
            seconds = self._quota.reset_in(now) or 60.0
        seconds = max(seconds, SHORTEST_PAUSE)
        until = now + min(seconds, LONGEST_PAUSE)
        if until > self._closed_until:
            self._closed_until = until
            self._announce(RateLimiterPaused(seconds=until - now, reason="429"))
        if self._windows:
            interval = 60.0 / max(1.0, self._limit.per_minute * 0.99)
            self._pace = TokenBucket(interval, burst=self._limit.per_second, start=self._closed_until)
        self._probe.is_possible = False
        self._window_reset.minute = None  # something is counted that it does not tell
        self._fail_where_too_long(seconds)
        return max(seconds, self._closed_until - now)

    def close(self) -> None:
        """Fail whoever still waits and forget the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for turn in self._waiting():
            turn.set_exception(ConfigurationError("the client was closed while this call waited for its turn"))

    def forecast(self, requests: int) -> float:
        """Seconds until the last of so many requests can go, if each is answered at once."""
        now = self._clock.now()
        start = self._silence(now)
        return forecast(self._windows, requests, in_flight=self._in_flight, now=now, start=start, pace=self._pace)

    def _waiting(self) -> list[asyncio.Future[None]]:
        return [turn for queue in self._queues for turn in queue if not turn.done()]

    def _take(self, now: float) -> None:
        self._window_reset.send(self._in_flight)
        self._in_flight += 1
        self._probe.sent_at = now
        self._quota.sent += 1
        if self._pace is not None:
            self._pace.take(now)

    def _silence(self, now: float) -> float:
        """Seconds for which nothing at all may go."""
        return max(0.0, self._closed_until - now, self._quota.pause_remaining(now))

    def _wait(self, now: float, nth: int = 0) -> float | None:
        """Seconds until the *nth* of those waiting can go; `None` where that needs an answer first."""
        wait = max(self._silence(now), self._probe.wait_for(self._in_flight, now))
        if self._pace is not None:
            wait = max(wait, self._pace.wait_for(nth, now))
        for window in self._windows:
            free = window.wait_for(nth, self._in_flight, now)
            if free is None:
                return None
            if free > wait and window is self._window_reset.minute and self._in_flight == nth == 0:
                free = min(free, self._window_reset.seconds_until_probe(now))
            wait = free if free > wait else wait
        return wait

    def _serve(self) -> None:
        """Let go whoever may, the most urgent first; look again when the next can."""
        for queue in self._queues:
            while queue:
                if queue[0].done():
                    queue.popleft()
                    continue
                now = self._clock.now()
                if (wait := self._wait(now)) != 0.0:
                    self._look_again(wait, now)
                    return
                self._take(now)
                queue.popleft().set_result(None)

    def _look_again(self, wait: float | None, now: float) -> None:
        if wait is None or (self._timer is not None and self._timer_at <= now + wait):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = now + wait
        self._timer = self._clock.call_later(wait, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._serve()

    def _refuse_a_long_wait(self, priority: Priority, now: float) -> None:
        silence = self._silence(now)
        if silence > self._limit.max_pause:
            raise _exhausted(silence)
        if self._limit.max_wait is None:
            return
        ahead = sum(not turn.done() for queue in self._queues[: priority + 1] for turn in queue)
        wait = self._wait(now, ahead)
        if wait is not None and wait > self._limit.max_wait:
            raise _exhausted(wait)

    def _fail_where_too_long(self, silence: float) -> None:
        if silence > self._limit.max_pause:
            for turn in self._waiting():
                self._fail(turn, silence)

    def _fail(self, turn: asyncio.Future[None], seconds: float) -> None:
        if not turn.done():
            turn.set_exception(_exhausted(seconds))


def _exhausted(seconds: float) -> BudgetExhausted:
    away = f"the next turn is {seconds:.1f} s or more away, longer than this call may wait"
    error = BudgetExhausted(f"the request budget is used up: {away}", status=429, attempts=0)
    error.retry_after = seconds
    return error
