"""Cancelling every call wherever it waits: it ends at once, leaves nothing behind, and the client goes on working."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from msgspec import Struct

from amili_async import AmiliClient, AmiliError, ApiCodeCredentials, NewCreditorPayment, RateLimit, Token
from amili_async._wire.clock import Clock, SystemClock
from amili_async._wire.rate_limiter import SlidingWindowLimiter
from amili_async.errors import ConfigurationError
from amili_async.export import export
from amili_async.policies import Priority, Quota
from amili_async.sandbox import Fault, Sandbox
from tests.integration.conftest import StartSandbox
from tests.support.cancel_at_each_await import Moment, Stepper
from tests.support.clocks import HastyClock, settle

PAYMENTS = "creditor--payments"
TOKEN_PATH = "/authenticates/api-code"
FEW: dict[str, Any] = {"payouts": 3, "specifications": 60, "payments": 3}


class CountingBudget:
    """The budget that is ours, and a count of the turns that it gave and got back."""

    def __init__(self, clock: Clock) -> None:
        self.budget = SlidingWindowLimiter(RateLimit(per_second=4), clock=clock)
        self.given = self.returned = 0

    async def acquire(self, priority: Priority) -> None:
        await self.budget.acquire(priority)
        self.given += 1

    def release_unused(self) -> None:
        self.returned += 1
        self.budget.release_unused()

    def on_response(self, quota: Quota | None = None) -> None:
        self.returned += 1
        self.budget.on_response(quota)

    def on_rate_limited(self, seconds: float | None) -> float:
        return self.budget.on_rate_limited(seconds)

    def close(self) -> None:
        self.budget.close()


class Scene(Struct):
    """What a call has to do with, made anew for each run."""

    amili: AmiliClient
    sandbox: Sandbox
    budget: CountingBudget
    path: Path
    """A file that is not there yet."""
    payments: list[NewCreditorPayment]
    """None of which is registered."""

    @property
    def one(self) -> str:
        """The id of a payout."""
        return str(self.sandbox.rows("finance--payouts")[0]["_id"])


class Call(Struct, frozen=True):
    """A public coroutine, and what goes wrong while it runs, so that it waits for as much as it ever can."""

    name: str
    run: Callable[[Scene], Awaitable[Any]]
    faults: tuple[tuple[Fault, dict[str, Any]], ...] = ()
    is_sent: bool = True
    """Whether anything is asked of the server."""
    follow_up: Callable[[Scene], Awaitable[None]] | None = None
    """What must hold of the file that it writes."""

    def __repr__(self) -> str:
        return self.name


def make_payments(number: int) -> list[NewCreditorPayment]:
    return [
        NewCreditorPayment(
            creditor="674dbeb208847b9501cc9138",
            case="68678eda88b9226bb78d7169",
            amount=Decimal("100.50"),
            bank_transaction_date=datetime(2025, 7, 4, 16, 20, 41, tzinfo=UTC),
            creditor_payment_reference=f"PAY-{number}-{place}",
        )
        for place in range(3)
    ]


RECORDS: dict[str, Callable[[Scene], Any]] = {
    "stream": lambda scene: scene.amili.payout_specifications.stream(),
    "pages": lambda scene: scene.amili.payout_specifications.stream().pages(),
    "extract": lambda scene: scene.amili.payout_specifications.extract(),
    "batches": lambda scene: scene.amili.payout_specifications.extract().batches(),
    "reconcile": lambda scene: scene.amili.reconcile(),
    "create_many": lambda scene: scene.amili.creditor_payments.create_many(scene.payments, concurrency=1),
}
"""What is read by a loop of the caller's."""


async def read(records: Any) -> list[Any]:
    """All of them, by a consumer that waits for something of its own between two."""
    found = []
    async for each in records:
        found.append(each)
        if len(found) % 20 == 1:
            await asyncio.sleep(0)
    return found


async def create_many(scene: Scene) -> None:
    outcomes = await read(scene.amili.creditor_payments.create_many(scene.payments))
    assert [outcome.payment for outcome in outcomes] == scene.payments
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error


