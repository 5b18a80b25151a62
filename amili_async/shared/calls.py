"""The calls of one process that wait for a permit: first come, first served within a priority."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf

from amili_async._wire.announcer import Announcer
from amili_async._wire.clock import Clock
from amili_async._wire.rate_limiter import LONG_WAIT
from amili_async.events import PermitDelayed
from amili_async.policies import Priority


class WaitingCall:
    """A call in its queue."""

    def __init__(self, deadline: float) -> None:
        self.permit: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the permit is granted, or the wait failed."""
        self.deadline = deadline
        """When it fails without one."""

    def fail(self, error: Exception) -> None:
        """End its wait with an error, unless it has ended."""
        if not self.permit.done():
            self.permit.set_exception(error)

    @property
    def has_permit(self) -> bool:
        """Whether it was granted one, even if the call was cancelled since."""
        return self.permit.done() and not self.permit.cancelled() and self.permit.exception() is None


class WaitingCalls:
    """One queue per priority; calls whose wait has ended stay in theirs until they reach its head."""

    def __init__(self, clock: Clock, announce: Announcer) -> None:
        self._clock, self._announce = clock, announce
        self._queues: tuple[deque[WaitingCall], ...] = tuple(deque() for _ in Priority)
        self._delay_reported_at = [-LONG_WAIT] * len(Priority)

    def __iter__(self) -> Iterator[WaitingCall]:
        return (call for queue in self._queues for call in queue if not call.permit.done())

    def count(self) -> list[int]:
        """How many calls wait, per priority."""
        return [sum(not call.permit.done() for call in queue) for queue in self._queues]

    def find_first(self) -> Priority | None:
        """The highest priority in which a call waits."""
        for priority, queue in zip(Priority, self._queues, strict=True):
            while queue and queue[0].permit.done():
                queue.popleft()
            if queue:
                return priority
        return None

    @contextmanager
    def join(
        self, priority: Priority, max_wait: float | None, expire: Callable[[WaitingCall], None]
    ) -> Iterator[WaitingCall]:
        """A call at the end of its queue; *expire* is called with it if it still waits after *max_wait* seconds."""
        call = WaitingCall(inf if max_wait is None else self._clock.now() + max_wait)
        self._queues[priority].append(call)
        timers = []
        if max_wait is not None:
            timers.append(self._clock.call_later(max_wait, partial(expire, call)))
        if self._announce:
            timers.append(self._clock.call_later(LONG_WAIT, partial(self._report_delay, priority)))
        try:
            yield call
        finally:
            for timer in timers:
                timer.cancel()

    def grant(self, priority: Priority) -> bool:
        """Grant a permit to the first call of a priority; false if none waits."""
        queue = self._queues[priority]
        while queue:
            call = queue.popleft()
            if not call.permit.done():
                call.permit.set_result(None)
                return True
        return False

    def _report_delay(self, priority: Priority) -> None:
        now = self._clock.now()
        if now - self._delay_reported_at[priority] >= LONG_WAIT:
            self._delay_reported_at[priority] = now
            waiting = sum(self.count())
            self._announce(PermitDelayed(priority=priority.name.lower(), seconds=LONG_WAIT, waiting=waiting))
