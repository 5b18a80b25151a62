"""The rate limiter of an API key that many processes use: the calls of this process, and their permits.

Invariant: a permit is granted by `rate_limiter.lua` alone, or, while Redis cannot be reached, by the share of this
process. No cancellation of a call reaches a command of Redis, which runs in a task of its own.
"""

import asyncio
import logging
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING

from amili_async._wire.announcer import Announcer
from amili_async._wire.checks import check_seconds
from amili_async._wire.clock import SystemClock
from amili_async._wire.quota import MAX_PAUSE
from amili_async._wire.sliding_window import MIN_PAUSE, RequestSchedule
from amili_async._wire.tasks import Redacted
from amili_async.errors import BudgetExhausted, ClientClosed, ConfigurationError, RateLimiterUnavailable
from amili_async.events import Observer, RateLimiterDisconnected, RateLimiterPaused, RateLimiterReconnected
from amili_async.policies import Priority, Quota, RateLimit, RateLimiter
from amili_async.shared.calls import WaitingCall, WaitingCalls
from amili_async.shared.connection import connect
from amili_async.shared.exchange import Exchange, Reply
from amili_async.shared.status import RateLimiterStatus
from amili_async.shared.timing import ExchangeTimer

if TYPE_CHECKING:
    from redis.asyncio import Redis

_logger = logging.getLogger("amili_async")

REPORT_DELAY = 0.5
"""Seconds until a response is reported: its age is too, and its slot is of no use before a second has passed."""
PROMPTLY = 0.02
"""Seconds until something is reported that lets others send at once."""
RETRY_DELAY, SLOW_RETRY_DELAY = 0.25, 1.0
"""Seconds until the next attempt to reach Redis, in the first five seconds of an outage and later."""