async def export_again(scene: Scene) -> None:
    """What was left of an export is no hindrance to the next one."""
    if not scene.path.exists():
        await export(scene.amili.payout_specifications, scene.path, resume=True)
    assert len(scene.path.read_bytes().splitlines()) == FEW["specifications"]


async def leave_nothing(scene: Scene) -> None:
    """A stream is written whole or not at all."""
    assert list(scene.path.parent.glob(f"{scene.path.name}.*")) == []
    assert not scene.path.exists() or len(scene.path.read_bytes().splitlines()) == FEW["specifications"]


async def close_while_reading(scene: Scene) -> None:
    stream = scene.amili.payout_specifications.stream(page_size=10)
    async with stream, aclosing(stream.pages()) as pages:
        await anext(pages)
        await scene.amili.aclose()


REFUSED = (Fault(revoke=True), {"method": "GET", "path": "finance--payouts"})
DOWN = (Fault.unavailable(), {"method": "GET", "path": "/finance"})
LOST = (Fault(reset="after"), {"method": "POST"})
NEVER_ARRIVED = (Fault(reset="before"), {"method": "POST"})
CALLS = [
    Call("get", lambda scene: scene.amili.payouts.get(scene.one)),
    Call("get again", lambda scene: scene.amili.payouts.get(scene.one), (DOWN, REFUSED)),
    Call("page", lambda scene: scene.amili.payouts.page()),
    Call("count", lambda scene: scene.amili.payouts.count()),
    Call("plan", lambda scene: scene.amili.payouts.plan()),
    Call("first", lambda scene: scene.amili.payouts.stream().first()),
    Call("collect", lambda scene: scene.amili.payout_specifications.stream().collect(), (DOWN,)),
    Call("stream", lambda scene: read(RECORDS["stream"](scene))),
    Call("pages", lambda scene: read(RECORDS["pages"](scene))),
    Call("extract", lambda scene: read(RECORDS["extract"](scene)), (DOWN,)),
    Call("batches", lambda scene: read(RECORDS["batches"](scene))),
    Call("sweep", lambda scene: scene.amili.payouts.sweep([scene.one])),
    Call("create", lambda scene: scene.amili.creditor_payments.create(scene.payments[0])),
    Call("create, its answer lost", lambda scene: scene.amili.creditor_payments.create(scene.payments[0]), (LOST,)),
    Call("find", lambda scene: scene.amili.creditor_payments.find(scene.payments[0])),
    Call("create_many", create_many),
    Call("create_many, an answer lost", create_many, (LOST,)),
    Call("reconcile", lambda scene: read(RECORDS["reconcile"](scene))),
    Call("get_valid_token", lambda scene: scene.amili.auth.get_valid_token()),
    Call("open", lambda scene: scene.amili.open(), is_sent=False),
    Call("aclose", close_while_reading),
    Call(
        "export a resource",
        lambda scene: export(scene.amili.payout_specifications, scene.path),
        follow_up=export_again,
    ),
    Call(
        "export a stream",
        lambda scene: export(scene.amili.payout_specifications.stream(), scene.path),
        follow_up=leave_nothing,
    ),
]


@pytest.fixture
async def complaints() -> list[str]:
    """What asyncio has to say of tasks and futures that nobody looked after."""
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(str(context)))
    return told


@asynccontextmanager
async def opened(sandbox: Sandbox, clock: HastyClock, tmp_path: Path, number: int) -> AsyncIterator[Scene]:
    """A client without a token or a connection; after it is closed, nothing that it started is left."""
    budget = CountingBudget(clock)
    credentials = ApiCodeCredentials(sandbox.api_code, sandbox.private_key)
    amili = AmiliClient(sandbox.url, auth=credentials, page_size=20, concurrency=3, rate_limit=budget, clock=clock)
    async with amili:
        path = tmp_path / f"{number}.ndjson"
        yield Scene(amili=amili, sandbox=sandbox, budget=budget, path=path, payments=make_payments(number))
    await settle()
    assert find_tasks() == []


