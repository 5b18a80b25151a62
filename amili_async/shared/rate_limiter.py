"""The rate limiter of an API key that many processes use.

Invariant: a permit is granted by `rate_limiter.lua` alone, or, while Redis cannot be reached, by the share of this
process. No cancellation of a call reaches a command of Redis, which runs in a task of its own.
"""

import asyncio
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING

from amili_async._wire.announcer import Announcer
from amili_async._wire.checks import check_seconds
from amili_async._wire.clock import SystemClock
from amili_async._wire.frames import hide_variables
from amili_async._wire.quota import MAX_PAUSE
from amili_async._wire.rate_limiter import exhausted
from amili_async._wire.sliding_window import MIN_PAUSE
from amili_async._wire.tasks import not_picklable
from amili_async.errors import ClientClosed, ConfigurationError
from amili_async.events import Observer, RateLimiterPaused
from amili_async.policies import Priority, Quota, RateLimit, RateLimiter
from amili_async.shared.calls import WaitingCalls
from amili_async.shared.connection import connect
from amili_async.shared.exchange import Exchange
from amili_async.shared.own_use import OwnUse
from amili_async.shared.permits import SharedPermits
from amili_async.shared.status import RateLimiterStatus

if TYPE_CHECKING:
    from redis.asyncio import Redis


