"""The messages between this process and `rate_limiter.lua`: numbered, and repeated until a reply arrives.

Invariant: what happened is reported once. A message whose reply was lost is sent again under its number, so that the
script applies it once, and each sending has a number of its own, so that the script ignores one that arrives late.
"""

import asyncio
import secrets
from collections import deque
from math import floor, inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from amili_async._wire.clock import Clock
from amili_async._wire.quota import MAX_PAUSE
from amili_async._wire.tasks import not_picklable
from amili_async.policies import Quota, RateLimit

if TYPE_CHECKING:
    from redis.asyncio import Redis

TIMEOUT = 1.5
"""Seconds for one exchange, whatever a borrowed client of Redis permits: by default that of redis-py 8 retries for
seconds where no process listens, and for a minute where one does not answer."""
MINUTE = 60.0


class Reply(Struct, frozen=True, kw_only=True):
    """What the script decided; times are milliseconds."""

    is_stale: bool = False
    """The message was older than another one of this process, and had no effect."""
    is_late: bool = False
    """The message was late, or a clock was set: send it again, and without delay."""
    is_lost: bool = False
    """Redis has lost its data: send the message again with all that happened in the last minute."""
    epoch: str = ""
    """Names the data; another one means that Redis lost it."""
    now: int = 0
    """The time of the shared rate limiter."""
    held_back: int = 0
    """By how much it was ever held back, where clocks were set or messages late."""
    granted: tuple[int, ...] = (0, 0, 0)
    """Permits per priority."""
    again: int = -1
    """Until the next message; negative if nothing is waited for."""
    earliest: int = 0
    """Until the next permit of any priority, at the earliest."""
    closed_for: int = 0
    """Until the end of the pause, if there is one."""
    used: int = 0
    """Requests in flight or of the last minute, of all processes, as the next fields are."""
    in_flight: int = 0
    """Permits that are held."""
    waiting: int = 0
    """Calls that wait."""
    processes: int = 0
    """Processes that sent a message lately."""
    is_paced: bool = False
    """Whether requests are evenly spaced after a 429."""
    is_differing: bool = False
    """Whether another process states another limit."""
    is_urgent: bool = False
    """Whether others wait for a response of this process: report it at once."""


class _Report(Struct):
    """What happened since the last one, by the clock of this process."""

    number: int
    responses: deque[tuple[float, Quota | None]]
    paused_until: float = 0.0
    unused: int = 0


class _Message(Struct, kw_only=True, omit_defaults=True):
    """What the script reads; ages and durations are milliseconds."""

    id: str
    epoch: str
    new_epoch: str
    number: int
    sending: int
    expected_now: int
    held_back: int
    in_flight: int
    wanted: list[int]
    responses: list[tuple[int, ...]]
    went_alone: bool
    pause: int
    unused: int
    lease: int
    per_minute: int
    per_second: int
    reserve: int
    is_checked: bool = False
    log: list[int] | None = None


@not_picklable
class Exchange:
    """Exchanges messages with the script, one at a time."""

    def __init__(self, redis: "Redis", name: str, *, limit: RateLimit, lease: float, clock: Clock) -> None:
        # The script of a later version may keep other data: `1` is the version of the data.
        self._key = f"amili:rate-limiter:1:{name}"
        self._run: Any = redis.register_script(Path(__file__).with_name("rate_limiter.lua").read_text())
        self._limit, self.lease, self._clock = limit, lease, clock
        self._id = secrets.token_hex(8)
        self._sendings = 0
        self._epoch, self._reply_now, self._held_back, self._replied_at = "", 0, 0, 0.0
        self._sent: _Report | None = None  # its reply has not arrived
        self._next = _Report(1, deque())
        self._last_minute: deque[float] = deque(maxlen=limit.per_minute)

    @property
    def has_news(self) -> bool:
        """Whether something is to be reported that is of use to others."""
        reports = [report for report in (self._sent, self._next) if report is not None]
        latest = max((at for report in reports for at, _ in report.responses), default=-inf)
        return max(latest + MINUTE, *(report.paused_until for report in reports)) > self._clock.now()

    def add_response(self, counted_by: float, quota: Quota | None) -> None:
        """A request was counted by the server no later than *counted_by*, which may be in the future."""
        responses = self._next.responses
        responses.append((counted_by, quota))
        while responses[0][0] <= self._clock.now() - MINUTE:  # in a long outage
            responses.popleft()
        self._last_minute.append(counted_by)

    def add_unused(self) -> None:
        """A permit was released with which nothing was sent."""
        self._next.unused += 1

    def add_pause(self, until: float) -> None:
        """A 429 demands that nothing is sent until then."""
        self._next.paused_until = max(self._next.paused_until, until)

    async def send(self, *, in_flight: int, wanted: list[int], went_alone: bool) -> Reply:
        """Report what happened, request permits, and return the reply; raises what the client of Redis raises."""
        if self._sent is None:
            self._sent, self._next = self._next, _Report(self._next.number + 1, deque())
        # What is reported the next time is in flight until then.
        state = {"in_flight": in_flight + len(self._next.responses), "wanted": wanted, "went_alone": went_alone}
        async with asyncio.timeout(TIMEOUT):
            reply = await self._send(self._sent, state)
            if reply.is_late:
                reply = await self._send(self._sent, state | {"is_checked": True})
            if reply.is_lost:
                reply = await self._send(self._sent, state | {"log": self._list_last_minute(self._sent)})
        if not reply.epoch:
            raise ConnectionError("Redis lost its data again, or repeated an earlier message")
        self._sent = None
        return reply

    async def _send(self, report: _Report, state: dict[str, Any]) -> Reply:
        self._sendings += 1
        now = self._clock.now()
        message = _Message(
            id=self._id,
            epoch=self._epoch,
            new_epoch=f"{self._id}-{self._sendings}",
            number=report.number,
            sending=self._sendings,
            expected_now=self._reply_now + _milliseconds(now - self._replied_at),
            held_back=self._held_back,
            responses=[self._describe(now - at, quota) for at, quota in report.responses],
            pause=max(0, _milliseconds(report.paused_until - now)),
            unused=report.unused,
            lease=_milliseconds(self.lease),
            per_minute=self._limit.per_minute,
            per_second=self._limit.per_second,
            reserve=self._limit.reserve,
            **state,
        )
        reply = msgspec.json.decode(await self._run(keys=[self._key], args=[msgspec.json.encode(message)]), type=Reply)
        if reply.epoch:
            self._epoch, self._replied_at = reply.epoch, self._clock.now()
            self._reply_now, self._held_back = reply.now, reply.held_back
        return reply

    def _describe(self, age: float, quota: Quota | None) -> tuple[int, ...]:
        age = floor(age * 1000)  # never older than it is: its slot would be free too early
        return (age,) if quota is None else (age, quota.remaining, _milliseconds(min(quota.reset_in, MAX_PAUSE)))

    def _list_last_minute(self, sent: _Report) -> list[int]:
        """The ages of the requests of the last minute that the message does not report."""
        now, reported = self._clock.now(), {at for report in (sent, self._next) for at, _ in report.responses}
        return [floor((now - at) * 1000) for at in self._last_minute if at > now - MINUTE and at not in reported]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
