"""The permits of this process: requested from Redis, and granted by its share while Redis cannot be reached.

Invariant: a call that waits stays in one queue, whatever grants its permit, so that nothing grants two at a time.
"""

import asyncio
import logging
from math import inf

from amili_async._wire.announcer import Announcer
from amili_async._wire.clock import Clock
from amili_async._wire.rate_limiter import exhausted
from amili_async._wire.tasks import not_picklable
from amili_async.errors import RateLimiterUnavailable
from amili_async.events import RateLimiterDisconnected, RateLimiterReconnected
from amili_async.policies import Priority
from amili_async.shared.calls import WaitingCall, WaitingCalls
from amili_async.shared.exchange import MINUTE, Exchange, Reply
from amili_async.shared.own_use import OwnUse
from amili_async.shared.timing import ExchangeTimer

_logger = logging.getLogger("amili_async")

REPORT_DELAY = 0.5
"""Seconds until a response is reported: its age is too, and its slot is of no use before a second has passed."""
PROMPTLY = 0.02
"""Seconds until something is reported that lets others send at once."""
SHARE_DELAY = 1.1
"""Seconds from the first message without a reply until the share is used: others may have had all permits of that
second, and a part of the share is free in each process."""
RETRY_DELAY, SLOW_RETRY_DELAY, SHORT_OUTAGE = 0.25, 1.0, 5.0
"""Seconds until Redis is tried again: at first, and in an outage that is longer than the third."""


