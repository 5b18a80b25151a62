"""The queue for permits: futures and timers around the rule of `sliding_window`.

Invariant: within a priority permits are granted in the order of the calls, and a cancelled call leaves its permit to
the next. A priority that waits gets at least one permit in ten. All clients of a limiter share one pause after a 429.
"""

import asyncio
from collections import deque
from datetime import UTC, datetime
from functools import partial

from amili_async._wire.announcer import Announcer
from amili_async._wire.clock import Clock, SystemClock, Timer
from amili_async._wire.sliding_window import RequestSchedule
from amili_async._wire.tasks import not_picklable
from amili_async.errors import BudgetExhausted
from amili_async.events import Observer, PermitDelayed, RateLimiterPaused
from amili_async.policies import Priority, Quota, RateLimit, RateLimiter

MAX_OVERTAKEN = 9
"""Permits that higher priorities get while a lower one waits, before it gets the next: single calls at the full rate
would otherwise stop a stream for good."""
LONG_WAIT = 30.0
"""Seconds: the wait for a permit that is reported to the observers."""


@not_picklable
class SlidingWindowLimiter(RateLimiter):
    """The `RateLimiter` of one process; without a limit only pauses that the server demands."""

    def __init__(self, limit: RateLimit | None = None, *, clock: Clock | None = None) -> None:
        self._limit = limit
        self._max_pause = (limit or RateLimit()).max_pause
        self._schedule = RequestSchedule(limit)
        self._clock, self._announce = clock or SystemClock(), Announcer()
        self._queues: tuple[deque[asyncio.Future[None]], ...] = tuple(deque() for _ in Priority)
        self._overtaken = [0] * len(Priority)
        self._delay_reported_at = [-LONG_WAIT] * len(Priority)
        self._timer: Timer | None = None
        self._timer_at = 0.0

    @property
    def limit(self) -> RateLimit | None:
        """What it was made with."""
        return self._limit

    @property
    def in_flight(self) -> int:
        """How many permits are held."""
        return self._schedule.in_flight

    @property
    def waiting(self) -> int:
        """How many calls wait for a permit."""
        return len(self._find_waiting())

    @property
    def remaining(self) -> int | None:
        """How many requests may be sent now and in the rest of this minute; `None` without a limit."""
        return self._schedule.remaining(self._clock.now())

    @property
    def resets_at(self) -> datetime | None:
        """When *remaining* grows next, in UTC; `None` if nothing is used up, or if a response decides that."""
        seconds = self._schedule.seconds_until_more(self._clock.now())
        return None if seconds is None else datetime.fromtimestamp(self._clock.wall() + seconds, UTC)

    def add_observer(self, observer: Observer) -> None:
        """Call *observer* with each event from now on."""
        self._announce.add(observer)

    def remove_observer(self, observer: Observer) -> None:
        """Stop calling it."""
        self._announce.remove(observer)

    async def acquire(self, priority: Priority, *, max_wait: float | None = None) -> None:
        """Wait for a permit, first come, first served within a priority; `BudgetExhausted` if that takes too long."""
        now = self._clock.now()
        if not any(self._queues) and self._wait_of(priority, now) == 0.0:
            self._schedule.on_sent(now)
            return
        self._fail_fast(priority, now, max_wait)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues[priority].append(waiter)
        self._grant()
        # The wait cannot always be predicted: calls of a higher priority may follow, and responses be slow.
        timers = []
        if max_wait is not None:
            timers.append(self._clock.call_later(max_wait, partial(_fail, waiter, max_wait)))
        if self._announce:
            timers.append(self._clock.call_later(LONG_WAIT, partial(self._report_delay, priority)))
        try:
            await waiter
        except asyncio.CancelledError:
            # The permit may have been granted before the cancellation, with the task not having run in between.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release_unused()
            raise
        finally:
            for timer in timers:
                timer.cancel()
            if not self._find_priorities():  # a timer of this event loop would not fire in the next
                self._cancel_timer()

    def release_unused(self) -> None:
        """Release a permit with which nothing was sent: it is free again at once."""
        self._schedule.on_unused()
        self._grant()

    def on_response(self, quota: Quota | None = None) -> None:
        """Release a permit with which a request was sent; *quota* is what the response reported."""
        pause = self._schedule.on_response(quota, self._clock.now())
        if pause is not None:
            self._announce(RateLimiterPaused(seconds=pause, reason="quota"))
            self._fail_if_too_long(pause)
        if any(self._queues):
            # Not at once: this response may be a 429, whose `on_rate_limited` follows in the same step of the loop.
            asyncio.get_running_loop().call_soon(self._grant)

    def on_no_response(self, seconds: float) -> None:
        """Release a permit whose request will get no response, but may reach the server within so many seconds."""
        self._schedule.on_no_response(self._clock.now() + max(0.0, seconds))
        self._grant()

    def on_rate_limited(self, seconds: float | None) -> float:
        """Pause for as long as a 429 demands, else until the reported reset, else for a minute."""
        now = self._clock.now()
        earlier = self._schedule.paused_until
        demanded = self._schedule.on_rate_limited(seconds, now)
        pause = self._schedule.paused_until - now
        if self._schedule.paused_until > earlier:  # of ten 429s in flight together, observers hear of one pause
            self._announce(RateLimiterPaused(seconds=pause, reason="429"))
        self._fail_if_too_long(demanded)
        return max(demanded, pause)

    def forecast(self, requests: int) -> float:
        """Seconds until the last of so many requests of a stream may be sent, if each gets its response at once."""
        return self._schedule.forecast(requests, self._clock.now())

    def _find_waiting(self) -> list[asyncio.Future[None]]:
        # Cancelled and failed waiters stay in their queue until they reach its head: removing one is linear.
        return [waiter for queue in self._queues for waiter in queue if not waiter.done()]

    def _grant(self) -> None:
        """Grant all permits that are free, and set the timer for the next."""
        while waiting := self._find_priorities():
            now = self._clock.now()
            chosen = next((each for each in waiting if self._overtaken[each] >= MAX_OVERTAKEN), waiting[0])
            wait = self._wait_of(chosen, now)
            if wait != 0.0:
                self._set_timer(wait, now)
                return
            self._schedule.on_sent(now)
            self._queues[chosen].popleft().set_result(None)
            for priority in Priority:
                if priority == chosen or priority not in waiting:
                    self._overtaken[priority] = 0
                elif priority > chosen:
                    self._overtaken[priority] += 1

    def _wait_of(self, priority: Priority, now: float, nth: int = 0) -> float | None:
        """Seconds until the *nth* call of a priority may be sent; streams leave a reserve, unless they starve."""
        keeps_reserve = priority is Priority.BULK and self._overtaken[priority] < MAX_OVERTAKEN
        return self._schedule.wait(now, nth, keeps_reserve=keeps_reserve)

    def _find_priorities(self) -> list[Priority]:
        """The priorities whose calls wait, the highest first."""
        for queue in self._queues:
            while queue and queue[0].done():
                queue.popleft()
        return [priority for priority in Priority if self._queues[priority]]

    def _set_timer(self, wait: float | None, now: float) -> None:
        # One timer for the head of all queues. An earlier one stays: when it fires, it sets the next.
        if wait is None or (self._timer is not None and self._timer_at <= now + wait):
            return
        self._cancel_timer()
        self._timer_at = now + wait
        self._timer = self._clock.call_later(wait, self._on_timer)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        self._grant()

    def _fail_fast(self, priority: Priority, now: float, max_wait: float | None) -> None:
        """Raise if the wait is known to be too long, even if no call of a higher priority follows."""
        pause = self._schedule.pause_remaining(now)
        if pause > self._max_pause:
            raise exhausted(pause)
        if max_wait is None:
            return
        *higher, own = [sum(not waiter.done() for waiter in queue) for queue in self._queues[: priority + 1]]
        most = (own + 1) * (MAX_OVERTAKEN + 1) - 1 - self._overtaken[priority]
        nth = min(sum(higher) + own, max(own, most))
        # Behind others a page may get the permit that each tenth is, which leaves no reserve.
        wait = self._schedule.wait(now, nth) if any(higher) else self._wait_of(priority, now, nth)
        if wait is not None and wait > max_wait:
            raise exhausted(wait)

    def _report_delay(self, priority: Priority) -> None:
        now = self._clock.now()
        if now - self._delay_reported_at[priority] >= LONG_WAIT:
            self._delay_reported_at[priority] = now
            self._announce(PermitDelayed(priority=priority.name.lower(), seconds=LONG_WAIT, waiting=self.waiting))

    def _fail_if_too_long(self, pause: float) -> None:
        if pause > self._max_pause:
            for waiter in self._find_waiting():
                _fail(waiter, pause)


def _fail(waiter: asyncio.Future[None], seconds: float) -> None:
    if not waiter.done():
        waiter.set_exception(exhausted(seconds))


def exhausted(seconds: float) -> BudgetExhausted:
    """The error of a call whose next permit is so many seconds away, longer than it may wait."""
    away = f"the next permit is {seconds:.1f} s or more away"
    error = BudgetExhausted(f"rate limit: {away}, longer than max_wait or max_pause permits", status=429, attempts=0)
    error.retry_after = seconds
    return error
