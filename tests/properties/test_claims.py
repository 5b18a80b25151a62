"""Several processes over one list of payments, stopped, killed and cut off from claims and API: none is sent twice."""

import asyncio
import heapq
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from amili_async import NewCreditorPayment
from amili_async._wire.protocol import Request, Response
from amili_async.errors import ConnectionFailed, ServerFault, ValidationFailed
from amili_async.payments.create import MAX_TIME_IN_FLIGHT
from tests.support.claims import MemoryClaims
from tests.support.clocks import MovedClock, settle
from tests.support.exhaustive import examples
from tests.support.payment_registry import POST, KeepingRegistry
from tests.support.payments import make_payments

T = TypeVar("T")

MAX_STOPS = 20
"""Times that all processes are stopped: never, in all, for as long as a payment can be in flight."""


class IterationsClock(MovedClock):
    """Time passes by the iterations of the loop, so that no machine is too slow for a claim."""

    async def run(self) -> None:
        """Let time pass until this is cancelled."""
        while True:
            await settle(10)
            self.skip(0.05)
            while self._timers and self._timers[0][0] <= self.now():
                _, _, timer = heapq.heappop(self._timers)
                if timer.callback is not None:
                    timer.callback()


class World:
    """The fate of everything that happens in a run, chosen by a seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.stops = 0
        self.is_quiet = False
        """Whether nothing fails any more."""

    def happens(self, probability: float) -> bool:
        """Whether something with this probability happens now."""
        return not self.is_quiet and self.random.random() < probability

    async def pass_time(self, registry: KeepingRegistry) -> None:
        """Let other processes run, and now and then stop all of them for longer than an unsent claim lives."""
        for _ in range(self.random.randint(0, 4)):
            await asyncio.sleep(0)
        if self.stops < MAX_STOPS and self.happens(0.05):
            self.stops += 1
            registry.clock.skip(self.random.choice([4, 11, 30]))


class Process(KeepingRegistry):
    """One process, with a memory of its own; rows, and requests that have left it, are the server's."""

    def __init__(self, world: World, server: KeepingRegistry, arriving: set[asyncio.Task[Response]]) -> None:
        super().__init__(server.clock)
        self.world, self.rows, self.arriving = world, server.rows, arriving

    async def call(self, request: Request) -> Response:
        await self.world.pass_time(self)
        if request.method != "POST":
            if self.world.happens(0.05):
                raise ServerFault("down", status=503, request=request.label)
            return await super().call(request)
        assert request.before_send is not None
        await request.before_send()
        if self.world.happens(0.1):
            raise ConnectionFailed("refused", request=POST, was_sent=False)
        if self.world.happens(0.1):
            raise ConnectionFailed("lost before it arrived", request=POST)
        arrival = asyncio.ensure_future(self._arrive(replace(request, before_send=None)))
        self.arriving.add(arrival)
        if self.world.happens(0.2):
            raise ConnectionFailed("timed out before it arrived", request=POST)
        response = await asyncio.shield(arrival)  # what has left the process arrives, also if the process is killed
        if self.world.happens(0.1):
            raise ConnectionFailed("response lost", request=POST)
        return response

    async def _arrive(self, request: Request) -> Response:
        if self.world.happens(0.5):  # in a slow network, or queued by a gateway
            await settle(self.world.random.randint(50, 800))
        await self.world.pass_time(self)
        if self.world.happens(0.1):
            raise ValidationFailed("no", status=422, request=POST)
        return await super().call(request)


class ProcessClaims(MemoryClaims):
    """The claims of all processes, as one of them reaches them: with failures, and with no effect once it is killed."""

    def __init__(self, process: Process, shared: MemoryClaims) -> None:
        super().__init__(process.clock)
        self.process, self.held = process, shared.held
        self.is_killed = False

    async def take(self, keys: Sequence[str], *, owner: str, seconds: float) -> frozenset[str]:
        return await self._unless_failing(lambda: super(ProcessClaims, self).take(keys, owner=owner, seconds=seconds))

    async def keep(self, keys: Sequence[str], *, owner: str, seconds: float) -> frozenset[str]:
        return await self._unless_failing(lambda: super(ProcessClaims, self).keep(keys, owner=owner, seconds=seconds))

    async def give_up(self, keys: Sequence[str], *, owner: str) -> None:
        await self._unless_failing(lambda: super(ProcessClaims, self).give_up(keys, owner=owner))

    async def _unless_failing(self, query: Callable[[], Awaitable[T]]) -> T:
        """Await the store; the question or the answer can be lost."""
        await self.process.world.pass_time(self.process)
        if self.is_killed or self.process.world.happens(0.03):
            raise OSError
        result = await query()
        if self.process.world.happens(0.03):
            raise OSError
        return result


async def run_once(process: Process, payments: Sequence[NewCreditorPayment], shared: MemoryClaims) -> None:
    """Run over the list; some runs are cancelled, and some of those killed."""
    world, claims = process.world, ProcessClaims(process, shared)
    run = asyncio.ensure_future(
        process.collect(payments, claims=claims, width=world.random.randint(1, 4), lookup_timeout=0.1)
    )
    while not run.done() and not world.happens(0.01):
        await asyncio.wait({run}, timeout=0)
    claims.is_killed = world.happens(0.5)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


@examples(400)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(2, 4))
def test_no_history_of_several_processes_registers_a_payment_twice(seed: int, count: int, processes: int) -> None:
    """Runs at once and one after another; a last one, 15 minutes later, registers what is left."""

    async def play() -> None:
        clock = IterationsClock()
        passing = asyncio.ensure_future(clock.run())
        world, server, arriving = World(seed), KeepingRegistry(clock), set[asyncio.Task[Response]]()
        payments, shared = make_payments(count), MemoryClaims(server.clock)

        async def repeat() -> None:
            process = Process(world, server, arriving)
            for _ in range(3):
                if world.happens(0.3):  # a process that starts again has forgotten what it sent
                    process = Process(world, server, arriving)
                await run_once(process, payments, shared)

        await asyncio.gather(*(repeat() for _ in range(processes)))
        await asyncio.gather(*arriving, return_exceptions=True)
        registered = Counter(row["creditor_payment_reference"] for row in server.rows)
        assert [reference for reference, times in registered.items() if times > 1] == []
        world.is_quiet = True
        server.clock.skip(MAX_TIME_IN_FLIGHT)
        outcomes = await Process(world, server, arriving).collect(payments, claims=shared)
        assert [outcome.error for outcome in outcomes] == [None] * count
        assert sorted(row["creditor_payment_reference"] for row in server.rows) == sorted(
            payment.creditor_payment_reference for payment in payments
        )
        passing.cancel()

    asyncio.run(play())
