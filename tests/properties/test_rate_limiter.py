"""No schedule of calls, responses, cancellations and clock steps puts too many requests into a window of the server.

The server is a model that notes when each request reaches it, at any moment between the permit and the response, or the
timeout if its call was cancelled, and counts backwards from there.
"""

import asyncio
from math import inf
from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from amili_async._wire.rate_limiter import MAX_OVERTAKEN, SlidingWindowLimiter
from amili_async.policies import Priority, Quota, RateLimit
from tests.support.clocks import MovedClock, settle
from tests.support.exhaustive import examples

PER_SECOND, PER_MINUTE = 2, 5
TIMEOUT = 8.0
"""Seconds within which a request reaches the server, if it does at all."""
Operation: TypeAlias = tuple[Any, ...]

steps = st.sampled_from([0.0, 0.001, 0.3, 0.5, 0.999, 1.0, 1.004, 1.006, 7.0, 30.0, 59.0, 59.999, 60.0, 60.01, 200.0])
others = st.builds(
    Quota,
    limit=st.none() | st.integers(0, 8).filter(lambda limit: limit != PER_MINUTE),
    remaining=st.integers(0, 8),
    reset_in=st.floats(0, 70),
)
quotas = st.sampled_from([None, "true", "true", "true"]) | others
"""What a response reports: nothing, the truth about the minute, or another count."""
operations = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.sampled_from(Priority)),
        st.tuples(st.just("call"), st.sampled_from(Priority)),
        st.tuples(st.just("reach"), st.integers(0, 9)),
        st.tuples(st.just("answer"), st.integers(0, 9), st.booleans(), quotas),
        st.tuples(st.just("release unused"), st.integers(0, 9)),
        st.tuples(st.just("abandon"), st.integers(0, 9)),
        st.tuples(st.just("reach late"), st.integers(0, 9)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("answer and cancel"), st.integers(0, 9), st.integers(0, 9)),
        st.tuples(st.just("pause"), st.none() | st.floats(0, 100)),
        st.tuples(st.just("move"), steps),
        st.tuples(st.just("move"), steps),
        st.tuples(st.just("sleep through"), steps),
    ),
    min_size=5,
    max_size=60,
)


class Caller:
    """One call: it waits for a permit, is in flight, reaches the server, gets a response."""

    def __init__(self, priority: Priority, number: int) -> None:
        self.place = (priority, number)
        self.task: asyncio.Task[None] | None = None
        self.deadline = inf
        """When its attempt times out: later it does not reach the server."""
        self.truth: Quota | None = None
        """The server's count of the minute when this call reached it."""