class RedisRateLimiter(RateLimiter):
    """One rate limiter for all processes that give the same Redis, or Valkey, and *name*: a name for each API key.

    Open it before the clients that use it, in their event loop, and close it after them:
    `async with RedisRateLimiter.from_url(…) as limiter, AmiliClient(rate_limit=limiter, …) as amili`.

    *limit* is what the API allows for the key; its `reserve` is kept for the single calls and tokens of all processes.
    *share* is what this process may send while Redis cannot be reached, such as a quarter of the limit with four
    processes. Without one, calls wait for Redis, at most `limit.max_pause` seconds, and then raise
    `RateLimiterUnavailable`. A process that is not heard of for *lease* seconds counts as dead, and its requests as
    answered. All state is one key of Redis; it needs no persistence, and must not be evicted.
    """

    def __init__(
        self,
        redis: "Redis",
        name: str,
        *,
        limit: RateLimit = RateLimit(reserve=10),
        share: RateLimit | None = None,
        lease: float = 5.0,
    ) -> None:
        self._redis, self._owns_redis, self._name = redis, False, name
        self._limit, self._lease = limit, check_seconds(lease, "lease", is_positive=True)
        # What this process sends, under the whole limit for forecasts, and under its share, which may have to take over.
        self._own, self._share = RequestSchedule(limit), None if share is None else RequestSchedule(share)
        self._schedules = [schedule for schedule in (self._own, self._share) if schedule is not None]
        self._share_timer: asyncio.TimerHandle | None = None
        self._clock, self._announce = SystemClock(), Announcer()
        self._calls = WaitingCalls(self._clock, self._announce)
        self._status_waiters: list[asyncio.Future[Reply]] = []
        self._in_flight = self._granted_alone = 0
        self._paused_until = self._quota_reset_at = self._earliest_at = self._lost_since = -inf
        self._is_lost = self._is_urgent = self._is_differing = False
        self._used: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def from_url(
        cls,
        url: str,
        name: str,
        *,
        limit: RateLimit = RateLimit(reserve=10),
        share: RateLimit | None = None,
        lease: float = 5.0,
    ) -> "RedisRateLimiter":
        """One with a connection of its own, to `redis://…`, `rediss://…` or `unix://…`."""
        target, url = Redacted(url), ""  # it may hold a password
        limiter = cls(connect(target.content), name, limit=limit, share=share, lease=lease)
        limiter._owns_redis = True
        return limiter

    def __repr__(self) -> str:
        return f"RedisRateLimiter({self._name!r}, {'open' if self._loop else 'closed'})"

    async def open(self) -> "RedisRateLimiter":
        """Get ready to grant permits; nothing is sent yet. Opening an open one does nothing."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            # Not earlier: a process that is forked from the one that made it needs an id of its own.
            self._exchange = Exchange(self._redis, self._name, limit=self._limit, lease=self._lease, clock=self._clock)
            self._timer = ExchangeTimer(self._run_exchange, self._is_exchange_needed)
        self._check_open()
        return self

    async def aclose(self) -> None:
        """End the waits of this process with `ClientClosed`, and report what others can use. Closing twice does nothing."""
        if self._loop is None:
            return
        self._check_open()
        self._loop = None
        for call in self._calls:
            call.fail(ClientClosed("the rate limiter was closed while this call waited for a permit"))
        self._cancel_share_timer()
        try:
            await self._timer.aclose()
        finally:
            self._in_flight = 0
            if self._owns_redis:
                await self._redis.aclose()

    async def __aenter__(self) -> "RedisRateLimiter":
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def limit(self) -> RateLimit:
        """What it was made with."""
        return self._limit

    @property
    def in_flight(self) -> int:
        """How many permits calls of this process hold."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """How many calls of this process wait for a permit."""
        return sum(self._calls.count())

    @property
    def remaining(self) -> int | None:
        """How many requests of this minute were left when this process last heard of it; `None` before that."""
        return None if self._used is None else max(0, self._limit.per_minute - self._used)

    def forecast(self, requests: int) -> float:
        """Seconds until the last of so many requests of a stream may be sent, if no other process sends any."""
        return self._own.forecast(requests, self._clock.now())

    def add_observer(self, observer: Observer) -> None:
        """Call *observer* with each event from now on."""
        self._announce.add(observer)

    def remove_observer(self, observer: Observer) -> None:
        """Stop calling it."""
        self._announce.remove(observer)

    async def status(self) -> RateLimiterStatus:
        """What all processes use now; `RateLimiterUnavailable` if Redis cannot be reached."""
        self._check_open()
        waiter: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._status_waiters.append(waiter)
        self._timer.due_in(0.0)
        reply = await waiter
        return RateLimiterStatus(
            used=reply.used,
            in_flight=reply.in_flight,
            waiting=reply.waiting,
            processes=reply.processes,
            closed_for=reply.closed_for / 1000,
            paced=reply.is_paced,
        )

    async def acquire(self, priority: Priority, *, max_wait: float | None = None) -> None:
        """Wait for a permit, first come, first served within a priority of this process."""
        self._check_open()
        pause = self._paused_until - self._clock.now()
        if pause > self._limit.max_pause:
            raise _exhausted(pause)
        first = self._calls.find_first()
        if first is not None and first <= priority:  # its exchange is due when a permit can be free
            self._fail_fast(max_wait)
        elif not self._is_lost:
            self._timer.due_in(0.0)
        with self._calls.join(priority, max_wait, self._expire) as call:
            if self._is_lost:
                self._timer.due_in(RETRY_DELAY)
                self._grant_from_share()
            try:
                await call.permit
            except asyncio.CancelledError:
                # The permit may have been granted before the cancellation, with the task not having run in between.
                if call.has_permit:
                    self.release_unused()
                raise

    def release_unused(self) -> None:
        """Release a permit with which nothing was sent: others can use it at once."""
        self._in_flight -= 1
        for schedule in self._schedules:
            schedule.on_unused()
        self._timer.due_in(PROMPTLY)

    def on_response(self, quota: Quota | None = None) -> None:
        """Release a permit with which a request was sent; *quota* is what the response reported."""
        now = self._clock.now()
        if quota is not None and not self._is_of_minute(quota):
            quota = None
        if quota is not None and quota.remaining <= 0 and now >= self._quota_reset_at:
            self._announce(RateLimiterPaused(seconds=quota.reset_in, reason="quota"))
        if quota is not None:
            self._quota_reset_at = now + min(quota.reset_in, MAX_PAUSE)
        for schedule in self._schedules:
            schedule.on_response(quota, now)
            schedule.wait(now)  # drops what is older than a minute
        self._on_counted(now, quota)

    def on_no_response(self, seconds: float) -> None:
        """Release a permit whose request will get no response, but may reach the server within so many seconds."""
        counted_by = self._clock.now() + max(0.0, seconds)
        for schedule in self._schedules:
            schedule.on_no_response(counted_by)
        self._on_counted(counted_by, None)

    def on_rate_limited(self, seconds: float | None) -> float:
        """Pause all processes for as long as a 429 demands, else until the reported reset, else for a minute."""
        now = self._clock.now()
        demanded = max(seconds if seconds is not None else max(0.0, self._quota_reset_at - now) or 60.0, MIN_PAUSE)
        paused_until = now + min(demanded, MAX_PAUSE)
        for schedule in self._schedules:
            schedule.on_rate_limited(seconds, now)
        if paused_until > self._paused_until:
            self._paused_until = paused_until
            self._announce(RateLimiterPaused(seconds=paused_until - now, reason="429"))
            self._exchange.add_pause(paused_until)
            self._timer.due_in(0.0)
        self._fail_if_too_long(demanded)
        return max(demanded, self._paused_until - now)

    def _is_of_minute(self, quota: Quota) -> bool:
        # With equal limits a report does not show which of the two windows it is about.
        return quota.limit == self._limit.per_minute != self._limit.per_second

    def _on_counted(self, counted_by: float, quota: Quota | None) -> None:
        self._in_flight -= 1
        self._exchange.add_response(counted_by, quota)
        self._timer.due_in(PROMPTLY if self._is_urgent else REPORT_DELAY)
        self._grant_from_share()

    def _is_exchange_needed(self) -> bool:
        is_owed = self._in_flight > 0 or bool(self._status_waiters) or self._exchange.has_news
        return is_owed or self._calls.find_first() is not None

    async def _run_exchange(self) -> None:
        started, granted_alone = self._clock.now(), self._granted_alone
        wanted = self._calls.count()
        try:
            reply = await self._exchange.send(in_flight=self._in_flight, wanted=wanted, went_alone=granted_alone > 0)
        except Exception as error:  # noqa: BLE001 - a client of Redis that is borrowed may raise anything
            self._on_loss(error)
            return
        if self._is_lost:
            self._is_lost = False
            self._cancel_share_timer()
            self._announce(RateLimiterReconnected(seconds=self._clock.now() - self._lost_since))
        self._granted_alone -= granted_alone
        self._on_reply(reply, is_late=self._clock.now() - started > self._lease)

    def _on_reply(self, reply: Reply, *, is_late: bool) -> None:
        now = self._clock.now()
        self._used, self._is_urgent = reply.used, reply.is_urgent
        self._earliest_at = now + reply.earliest / 1000
        self._paused_until = max(self._paused_until, now + reply.closed_for / 1000)
        if reply.is_differing and not self._is_differing:
            _logger.warning("rate limiter %r: another process states another limit than %r", self._name, self._limit)
        self._is_differing = reply.is_differing
        for waiter in self._status_waiters:
            if not waiter.done():
                waiter.set_result(reply)
        self._status_waiters.clear()
        if is_late:  # others may have what was granted, since the lease has ended
            self._timer.due_in(0.0)
            return
        for priority, count in zip(Priority, reply.granted, strict=True):
            given = sum(self._give(priority) for _ in range(count))
            if given < count:  # their calls were cancelled since
                self._timer.due_in(PROMPTLY)
        self._fail_if_too_long(reply.closed_for / 1000)
        for call in self._calls:
            if call.deadline < self._earliest_at:
                call.fail(_exhausted(reply.earliest / 1000))
        if reply.again >= 0:
            self._timer.due_in(reply.again / 1000)
        if self._in_flight:
            self._timer.due_in(self._lease / 3)

    def _give(self, priority: Priority) -> bool:
        is_given = self._calls.grant(priority)
        if is_given:
            self._in_flight += 1
            for schedule in self._schedules:
                schedule.on_sent(self._clock.now())
        return is_given

    def _on_loss(self, error: Exception) -> None:
        now = self._clock.now()
        if not self._is_lost:
            self._is_lost, self._lost_since = True, now
            self._announce(RateLimiterDisconnected(error=type(error).__name__))
        for waiter in self._status_waiters:
            if not waiter.done():
                waiter.set_exception(self._unavailable())
        self._status_waiters.clear()
        lost_for = now - self._lost_since
        self._timer.due_in(RETRY_DELAY if lost_for < 5.0 else SLOW_RETRY_DELAY)
        if self._share is None and lost_for > self._limit.max_pause:
            for call in self._calls:
                call.fail(self._unavailable())
        self._grant_from_share()

    def _grant_from_share(self) -> None:
        """While Redis cannot be reached, grant what the share of this process permits, and set the timer for the next."""
        self._cancel_share_timer()
        while self._is_lost and self._share is not None and (priority := self._calls.find_first()) is not None:
            wait = self._share.wait(self._clock.now())
            if wait != 0.0:
                if wait is not None:
                    loop = asyncio.get_running_loop()
                    self._share_timer = loop.call_later(wait, self._grant_from_share)
                return
            self._granted_alone += self._give(priority)

    def _cancel_share_timer(self) -> None:
        if self._share_timer is not None:
            self._share_timer.cancel()
            self._share_timer = None

    def _fail_fast(self, max_wait: float | None) -> None:
        wait = self._earliest_at - self._clock.now()
        if max_wait is not None and wait > max_wait:
            raise _exhausted(wait)

    def _fail_if_too_long(self, pause: float) -> None:
        if pause > self._limit.max_pause:
            for call in self._calls:
                call.fail(_exhausted(pause))

    def _expire(self, call: WaitingCall) -> None:
        """The wait of a call is as long as it may be."""
        waited = call.deadline - self._clock.now()
        call.fail(self._unavailable() if self._is_lost else _exhausted(max(0.0, waited)))

    def _unavailable(self) -> RateLimiterUnavailable:
        seconds = self._clock.now() - self._lost_since
        text = f"the shared rate limiter {self._name!r} has not been reached for {seconds:.1f} s: check its Redis"
        return RateLimiterUnavailable(text, status=429, attempts=0)

    def _check_open(self) -> None:
        if self._loop is None:
            raise ConfigurationError("the rate limiter is not open: use `async with RedisRateLimiter.from_url(…)`")
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigurationError("the rate limiter was opened in another event loop: create one per event loop")


def _exhausted(seconds: float) -> BudgetExhausted:
    away = f"the next permit is {seconds:.1f} s or more away"
    error = BudgetExhausted(f"rate limit: {away}, longer than max_wait or max_pause permits", status=429, attempts=0)
    error.retry_after = seconds
    return error