def find_tasks() -> list[str]:
    """The tasks there are, but for this one and those in which the sandbox serves its connections."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    names = [getattr(task.get_coro(), "__qualname__", "a generator that is being closed") for task in tasks]
    return [name for name in names if not name.startswith("RequestHandler.")]


def find_remains(scene: Scene) -> dict[str, Any]:
    """What is left of a call."""
    amili, pool = scene.amili, scene.amili._session._session
    return {
        "tasks": find_tasks(),
        "requests": scene.sandbox.in_flight,
        "walks": len(amili._running),
        "payments under way": len(amili.creditor_payments._registrar._under_way),
        "turns": scene.budget.given - scene.budget.returned or scene.budget.budget._in_flight,
        "connections": 0 if pool is None else len(pool.connector._acquired),  # type: ignore[union-attr]
    }


async def wait_until_quiet(scene: Scene) -> None:
    """Whatever was cancelled has a moment to end, and nothing goes on for longer."""
    until = asyncio.get_running_loop().time() + 5
    while any((remains := find_remains(scene)).values()):
        assert asyncio.get_running_loop().time() < until, remains
        await asyncio.sleep(0.0005)


async def is_usable(scene: Scene) -> bool:
    """Whether the client still works, opened again where that was what was cancelled."""
    scene.sandbox.stop_failing()
    async with asyncio.timeout(5):
        await scene.amili.open()
        return (await scene.amili.payouts.get(scene.one)).id == scene.one


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("call", CALLS, ids=repr)
async def test_a_call_can_be_cancelled_wherever_it_waits(
    call: Call,
    moment: Moment,
    start_sandbox: StartSandbox,
    clock: HastyClock,
    tmp_path: Path,
    complaints: list[str],
) -> None:
    """Cancelled at each await that it or a task of it reaches, a call ends as cancelled and leaves nothing behind."""
    sandbox = await start_sandbox(**FEW)
    for at in count(1):
        stepper = Stepper(at=at, moment=moment)
        async with opened(sandbox, clock, tmp_path, at) as scene:
            for fault, where in call.faults:
                sandbox.fail(fault, **where)
            error = await stepper.run(call.run(scene))  # type: ignore[arg-type]
            if stepper.was_cancelled:
                assert isinstance(error, asyncio.CancelledError), f"at {at}: {error!r}"
            else:
                assert error is None, f"at {at}: {error!r}"
            await wait_until_quiet(scene)
            assert await is_usable(scene)
            if call.follow_up is not None:
                await call.follow_up(scene)
            references = [row.get("creditor_payment_reference") for row in sandbox.rows(PAYMENTS)]
            assert all(references.count(payment.creditor_payment_reference) <= 1 for payment in scene.payments)
        assert complaints == [], at
        if not stepper.was_reached:
            break


async def leave_by_timeout(call: Call, scene: Scene) -> None:
    with pytest.raises(TimeoutError):  # noqa: PT012 - the timeout is what raises it
        async with asyncio.timeout(None) as timeout:
            running = asyncio.ensure_future(call.run(scene))
            await wait_until(lambda: scene.sandbox.in_flight)
            timeout.reschedule(0)
            await running


async def leave_by_wait_for(call: Call, scene: Scene) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call.run(scene), 0.005)


async def wait_until(holds: Callable[[], Any]) -> None:
    """Let everything else run until it holds."""
    async with asyncio.timeout(5):
        while not holds():
            await settle(1)


SENT = [call for call in CALLS if call.is_sent]
READ = [call for call in SENT if call.name in RECORDS]
SILENCES = [(Fault(hang=True), 0), (Fault(cut=20, hang=True), 0), (Fault(hang=True), 1), (Fault(cut=20, hang=True), 1)]
"""What no answer comes from, or half of one: the first request, which is for a token, or all from the second on."""


@pytest.mark.parametrize("leave", [leave_by_timeout, leave_by_wait_for])
@pytest.mark.parametrize("call", SENT, ids=repr)
async def test_a_call_can_be_left_while_the_server_is_silent(
    call: Call,
    leave: Callable[[Call, Scene], Awaitable[None]],
    start_sandbox: StartSandbox,
    clock: HastyClock,
    tmp_path: Path,
    complaints: list[str],
) -> None:
    """Nothing of a call goes on behind the back of who left it, for the server would never end it."""
    sandbox = await start_sandbox(**FEW)
    for number, (fault, after) in enumerate(SILENCES[: 2 if call.name == "get_valid_token" else 4]):
        async with opened(sandbox, clock, tmp_path, number) as scene:
            sandbox.fail(fault, times=None, after=after)
            await leave(call, scene)
            await scene.amili.auth.aclose()  # a refresh is everybody's: no one caller ends it
            await wait_until_quiet(scene)
            assert await is_usable(scene)
    assert complaints == []


@pytest.mark.parametrize("call", SENT[:-3], ids=repr)
async def test_who_waits_while_the_client_is_closed_is_told_so(
    call: Call, start_sandbox: StartSandbox, clock: HastyClock, tmp_path: Path, complaints: list[str]
) -> None:
    """Closing the client ends each call with an error of ours, although the server says nothing."""
    sandbox = await start_sandbox(**FEW)
    for number, (fault, after) in enumerate(SILENCES[: 2 if call.name == "get_valid_token" else 4]):
        async with opened(sandbox, clock, tmp_path, number) as scene:
            sandbox.fail(fault, times=None, after=after)
            waiting = asyncio.ensure_future(call.run(scene))
            await wait_until(lambda: sandbox.in_flight)
            await scene.amili.aclose()
            with pytest.raises(AmiliError, match=r"closed|not open|may have been registered"):
                await asyncio.wait_for(waiting, 5)
            await wait_until_quiet(scene)
            assert await is_usable(scene)
    assert complaints == []


async def test_all_that_is_under_way_ends_with_the_client(
    start_sandbox: StartSandbox, clock: HastyClock, tmp_path: Path, complaints: list[str]
) -> None:
    """Streams, extractions, a reconciliation and a list of payments at once: each is told, and none hangs."""
    sandbox = await start_sandbox(**FEW)
    async with opened(sandbox, clock, tmp_path, 1) as scene:
        await scene.amili.auth.get_valid_token()
        sandbox.fail(Fault(hang=True), times=None)
        waiting = [asyncio.ensure_future(call.run(scene)) for call in READ]
        await settle(100)
        assert scene.amili._running
        await scene.amili.aclose()
        ends = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
        assert all(isinstance(end, AmiliError) for end in ends)
        await wait_until_quiet(scene)
    assert complaints == []


@pytest.mark.parametrize("records", RECORDS)
async def test_who_goes_on_reading_from_a_closed_client_is_told_so(
    records: str, start_sandbox: StartSandbox, clock: HastyClock, tmp_path: Path, complaints: list[str]
) -> None:
    """A consumer that was at work when the client was closed gets an error of ours with its next step."""
    sandbox = await start_sandbox(**FEW)
    async with opened(sandbox, clock, tmp_path, 1) as scene:
        found: list[Any] = []
        closed = asyncio.Event()

        async def consume(records: Any) -> None:
            async for each in records:
                found.append(each)
                await closed.wait()

        consumer = asyncio.ensure_future(consume(RECORDS[records](scene)))
        await wait_until(lambda: found)
        await scene.amili.aclose()
        closed.set()
        with pytest.raises(AmiliError, match="closed"):
            await asyncio.wait_for(consumer, 5)
        await wait_until_quiet(scene)
    assert complaints == []


async def test_a_closing_that_is_cancelled_closes_all_the_same(
    start_sandbox: StartSandbox, clock: HastyClock, complaints: list[str]
) -> None:
    """Wherever `aclose()` is cancelled, streams and refresh end with it, and the client can be opened again."""
    sandbox = await start_sandbox(**FEW)
    is_silent = False

    async def source() -> Token:
        while is_silent:
            await asyncio.Event().wait()
        return Token(value=sandbox.token(), lifetime=0.001)

    for at in count(1):
        is_silent = False
        amili = AmiliClient(sandbox.url, auth=source, page_size=20, concurrency=3, rate_limit=None, clock=clock)
        async with amili:
            await amili.auth.get_valid_token()
            sandbox.fail(Fault(hang=True), times=None)
            readers = [asyncio.ensure_future(read(amili.payout_specifications.stream())) for _ in range(3)]
            await wait_until(lambda: sandbox.in_flight == 3)
            is_silent = True
            await clock.sleep(1)
            refreshing = asyncio.ensure_future(amili.auth.get_valid_token())
            await settle()
            stepper = Stepper(at=at)
            error = await stepper.run(amili.aclose())
            assert isinstance(error, asyncio.CancelledError) if stepper.was_cancelled else error is None
            ends = await asyncio.wait_for(asyncio.gather(*readers, refreshing, return_exceptions=True), 5)
            assert all(isinstance(end, AmiliError) for end in ends), at
            await settle()
            assert (find_tasks(), amili._running) == ([], set())
            sandbox.stop_failing()
            is_silent = False
            await amili.open()
            assert await amili.payouts.count() == FEW["payouts"]
        assert complaints == [], at
        if not stepper.was_reached:
            break


def in_a_thread(work: Callable[[Sandbox], None]) -> None:
    """Do something with a sandbox whose event loop outlives those of the test."""
    started: Future[tuple[Sandbox, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        async with Sandbox(**FEW, rate_limit=None) as sandbox:
            done = asyncio.Event()
            started.set_result((sandbox, asyncio.get_running_loop(), done))
            await done.wait()

    thread = Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    sandbox, loop, done = started.result()
    try:
        work(sandbox)
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()


def make_scene(sandbox: Sandbox, path: Path) -> Scene:
    budget = CountingBudget(SystemClock())
    amili = AmiliClient(sandbox.url, auth=sandbox.token(), page_size=20, rate_limit=None)
    return Scene(amili=amili, sandbox=sandbox, budget=budget, path=path, payments=make_payments(1))


def test_a_client_serves_no_second_event_loop(tmp_path: Path) -> None:
    """Whatever is asked of it in another loop, it says that it was opened elsewhere; in its own it goes on working."""

    def ask_from_two_loops(sandbox: Sandbox) -> None:
        scene = make_scene(sandbox, tmp_path / "0.ndjson")
        with asyncio.Runner() as first, asyncio.Runner() as second:
            first.run(scene.amili.open())
            first.run(as_coroutine(scene.amili.payouts.get(scene.one)))
            asked = len(sandbox.requests)
            for call in CALLS:
                with pytest.raises(AmiliError) as caught:
                    second.run(as_coroutine(call.run(scene)))
                assert "another event loop" in str(caught.value.__cause__ or caught.value)
            with pytest.raises(ConfigurationError, match="another event loop"):
                second.run(scene.amili.aclose())
            assert (len(sandbox.requests), list(tmp_path.iterdir()), scene.amili._running) == (asked, [], set())
            first.run(as_coroutine(scene.amili.payouts.get(scene.one)))
            first.run(scene.amili.aclose())

    in_a_thread(ask_from_two_loops)


def test_a_client_that_was_closed_can_be_opened_in_another_event_loop(tmp_path: Path) -> None:
    """Every call works there, although each was made before in the loop that is gone."""

    def work_in_two_loops(sandbox: Sandbox) -> None:
        scene = make_scene(sandbox, tmp_path / "0.ndjson")
        for number in range(2):
            scene.path = tmp_path / f"{number}.ndjson"
            with asyncio.Runner() as runner:
                for place, call in enumerate(CALLS):
                    scene.payments = make_payments(100 * place + number)
                    runner.run(scene.amili.open())
                    runner.run(as_coroutine(call.run(scene)))
                    scene.path.unlink(missing_ok=True)
                runner.run(scene.amili.aclose())

    in_a_thread(work_in_two_loops)


async def as_coroutine(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
