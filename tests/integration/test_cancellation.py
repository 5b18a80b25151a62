"""Every call cancelled at every await: it ends at once, leaves nothing behind, and the client still works."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from msgspec import Struct

from amili_async import (
    AmiliClient,
    AmiliError,
    ApiCodeCredentials,
    Delivery,
    NewCreditorPayment,
    Observer,
    RateLimit,
    Token,
)
from amili_async._wire.clock import Clock, SystemClock
from amili_async._wire.rate_limiter import SlidingWindowLimiter
from amili_async._wire.tasks import cancel_all
from amili_async.errors import ConfigurationError
from amili_async.events import AttemptStarted, CallStarted
from amili_async.export import export
from amili_async.observers import TraceCalls
from amili_async.policies import Priority, Quota, RateLimiter
from amili_async.sandbox import Fault, Sandbox
from tests.support import internals
from tests.support.call_events import Recorder
from tests.support.cancel_at_each_await import Moment, Stepper
from tests.support.clocks import GUARD, HastyClock, happens, on_clock, settle
from tests.support.exhaustive import IN_TENTHS, steps
from tests.support.payments import PAYMENTS, make_payments
from tests.support.spans import Spans
from tests.support.starting import Connect, StartSandbox

TOKEN_PATH = "/authenticates/api-code"
FEW: dict[str, Any] = {"payouts": 3, "specifications": 60, "payments": 3}


class CountingLimiter(RateLimiter):
    """The default rate limiter, with a count of the permits that it gave and that were returned."""

    def __init__(self, clock: Clock) -> None:
        self.limiter = SlidingWindowLimiter(RateLimit(per_second=4), clock=clock)
        self.given = self.returned = 0

    @property
    def limit(self) -> RateLimit | None:
        return self.limiter.limit

    async def acquire(self, priority: Priority, *, max_wait: float | None = None) -> None:
        await self.limiter.acquire(priority, max_wait=max_wait)
        self.given += 1

    def release_unused(self) -> None:
        self.returned += 1
        self.limiter.release_unused()

    def on_response(self, quota: Quota | None = None) -> None:
        self.returned += 1
        self.limiter.on_response(quota)

    def on_no_response(self, seconds: float) -> None:
        self.returned += 1
        self.limiter.on_no_response(seconds)

    def on_rate_limited(self, seconds: float | None) -> float:
        return self.limiter.on_rate_limited(seconds)


class CallScene(Struct):
    """The objects that a call uses, made anew for each run."""

    amili: AmiliClient
    sandbox: Sandbox
    limiter: CountingLimiter
    path: Path
    """A file that does not exist yet."""
    payments: list[NewCreditorPayment]
    """Payments that are not registered."""

    @property
    def one(self) -> str:
        """The id of a payout."""
        return str(self.sandbox.rows("finance--payouts")[0]["_id"])


class Call(Struct, frozen=True):
    """A public coroutine, and the faults during it, which make it reach as many awaits as it can."""

    name: str
    run: Callable[[CallScene], Awaitable[Any]]
    faults: tuple[tuple[Fault, dict[str, Any]], ...] = ()
    is_sent: bool = True
    """Whether it sends any request."""
    follow_up: Callable[[CallScene], Awaitable[None]] | None = None
    """Checks the file that it writes."""

    def __repr__(self) -> str:
        return self.name


RECORDS: dict[str, Callable[[CallScene], Any]] = {
    "stream": lambda scene: scene.amili.payout_specifications.stream(),
    "pages": lambda scene: scene.amili.payout_specifications.stream().pages(),
    "extract": lambda scene: scene.amili.payout_specifications.extract(),
    "batches": lambda scene: scene.amili.payout_specifications.extract().batches(),
    "deliveries": lambda scene: scene.amili.payout_specifications.extract().deliveries(),
    "deliveries of a stream": lambda scene: scene.amili.payout_specifications.stream().deliveries(unfinished=1),
    "reconcile": lambda scene: scene.amili.reconcile(),
    "create_many": lambda scene: scene.amili.creditor_payments.create_many(scene.payments, concurrency=1),
}
"""The iterations that a caller consumes."""


async def read(records: Any) -> list[Any]:
    """Read all records, with a consumer that awaits something else in between."""
    found = []
    async for each in records:
        found.append(each)
        if len(found) % 20 == 1:
            await asyncio.sleep(0)
        if isinstance(each, Delivery):
            each.done()
    return found


async def handle_each(records: Any) -> None:
    """Handle each record once, with handlers that finish in another order."""
    handled: list[str] = []

    async def handle(record: Any) -> None:
        await settle(int(record.id, 16) % 3)
        handled.append(record.id)

    await records.for_each(handle, concurrency=3)
    assert len(set(handled)) == len(handled) == FEW["specifications"]


async def create_many(scene: CallScene) -> None:
    outcomes = await read(scene.amili.creditor_payments.create_many(scene.payments))
    assert [outcome.payment for outcome in outcomes] == scene.payments
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error


async def export_again(scene: CallScene) -> None:
    """A cancelled export can be resumed."""
    if not scene.path.exists():
        await export(scene.amili.payout_specifications, scene.path, resume=True)
    assert len(scene.path.read_bytes().splitlines()) == FEW["specifications"]


async def leave_nothing(scene: CallScene) -> None:
    """A stream is written completely or not at all."""
    assert list(scene.path.parent.glob(f"{scene.path.name}.*")) == []
    assert not scene.path.exists() or len(scene.path.read_bytes().splitlines()) == FEW["specifications"]


async def close_while_reading(scene: CallScene) -> None:
    stream = scene.amili.payout_specifications.stream(page_size=10)
    async with stream, aclosing(stream.pages()) as pages:
        await anext(pages)
        await scene.amili.aclose()


TOKEN_REVOKED = (Fault(revoke=True), {"method": "GET", "path": "finance--payouts"})
DOWN = (Fault.unavailable(), {"method": "GET", "path": "/finance"})
RESPONSE_LOST = (Fault(reset="after"), {"method": "POST"})
CALLS = [
    Call("get", lambda scene: scene.amili.payouts.get(scene.one)),
    Call("get again", lambda scene: scene.amili.payouts.get(scene.one), (DOWN, TOKEN_REVOKED)),
    Call("page", lambda scene: scene.amili.payouts.page()),
    Call("count", lambda scene: scene.amili.payouts.count()),
    Call("plan", lambda scene: scene.amili.payouts.plan()),
    Call("first", lambda scene: scene.amili.payouts.stream().first()),
    Call("collect", lambda scene: scene.amili.payout_specifications.stream().collect(), (DOWN,)),
    Call("stream", lambda scene: read(RECORDS["stream"](scene))),
    Call("pages", lambda scene: read(RECORDS["pages"](scene))),
    Call("extract", lambda scene: read(RECORDS["extract"](scene)), (DOWN,)),
    Call("batches", lambda scene: read(RECORDS["batches"](scene))),
    Call("deliveries", lambda scene: read(RECORDS["deliveries"](scene)), (DOWN,)),
    Call("deliveries of a stream", lambda scene: read(RECORDS["deliveries of a stream"](scene))),
    Call("for_each", lambda scene: handle_each(scene.amili.payout_specifications.extract()), (DOWN,)),
    Call("for_each of a stream", lambda scene: handle_each(scene.amili.payout_specifications.stream())),
    Call("sweep", lambda scene: scene.amili.payouts.sweep([scene.one])),
    Call("create", lambda scene: scene.amili.creditor_payments.create(scene.payments[0])),
    Call(
        "create, its response lost",
        lambda scene: scene.amili.creditor_payments.create(scene.payments[0]),
        (RESPONSE_LOST,),
    ),
    Call("find", lambda scene: scene.amili.creditor_payments.find(scene.payments[0])),
    Call("create_many", create_many),
    Call("create_many, a response lost", create_many, (RESPONSE_LOST,)),
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
async def unhandled() -> list[str]:
    """What asyncio reports of unhandled exceptions in tasks and futures."""
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(str(context)))
    return reported


@asynccontextmanager
async def opened(
    sandbox: Sandbox, clock: HastyClock, tmp_path: Path, number: int, observers: Sequence[Observer] = ()
) -> AsyncIterator[CallScene]:
    """A client without token or connection; after it is closed, none of its tasks is left."""
    limiter = CountingLimiter(clock)
    credentials = ApiCodeCredentials(sandbox.api_code, sandbox.private_key)
    shared: dict[str, Any] = {"rate_limit": limiter, "observers": observers}
    amili = on_clock(clock)(sandbox.url, auth=credentials, page_size=20, concurrency=3, **shared)
    async with amili:
        path = tmp_path / f"{number}.ndjson"
        yield CallScene(
            amili=amili, sandbox=sandbox, limiter=limiter, path=path, payments=make_payments(3, prefix=f"PAY-{number}")
        )
    await settle()
    assert find_tasks() == []


def find_tasks() -> list[str]:
    """All tasks but this one and those in which the sandbox serves its connections."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    names = [getattr(task.get_coro(), "__qualname__", "a generator that is being closed") for task in tasks]
    return [name for name in names if not name.startswith("RequestHandler.")]


