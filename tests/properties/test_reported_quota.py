"""No server that reports its count is sent more than it allows, although its reports free permits early.

Responses arrive late and in any order, and some are lost.
"""

import asyncio
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from amili_async._wire.rate_limiter import SlidingWindowLimiter
from amili_async.policies import Priority, Quota, RateLimit
from tests.support.clocks import JumpingLoop
from tests.support.exhaustive import examples

LIMIT = 4
PERIOD = 60.0


class ReportingServer:
    """Rejects the fifth request of a minute; *phase* is the offset of its clock, if it counts by the clock."""

    def __init__(self, kind: str, phase: float) -> None:
        self.kind = kind
        self.phase = phase
        self.seen: list[float] = []
        self.rejected = 0

    def receive(self, now: float) -> Quota:
        self.seen.append(now)
        counted = self._find_counted(now)
        self.rejected += len(counted) > LIMIT
        reset_in = counted[0] + PERIOD - now if self.kind == "sliding" else PERIOD - (now + self.phase) % PERIOD
        return Quota(limit=LIMIT, remaining=max(0, LIMIT - len(counted)), reset_in=reset_in)

    def _find_counted(self, now: float) -> list[float]:
        if self.kind == "sliding":
            return [at for at in self.seen if at > now - PERIOD]
        minute = floor((now + self.phase) / PERIOD)
        return [at for at in self.seen if floor((at + self.phase) / PERIOD) == minute]


kinds = st.sampled_from(["sliding", "aligned"])
seconds = st.sampled_from([0.0, 0.01, 0.1, 0.6, 2.0])
calls = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.0, 0.5, 5.0, 13.0, 59.0, 60.3]), seconds, seconds, st.integers(0, 9)),
    min_size=6,
    max_size=24,
)


@examples(400)
@given(kinds, st.floats(0, PERIOD), calls)
def test_no_server_that_reports_its_count_is_sent_too_many(
    kind: str, phase: float, schedule: list[tuple[float, float, float, int]]
) -> None:
    """Clock-aligned or sliding, whatever the order of the responses, and although some are lost."""
    server = ReportingServer(kind, phase)

    async def call(limiter: SlidingWindowLimiter, there: float, back: float, luck: int) -> None:
        await limiter.acquire(Priority.BULK)
        await asyncio.sleep(there)
        quota = server.receive(asyncio.get_running_loop().time())
        await asyncio.sleep(back)
        limiter.on_response(None if luck == 0 else quota)

    async def run() -> None:
        limiter = SlidingWindowLimiter(RateLimit(per_second=50, per_minute=LIMIT))
        async with asyncio.TaskGroup() as tasks:
            for gap, there, back, luck in schedule:
                await asyncio.sleep(gap)
                tasks.create_task(call(limiter, there, back, luck))

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(run())
    assert server.rejected == 0
    assert len(server.seen) == len(schedule)