@not_picklable
class RedisRateLimiter(RateLimiter):
    """One rate limiter for all processes that give the same Redis, or Valkey, and the same name.

    Open it before the clients that use it, in their event loop, and close it after them:
    `async with RedisRateLimiter.from_url(…) as limiter, AmiliClient(rate_limit=limiter, …) as amili`.

    - *redis*: your `redis.asyncio.Redis`, which is not closed.
    - *name*: of the API key.
    - *limit*: what the API allows for the key; its `reserve` is kept for the single calls and tokens of all processes.
    - *share*: what this process may send while Redis cannot be reached, such as a quarter of the limit with four
      processes. Without one, calls wait for Redis, at most `limit.max_pause` seconds, and then raise
      `RateLimiterUnavailable`.
    - *lease*: seconds after which a process that sends no message counts as dead, and its requests as answered.

    All state is one key of Redis; it needs no persistence, and must not be evicted.
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
        if not name or not isinstance(name, str) or not isinstance(limit, RateLimit):
            raise ConfigurationError("RedisRateLimiter: name must be a str that names the API key, limit a RateLimit")
        self._redis, self._owns_redis, self._name = redis, False, name
        self._limit, self._share = limit, share
        self._lease = check_seconds(lease, "lease", is_positive=True)
        self._clock, self._announce = SystemClock(), Announcer()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reset()

    def _reset(self) -> None:
        self._exchange = Exchange(self._redis, self._name, limit=self._limit, lease=self._lease, clock=self._clock)
        self._calls = WaitingCalls(self._clock, self._announce)
        self._use = OwnUse(self._limit, self._share)
        self._permits = SharedPermits(
            self._exchange,
            self._calls,
            self._use,
            max_pause=self._limit.max_pause,
            clock=self._clock,
            announce=self._announce,
        )
        self._quota_reset_at = -inf

    @classmethod
    @hide_variables  # the URL may hold a password
    def from_url(
        cls,
        url: str,
        name: str,
        *,
        limit: RateLimit = RateLimit(reserve=10),
        share: RateLimit | None = None,
        lease: float = 5.0,
    ) -> "RedisRateLimiter":
        """One with a connection of its own.

        - *url*: `redis://…`, `rediss://…` or `unix://…`.
        - *name*, *limit*, *share*, *lease*: as for `RedisRateLimiter`.
        """
        limiter = cls(connect(url), name, limit=limit, share=share, lease=lease)
        limiter._owns_redis = True
        return limiter

    def __repr__(self) -> str:
        return f"RedisRateLimiter({self._name!r}, {'open' if self._loop else 'closed'})"

    async def open(self) -> "RedisRateLimiter":
        """Get ready to grant permits; nothing is sent yet. Opening an open one does nothing."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._reset()  # here: a process that was forked from the one that made it needs a name of its own
        self._check_open()
        return self

    async def aclose(self) -> None:
        """End the waits of this process with `ClientClosed`, and report what it sent. Closing twice does nothing."""
        if self._loop is None:
            return
        self._check_open()
        self._loop = None
        for call in self._calls:
            call.fail(ClientClosed("the rate limiter was closed while this call waited for a permit"))
        try:
            await self._permits.aclose()
        finally:
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
        return self._permits.in_flight

    @property
    def waiting(self) -> int:
        """How many calls of this process wait for a permit."""
        return sum(self._calls.count())

    @property
    def remaining(self) -> int | None:
        """How many requests of this minute were left by the latest reply; `None` if that is too old."""
        used = self._permits.used
        return None if used is None else max(0, self._limit.per_minute - used)

    def forecast(self, requests: int) -> float:
        """Seconds until the last of so many requests of a stream may be sent, if no other process sends any."""
        return self._use.forecast(requests, self._clock.now())

    def add_observer(self, observer: Observer) -> None:
        """Call *observer* with each event from now on."""
        self._announce.add(observer)

    def remove_observer(self, observer: Observer) -> None:
        """Stop calling it."""
        self._announce.remove(observer)

    async def status(self) -> RateLimiterStatus:
        """What all processes use now; `RateLimiterUnavailable` if Redis cannot be reached."""
        self._check_open()
        reply = await self._permits.fetch_status()
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
        pause = self._permits.paused_until - self._clock.now()
        if pause > self._limit.max_pause:
            raise exhausted(pause)
        self._permits.request(priority, max_wait)
        with self._calls.join(priority, max_wait, self._permits.expire) as call:
            self._permits.grant_from_share()
            try:
                await call.permit
            except asyncio.CancelledError:
                # The permit may have been granted before the cancellation, with the task not having run in between.
                if call.has_permit:
                    self.release_unused()
                raise

    def release_unused(self) -> None:
        """Release a permit with which nothing was sent: others can use it at once."""
        self._exchange.add_unused()
        self._use.on_unused()
        self._permits.on_released(is_unused=True)

    def on_response(self, quota: Quota | None = None) -> None:
        """Release a permit with which a request was sent; *quota* is what the response reported."""
        now = self._clock.now()
        # With equal limits a report does not show which of the two windows it is about.
        if quota is not None and not quota.limit == self._limit.per_minute != self._limit.per_second:
            quota = None
        if quota is not None:
            if quota.remaining <= 0 and now >= self._quota_reset_at:
                self._announce(RateLimiterPaused(seconds=quota.reset_in, reason="quota"))
            self._quota_reset_at = now + min(quota.reset_in, MAX_PAUSE)
        self._use.on_response(quota, now)
        self._exchange.add_response(now, quota)
        self._permits.on_released(is_unused=False)

    def on_no_response(self, seconds: float) -> None:
        """Release a permit whose request will get no response, but may reach the server within so many seconds."""
        counted_by = self._clock.now() + max(0.0, seconds)
        self._use.on_no_response(counted_by)
        self._exchange.add_response(counted_by, None)
        self._permits.on_released(is_unused=False)

    def on_rate_limited(self, seconds: float | None) -> float:
        """Pause all processes for as long as a 429 demands, else until the reported reset, else for a minute."""
        now = self._clock.now()
        demanded = max(seconds if seconds is not None else max(0.0, self._quota_reset_at - now) or 60.0, MIN_PAUSE)
        until = now + min(demanded, MAX_PAUSE)
        self._use.on_rate_limited(seconds, now)
        if until > self._permits.paused_until:
            self._permits.paused_until = until
            self._exchange.add_pause(until)
            self._permits.report()
            self._announce(RateLimiterPaused(seconds=until - now, reason="429"))
        self._permits.fail_if_too_long(demanded)
        return max(demanded, self._permits.paused_until - now)

    def _check_open(self) -> None:
        if self._loop is None:
            raise ConfigurationError("the rate limiter is not open: use `async with RedisRateLimiter.from_url(…)`")
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigurationError("the rate limiter was opened in another event loop: create one per event loop")