def find_remains(scene: CallScene) -> dict[str, Any]:
    """The remains of a call."""
    amili = scene.amili
    return {
        "tasks": find_tasks(),
        "requests": scene.sandbox.in_flight,
        "iterations": len(internals.running_iterations(amili)),
        "payments in flight": internals.count_payments_in_flight(amili.creditor_payments),
        "permits": scene.limiter.given - scene.limiter.returned or scene.limiter.limiter.in_flight,
        "connections": internals.count_connections_in_use(amili),
    }


async def wait_until_quiet(scene: CallScene) -> None:
    """Wait until every cancelled task has ended; nothing may keep running."""
    until = asyncio.get_running_loop().time() + GUARD
    while any((remains := find_remains(scene)).values()):
        assert asyncio.get_running_loop().time() < until, remains
        await asyncio.sleep(0.0005)


async def is_usable(scene: CallScene) -> bool:
    """Whether the client still works, reopened in case that the cancelled call was `open`."""
    scene.sandbox.stop_failing()
    async with asyncio.timeout(GUARD):
        await scene.amili.open()
        return (await scene.amili.payouts.get(scene.one)).id == scene.one


@IN_TENTHS
@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("call", CALLS, ids=repr)
async def test_a_call_can_be_cancelled_at_every_await(
    call: Call,
    moment: Moment,
    tenth: int,
    start_sandbox: StartSandbox,
    clock: HastyClock,
    tmp_path: Path,
    unhandled: list[str],
) -> None:
    """Cancelled at each await of its own or of its tasks, a call raises CancelledError and leaves nothing."""
    sandbox = await start_sandbox(**FEW)
    for at in steps(tenth, offset=CALLS.index(call)):
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
        assert unhandled == [], at
        if not stepper.was_reached:
            break