@not_picklable
class SharedPermits:
    """Requests permits, reports their use, and grants them to the calls that wait."""

    def __init__(
        self,
        exchange: Exchange,
        calls: WaitingCalls,
        use: OwnUse,
        *,
        max_pause: float,
        clock: Clock,
        announce: Announcer,
    ) -> None:
        self._exchange, self._calls, self._use = exchange, calls, use
        self._max_pause, self._clock, self._announce = max_pause, clock, announce
        self._timer = ExchangeTimer(self._run_exchange, self._is_exchange_needed)
        self._share_timer: asyncio.TimerHandle | None = None
        self._status_waiters: list[asyncio.Future[Reply]] = []
        self.in_flight = 0
        """Permits that are held."""
        self.paused_until = -inf
        """Until when a 429, or a used up quota, forbids all requests."""
        self.reply: Reply | None = None
        """The latest one."""
        self._replied_at = self._earliest_at = self._lost_since = self._alone_at = -inf
        self._share_from = -inf
        self._is_lost = False

    @property
    def used(self) -> int | None:
        """Requests of the last minute, of all processes; `None` if no reply arrived within it."""
        return self.reply.used if self.reply and self._clock.now() - self._replied_at < MINUTE else None

    def request(self, priority: Priority, max_wait: float | None) -> None:
        """A call is about to wait: request its permit, unless that is due already; raises if it would wait too long."""
        first = self._calls.find_first()
        self._is_lost &= not self._timer.is_idle  # nothing was attempted since the last call: Redis may be back
        if self._is_lost:
            self._timer.due_in(RETRY_DELAY)
        elif first is None or first > priority:
            self._timer.due_in(0.0)
        elif max_wait is not None and self._earliest_at - self._clock.now() > max_wait:
            raise exhausted(self._earliest_at - self._clock.now())

    def report(self) -> None:
        """Something is to be reported at once."""
        self._timer.due_in(0.0)

    def on_released(self, *, is_unused: bool) -> None:
        """A permit is held no longer: report it in time, and grant what the share has free."""
        self.in_flight = max(0, self.in_flight - 1)  # a call may outlive an earlier opening of the limiter
        is_urgent = is_unused or (self.reply is not None and self.reply.is_urgent)
        self._timer.due_in(PROMPTLY if is_urgent else REPORT_DELAY)
        self.grant_from_share()

    async def fetch_status(self) -> Reply:
        """The state of all processes now."""
        waiter: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._status_waiters.append(waiter)
        self._timer.due_in(0.0)
        return await waiter

    async def aclose(self) -> None:
        """Report what others can use, if Redis can be reached; no task or timer is left."""
        self._cancel_share_timer()
        await self._timer.aclose()

    def expire(self, call: WaitingCall) -> None:
        """A call has waited as long as it may."""
        call.fail(self._unavailable() if self._is_lost else exhausted(max(0.0, self._earliest_at - self._clock.now())))

    def fail_if_too_long(self, pause: float) -> None:
        """End all waits if the pause is longer than any call may wait."""
        if pause > self._max_pause:
            self._fail_all(exhausted(pause))

    def grant_from_share(self) -> None:
        """While Redis cannot be reached, grant what the share permits, and set the timer for the next."""
        self._cancel_share_timer()
        while self._is_lost and (priority := self._calls.find_first()) is not None:
            now = self._clock.now()
            free = self._use.wait(now, keeps_reserve=priority is Priority.BULK)
            wait = max(free, self.paused_until - now, self._share_from - now)
            if wait > 0.0:
                if wait < inf:
                    self._share_timer = asyncio.get_running_loop().call_later(wait, self.grant_from_share)
                return
            self._grant(priority)
            self._alone_at = now

    def _is_exchange_needed(self) -> bool:
        is_owed = self.in_flight > 0 or bool(self._status_waiters) or self._exchange.has_news
        return is_owed or self._calls.find_first() is not None

    async def _run_exchange(self) -> None:
        started, alone_at, wanted = self._clock.now(), self._alone_at, self._calls.count()
        went_alone = started - alone_at < MINUTE
        try:
            reply = await self._exchange.send(in_flight=self.in_flight, wanted=wanted, went_alone=went_alone)
        except Exception as error:  # noqa: BLE001 - a client of Redis that is borrowed may raise anything
            self._on_loss(error, started)
            return
        if self._is_lost:
            self._is_lost = False
            self._cancel_share_timer()
            self._announce(RateLimiterReconnected(seconds=self._clock.now() - self._lost_since))
        if self._alone_at == alone_at:
            self._alone_at = -inf
        self._on_reply(reply, started)

    def _on_reply(self, reply: Reply, started: float) -> None:
        now = self._replied_at = self._clock.now()
        if reply.is_differing and not (self.reply and self.reply.is_differing):
            _logger.warning("the processes that share a rate limiter state different limits: give each the same")
        self.reply, self._earliest_at = reply, now + reply.earliest / 1000
        self.paused_until = max(self.paused_until, now + reply.closed_for / 1000)
        for waiter in self._take_status_waiters():
            waiter.set_result(reply)
        if now - started > self._exchange.lease:  # others may have what was granted
            self._timer.due_in(0.0)
            return
        for priority, count in zip(Priority, reply.granted, strict=True):
            if sum(self._grant(priority) for _ in range(count)) < count:  # their calls were cancelled since
                self._timer.due_in(PROMPTLY)
        self.fail_if_too_long(reply.closed_for / 1000)
        for call in self._calls:
            if call.deadline < self._earliest_at:
                call.fail(exhausted(reply.earliest / 1000))
        if reply.again >= 0:
            self._timer.due_in(reply.again / 1000)
        if self.in_flight:
            self._timer.due_in(self._exchange.lease / 3)

    def _grant(self, priority: Priority) -> bool:
        is_granted = self._calls.grant(priority)
        if is_granted:
            self.in_flight += 1
            self._use.on_sent(self._clock.now())
        return is_granted

    def _on_loss(self, error: Exception, started: float) -> None:
        now = self._clock.now()
        if not self._is_lost:
            self._is_lost, self._lost_since = True, now
            self._share_from = started + SHARE_DELAY
            self._use.take_over(self.used or 0, self._replied_at, now)
            self._announce(RateLimiterDisconnected(error=type(error).__name__))
        for waiter in self._take_status_waiters():
            waiter.set_exception(self._unavailable())
        lost_for = now - self._lost_since
        self._timer.due_in(RETRY_DELAY if lost_for < SHORT_OUTAGE else SLOW_RETRY_DELAY)
        if lost_for > self._max_pause and not self._use.has_share:
            self._fail_all(self._unavailable())
        self.grant_from_share()

    def _take_status_waiters(self) -> list[asyncio.Future[Reply]]:
        waiters, self._status_waiters = self._status_waiters, []
        return [waiter for waiter in waiters if not waiter.done()]

    def _fail_all(self, error: Exception) -> None:
        for call in self._calls:
            call.fail(error)

    def _cancel_share_timer(self) -> None:
        if self._share_timer is not None:
            self._share_timer.cancel()
            self._share_timer = None

    def _unavailable(self) -> RateLimiterUnavailable:
        seconds = self._clock.now() - self._lost_since
        text = f"the Redis of the shared rate limiter has not been reached for {seconds:.1f} s: check that it runs"
        return RateLimiterUnavailable(text, status=429, attempts=0)