class LimiterModel:
    """A rate limiter, its callers, and the server that they send to."""

    def __init__(self, reserve: int) -> None:
        self.clock = MovedClock()
        limit = RateLimit(per_second=PER_SECOND, per_minute=PER_MINUTE, reserve=reserve)
        self.limiter = SlidingWindowLimiter(limit, clock=self.clock)
        self.waiting: list[Caller] = []
        self.in_flight: list[Caller] = []
        self.reached: list[Caller] = []
        self.abandoned: list[Caller] = []
        self.seen: list[float] = []
        self.paused_until = 0.0
        self.calls = self.served = self.left = 0
        self.overtaking = [0] * len(Priority)
        """Permits that each priority got while a higher one waited."""

    async def do(self, what: str, *details: Any) -> None:
        """Run one operation, and every task that it makes runnable."""
        await getattr(self, what.replace(" ", "_"))(*details)
        await settle(4)

    async def call(self, priority: Priority) -> None:
        caller = Caller(priority, self.calls)
        self.calls += 1
        self.waiting.append(caller)
        caller.task = asyncio.create_task(self._wait(caller))

    async def _wait(self, caller: Caller) -> None:
        await self.limiter.acquire(caller.place[0])
        self.waiting.remove(caller)
        same = [other for other in self.waiting if other.place[0] is caller.place[0]]
        assert all(caller.place < other.place for other in same), "a caller was overtaken within its priority"
        self.overtaking[caller.place[0]] += any(other.place < caller.place for other in self.waiting)
        # The permit of a caller that was cancelled before it noticed counts too.
        most = (self.served + self.left) // MAX_OVERTAKEN
        assert max(self.overtaking) <= most, "a caller was overtaken more than once in ten permits"
        assert self.clock.now() >= self.paused_until, "sent during a pause that the server demanded"
        caller.deadline = self.clock.now() + TIMEOUT
        self.in_flight.append(caller)
        self.served += 1

    async def reach(self, number: int) -> None:
        """A request reaches the server."""
        if number < len(self.in_flight):
            self._receive(self.in_flight.pop(number))

    def _receive(self, caller: Caller) -> None:
        now = self.clock.now()
        self.seen.append(now)
        self.reached.append(caller)
        assert sum(at > now - 1.0 for at in self.seen) <= PER_SECOND, "too many in a second"
        minute = [at for at in self.seen if at > now - 60.0]
        assert len(minute) <= PER_MINUTE, "too many in a minute"
        caller.truth = Quota(limit=PER_MINUTE, remaining=PER_MINUTE - len(minute), reset_in=minute[0] + 60.0 - now)

    async def answer(self, number: int, is_sent: bool = True, report: Quota | str | None = None) -> None:
        """A call gets its response; its request may reach the server only now."""
        if is_sent and self.in_flight:
            self._receive(self.in_flight.pop(number % len(self.in_flight)))
        if self.reached:
            caller = self.reached.pop(number % len(self.reached))
            self.limiter.on_response(caller.truth if isinstance(report, str) else report)

    async def release_unused(self, number: int) -> None:
        """A caller releases its permit unused."""
        if number < len(self.in_flight):
            self.in_flight.pop(number)
            self.limiter.release_unused()

    async def abandon(self, number: int) -> None:
        """A call is cancelled, or its connection breaks, while its request may still be in the network."""
        if number < len(self.in_flight):
            caller = self.in_flight.pop(number)
            self.limiter.on_no_response(max(0.0, caller.deadline - self.clock.now()))
            self.abandoned.append(caller)

    async def reach_late(self, number: int) -> None:
        """A request whose call has ended reaches the server after all."""
        self.abandoned = [caller for caller in self.abandoned if caller.deadline >= self.clock.now()]
        if number < len(self.abandoned):
            self._receive(self.abandoned.pop(number))
            self.reached.pop()

    async def cancel(self, number: int) -> None:
        if number < len(self.waiting):
            caller = self.waiting.pop(number)
            assert caller.task is not None
            caller.task.cancel()
            self.left += 1

    async def answer_and_cancel(self, number: int, other: int) -> None:
        """The permit that a response frees is given to a caller that is cancelled in the same step."""
        await self.answer(number)
        await self.cancel(other)

    async def pause(self, seconds: float | None) -> None:
        self.paused_until = max(self.paused_until, self.clock.now() + self.limiter.on_rate_limited(seconds))

    async def move(self, seconds: float) -> None:
        await self.clock.move(seconds)

    async def sleep_through(self, seconds: float) -> None:
        """The machine is suspended: time passes, and timers are late."""
        self.clock.skip(seconds)
        await self.clock.move(0)

    async def end(self) -> None:
        """Every waiter gets a permit within a time that the number of waiters bounds."""
        for _ in range(4 * (len(self.waiting) + 3)):
            while self.in_flight or self.reached:
                await self.do("answer", 0)
            await self.clock.move(61.0)
        assert not self.waiting, "a caller starved"
        assert self.served + self.left == self.calls
        while self.in_flight or self.reached:
            await self.do("answer", 0)
        assert (self.limiter.in_flight, self.limiter.waiting) == (0, 0)


@examples(400)
@given(operations, st.sampled_from([0, 0, 2, 4]))
def test_no_schedule_exceeds_a_window_or_starves_a_caller(schedule: list[Operation], reserve: int) -> None:
    """In any order of events, windows and gate hold, priorities keep their order, and every waiter gets a permit."""

    async def run() -> None:
        model = LimiterModel(reserve)
        for operation in schedule:
            await model.do(*operation)
        await model.end()

    asyncio.run(run())