OBSERVED = [
    call
    for call in CALLS
    if call.name
    in {"get again", "collect", "stream", "extract", "create, its response lost", "create_many", "reconcile", "aclose"}
]


@IN_TENTHS
@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("call", OBSERVED, ids=repr)
async def test_a_call_that_is_cancelled_is_reported_and_traced_to_its_end(
    call: Call,
    moment: Moment,
    tenth: int,
    start_sandbox: StartSandbox,
    clock: HastyClock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Cancelled at each await, each of its requests is finished once, and no span is open or current."""
    sandbox = await start_sandbox(**FEW)
    for at in steps(tenth, offset=OBSERVED.index(call)):
        stepper, recorder, spans = Stepper(at=at, moment=moment), Recorder(), Spans()
        async with opened(sandbox, clock, tmp_path, at, observers=[recorder, TraceCalls(spans.tracer)]) as scene:
            for fault, where in call.faults:
                sandbox.fail(fault, **where)

            async def run(scene: CallScene = scene, spans: Spans = spans) -> None:
                try:
                    await call.run(scene)
                finally:
                    spans.check_context()

            await stepper.run(run())
            await wait_until_quiet(scene)
            sandbox.stop_failing()
        recorder.check()
        spans.check()
        assert "observer failed" not in caplog.text
        started = sum(isinstance(event, CallStarted | AttemptStarted) for event in recorder.events)
        assert len(spans.all) == started
        if not stepper.was_reached:
            break


async def leave_by_timeout(call: Call, scene: CallScene) -> None:
    with pytest.raises(TimeoutError):  # noqa: PT012 - the timeout raises it
        async with asyncio.timeout(None) as timeout:
            running = asyncio.ensure_future(call.run(scene))
            await happens(lambda: scene.sandbox.in_flight)
            timeout.reschedule(0)
            await running


async def leave_by_wait_for(call: Call, scene: CallScene) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call.run(scene), 0.005)


SENT = [call for call in CALLS if call.is_sent]
READ = [call for call in SENT if call.name in RECORDS]
SILENCES = [(Fault(hang=True), 0), (Fault(cut=20, hang=True), 0), (Fault(hang=True), 1), (Fault(cut=20, hang=True), 1)]
"""No response, or half of one, to the first request, which is for a token, or to all from the second on."""


@pytest.mark.parametrize("leave", [leave_by_timeout, leave_by_wait_for])
@pytest.mark.parametrize("call", SENT, ids=repr)
async def test_a_call_can_be_left_while_the_server_is_silent(
    call: Call,
    leave: Callable[[Call, CallScene], Awaitable[None]],
    start_sandbox: StartSandbox,
    clock: HastyClock,
    tmp_path: Path,
    unhandled: list[str],
) -> None:
    """A call ends completely when its caller leaves it, since the silent server would never end it."""
    sandbox = await start_sandbox(**FEW)
    for number, (fault, after) in enumerate(SILENCES[: 2 if call.name == "get_valid_token" else 4]):
        async with opened(sandbox, clock, tmp_path, number) as scene:
            sandbox.fail(fault, times=None, after=after)
            await leave(call, scene)
            await cancel_all((internals.tokens_of(scene.amili),))  # a refresh is shared, so no single caller ends it
            await wait_until_quiet(scene)
            assert await is_usable(scene)
    assert unhandled == []


@pytest.mark.parametrize("call", SENT[:-3], ids=repr)
async def test_closing_the_client_ends_every_call_in_flight(
    call: Call, start_sandbox: StartSandbox, clock: HastyClock, tmp_path: Path, unhandled: list[str]
) -> None:
    """Closing the client ends each call with an error of the package, although the server is silent."""
    sandbox = await start_sandbox(**FEW)
    for number, (fault, after) in enumerate(SILENCES[: 2 if call.name == "get_valid_token" else 4]):
        async with opened(sandbox, clock, tmp_path, number) as scene:
            sandbox.fail(fault, times=None, after=after)
            waiting = asyncio.ensure_future(call.run(scene))
            await happens(lambda: sandbox.in_flight)
            await scene.amili.aclose()
            with pytest.raises(AmiliError, match=r"closed|not open|unknown whether the payment is registered"):
                await asyncio.wait_for(waiting, GUARD)
            await wait_until_quiet(scene)
            assert await is_usable(scene)
    assert unhandled == []


async def test_every_iteration_ends_with_the_client(
    start_sandbox: StartSandbox, clock: HastyClock, tmp_path: Path, unhandled: list[str]
) -> None:
    """Concurrent streams, extractions, a reconciliation and a list of payments each raise an error, and none hangs."""
    sandbox = await start_sandbox(**FEW)
    async with opened(sandbox, clock, tmp_path, 1) as scene:
        await scene.amili.auth.get_valid_token()
        sandbox.fail(Fault(hang=True), times=None)
        waiting = [asyncio.ensure_future(call.run(scene)) for call in READ]
        await happens(lambda: internals.running_iterations(scene.amili))
        await settle(100)
        await scene.amili.aclose()
        ends = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), GUARD)
        assert all(isinstance(end, AmiliError) for end in ends)
        await wait_until_quiet(scene)
    assert unhandled == []


@pytest.mark.parametrize("records", RECORDS)
async def test_reading_on_from_a_closed_client_raises(
    records: str, start_sandbox: StartSandbox, clock: HastyClock, tmp_path: Path, unhandled: list[str]
) -> None:
    """The next step of a consumer that was busy when the client was closed raises an error of the package."""
    sandbox = await start_sandbox(**FEW)
    async with opened(sandbox, clock, tmp_path, 1) as scene:
        found: list[Any] = []
        closed = asyncio.Event()

        async def consume(records: Any) -> None:
            async for each in records:
                found.append(each)
                await closed.wait()

        consumer = asyncio.ensure_future(consume(RECORDS[records](scene)))
        await happens(lambda: found)
        await scene.amili.aclose()
        closed.set()
        with pytest.raises(AmiliError, match="closed"):
            await asyncio.wait_for(consumer, GUARD)
        await wait_until_quiet(scene)
    assert unhandled == []


@IN_TENTHS
async def test_a_cancelled_aclose_still_closes(
    tenth: int, start_sandbox: StartSandbox, clock: HastyClock, unhandled: list[str]
) -> None:
    """Wherever `aclose()` is cancelled, streams and refresh end, and the client can be reopened."""
    sandbox = await start_sandbox(**FEW)
    is_silent = False

    async def source() -> Token:
        while is_silent:
            await asyncio.Event().wait()
        return Token(value=sandbox.token(), lifetime=0.001)

    for at in steps(tenth):
        is_silent = False
        amili = on_clock(clock)(sandbox.url, auth=source, page_size=20, concurrency=3, rate_limit=None)
        async with amili:
            await amili.auth.get_valid_token()
            sandbox.fail(Fault(hang=True), times=None)
            readers = [asyncio.ensure_future(read(amili.payout_specifications.stream())) for _ in range(3)]
            await happens(lambda: sandbox.in_flight == 3)
            is_silent = True
            await clock.sleep(1)
            refreshing = asyncio.ensure_future(amili.auth.get_valid_token())
            await settle()
            stepper = Stepper(at=at)
            error = await stepper.run(amili.aclose())
            assert isinstance(error, asyncio.CancelledError) if stepper.was_cancelled else error is None
            ends = await asyncio.wait_for(asyncio.gather(*readers, refreshing, return_exceptions=True), GUARD)
            assert all(isinstance(end, AmiliError) for end in ends), at
            await settle()
            assert (find_tasks(), internals.running_iterations(amili)) == ([], set())
            sandbox.stop_failing()
            is_silent = False
            await amili.open()
            assert await amili.payouts.count() == FEW["payouts"]
        assert unhandled == [], at
        if not stepper.was_reached:
            break


def in_a_thread(work: Callable[[Sandbox], None]) -> None:
    """Call *work* with a sandbox whose event loop outlives those of the test."""
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


def make_scene(sandbox: Sandbox, path: Path) -> CallScene:
    limiter = CountingLimiter(SystemClock())
    amili = AmiliClient(sandbox.url, auth=sandbox.token(), page_size=20, rate_limit=None)
    return CallScene(
        amili=amili, sandbox=sandbox, limiter=limiter, path=path, payments=make_payments(3, prefix="PAY-1")
    )


def test_a_client_rejects_a_second_event_loop(tmp_path: Path) -> None:
    """Every call in another loop raises an error that names the cause; in its own loop the client still works."""

    def call_from_two_loops(sandbox: Sandbox) -> None:
        scene = make_scene(sandbox, tmp_path / "0.ndjson")
        with asyncio.Runner() as first, asyncio.Runner() as second:
            first.run(scene.amili.open())
            first.run(as_coroutine(scene.amili.payouts.get(scene.one)))
            requests = len(sandbox.requests)
            for call in CALLS:
                with pytest.raises(AmiliError) as caught:
                    second.run(as_coroutine(call.run(scene)))
                assert "another event loop" in str(caught.value.__cause__ or caught.value)
            with pytest.raises(ConfigurationError, match="another event loop"):
                second.run(scene.amili.aclose())
            assert (len(sandbox.requests), list(tmp_path.iterdir()), internals.running_iterations(scene.amili)) == (
                requests,
                [],
                set(),
            )
            first.run(as_coroutine(scene.amili.payouts.get(scene.one)))
            first.run(scene.amili.aclose())

    in_a_thread(call_from_two_loops)


def test_a_client_that_was_closed_can_be_opened_in_another_event_loop(tmp_path: Path) -> None:
    """Every call works in the second loop, although each was made before in the first."""

    def work_in_two_loops(sandbox: Sandbox) -> None:
        scene = make_scene(sandbox, tmp_path / "0.ndjson")
        for number in range(2):
            scene.path = tmp_path / f"{number}.ndjson"
            with asyncio.Runner() as runner:
                for place, call in enumerate(CALLS):
                    scene.payments = make_payments(3, prefix=f"PAY-{place}-{number}")
                    runner.run(scene.amili.open())
                    runner.run(as_coroutine(call.run(scene)))
                    scene.path.unlink(missing_ok=True)
                runner.run(scene.amili.aclose())

    in_a_thread(work_in_two_loops)


async def as_coroutine(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


@pytest.mark.parametrize(
    ("fault", "seconds"), [(Fault(hang=True), 31.0), (Fault(cut=10, hang=True), 1.0)], ids=range(2)
)
async def test_the_permit_of_a_cancelled_request_is_free_when_it_can_no_longer_arrive(
    fault: Fault, seconds: float, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """A window after its timeout, or after the head of a response, which shows that the server has counted it."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox, auth=sandbox.token(), rate_limit=RateLimit(per_second=1))
    sandbox.fail(fault)
    call = asyncio.create_task(amili.payouts.count())
    while not sandbox.requests:
        await settle(1)
    (running,) = internals.running_calls(amili)
    while fault.is_cut and not running.was_counted:
        await settle(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    began = clock.now()
    assert await amili.payouts.count() == 5
    assert clock.now() - began == pytest.approx(seconds, abs=0.01)
