"""One logical call: each permit is released exactly once, whatever happens to the attempt."""

import asyncio
from typing import Any

import pytest

from amili_async._wire.announcer import Announcer
from amili_async._wire.calls import Calls
from amili_async._wire.pipeline import Pipeline
from amili_async._wire.protocol import Request, Response
from amili_async._wire.retry import Retrier
from amili_async._wire.session import AttemptOptions
from amili_async._wire.tasks import Cancellable, Redacted, RunningCall, cancel_all
from amili_async._wire.token_provider import TokenProvider
from amili_async.errors import (
    AmiliError,
    AuthenticationError,
    BudgetExhausted,
    ClientClosed,
    ConnectionFailed,
    NotFound,
    RateLimited,
)
from amili_async.events import AttemptFinished, Event, PermitAcquired
from amili_async.policies import Priority, Quota, RateLimiter, RetryPolicy
from tests.support import internals
from tests.support.clocks import MovedClock, settle

REQUEST = Request(
    method="GET", target="/x?where=s3cret", label="GET /x", operation="page", resource="x", priority=Priority.SINGLE
)
OPTIONS = AttemptOptions(timeout=30.0, headers={})
Outcome = Response | Exception


def answer(status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(status=status, headers=headers or {}, body=b"{}")


class ScriptedSession:
    """Plays one outcome per attempt and records the credentials."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.credentials: list[str] = []

    async def send(
        self, request: Request, credential: Redacted[str], call: RunningCall, options: AttemptOptions
    ) -> Response:
        self.credentials.append(credential.content)
        outcome = self.outcomes.pop(0)
        call.was_sent = getattr(outcome, "was_sent", True)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class RecordingLimiter(RateLimiter):
    """A rate limiter that grants every permit and records its calls."""

    limit = None

    def __init__(self) -> None:
        self.calls: list[object] = []

    async def acquire(self, priority: Priority, *, max_wait: float | None = None) -> None:
        self.calls.append("acquire")

    def release_unused(self) -> None:
        self.calls.append("release_unused")

    def on_response(self, quota: Quota | None = None) -> None:
        self.calls.append(("on_response", quota.remaining) if quota else "on_response")

    def on_no_response(self, seconds: float) -> None:
        self.calls.append(("on_no_response", seconds))

    def on_rate_limited(self, seconds: float | None) -> float:
        self.calls.append(("on_rate_limited", seconds))
        return seconds or 60.0


class Call:
    """A pipeline around a scripted session."""

    def __init__(
        self,
        *outcomes: Outcome,
        attempts: int = 1,
        max_wait: float | None = None,
        options: AttemptOptions = OPTIONS,
    ) -> None:
        self.clock = MovedClock()
        self.events: list[Event] = []
        self.session = ScriptedSession(*outcomes)
        self.limiter = RecordingLimiter()
        announce = Announcer([self.events.append])
        values = iter(["token-1", "token-2", "token-3"])

        async def source() -> str:
            return next(values)

        self.tokens = TokenProvider(source, clock=self.clock, announce=Announcer())
        session: Any = self.session
        retrier = Retrier(RetryPolicy(attempts=attempts), clock=self.clock)
        self.running: set[Cancellable] = set()
        calls = Calls(self.running, base_url="https://api.example.com", announce=announce, clock=self.clock)
        self.pipeline = Pipeline(
            session,
            calls,
            self.limiter,
            retrier,
            options=options,
            max_wait=max_wait,
            clock=self.clock,
        )

    async def run(self) -> Response:
        return await self.pipeline.call(REQUEST, self.tokens)


@pytest.mark.parametrize(
    ("outcome", "error", "calls"),
    [
        (answer(200), None, ["acquire", "on_response"]),
        (answer(404), NotFound, ["acquire", "on_response"]),
        (ConnectionFailed("cut"), ConnectionFailed, ["acquire", ("on_no_response", 30.0)]),
        (ConnectionFailed("no route", was_sent=False), ConnectionFailed, ["acquire", "release_unused"]),
        (KeyError("a bug"), KeyError, ["acquire", ("on_no_response", 30.0)]),
        (answer(429), RateLimited, ["acquire", "on_response", ("on_rate_limited", None)]),
        (answer(429, {"Retry-After": "7"}), RateLimited, ["acquire", "on_response", ("on_rate_limited", 7.0)]),
        (answer(200, {"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "9"}), None, ["acquire", ("on_response", 5)]),
    ],
)
async def test_each_permit_is_released_once(
    outcome: Outcome, error: type[Exception] | None, calls: list[object]
) -> None:
    """Response, error response, broken connection or nothing sent: one call of the limiter, and the right one."""
    call = Call(outcome)
    if error is None:
        await call.run()
    else:
        with pytest.raises(error):
            await call.run()
    assert call.limiter.calls == calls


@pytest.mark.parametrize(("was_counted", "seconds"), [(False, 26.0), (True, 0.0)])
async def test_a_cancelled_attempt_releases_its_permit(was_counted: bool, seconds: float) -> None:
    """As a used one: the server may count the request until its timeout, unless the head of a response arrived."""
    call = Call()
    started = asyncio.Event()

    async def hang(request: Request, credential: Redacted[str], running: RunningCall, *_: object) -> Response:
        running.was_sent, running.was_counted = True, was_counted
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    call.session.send = hang  # type: ignore[assignment,method-assign]
    task = asyncio.create_task(call.run())
    await started.wait()
    call.clock.skip(4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert call.limiter.calls == ["acquire", ("on_no_response", seconds)]


async def test_a_rejected_token_is_replaced_once() -> None:
    """The replay carries the new token and has a permit of its own."""
    call = Call(answer(401), answer(200))
    await call.run()
    assert call.session.credentials == ["token-1", "token-2"]
    assert call.limiter.calls == ["acquire", "on_response", "acquire", "on_response"]


async def test_a_second_rejection_is_an_error() -> None:
    """No third token is fetched."""
    call = Call(answer(401), answer(401))
    with pytest.raises(AuthenticationError):
        await call.run()
    assert call.session.credentials == ["token-1", "token-2"]


def error_in_body(code: int) -> Response:
    """A response whose body alone reports an error."""
    body = b'{"_status": "ERR", "_error": {"code": %d, "message": "no"}}' % code
    return Response(status=200, headers={}, body=body)


async def test_an_error_in_the_body_counts_like_one_in_the_status() -> None:
    """`_status: "ERR"` in a 200 refreshes the token, pauses the rate limiter or is retried, according to its code."""
    unauthorized = Call(error_in_body(401), answer(200))
    await unauthorized.run()
    assert unauthorized.session.credentials == ["token-1", "token-2"]
    limited = Call(error_in_body(429))
    with pytest.raises(RateLimited):
        await limited.run()
    assert limited.limiter.calls == ["acquire", "on_response", ("on_rate_limited", None)]
    failing = Call(error_in_body(503), answer(200), attempts=2)
    task = asyncio.create_task(failing.run())
    await settle()
    await failing.clock.move(1)
    assert (await task).body == b"{}"


async def test_a_token_that_was_replaced_while_waiting_for_a_permit_is_not_sent() -> None:
    """The newest token is sent, not the one that was valid when the wait began."""
    call = Call(answer(200))
    first = await call.tokens.get()

    async def acquire(priority: Priority, *, max_wait: float | None = None) -> None:
        await call.tokens.get(rejected=first)

    call.limiter.acquire = acquire  # type: ignore[method-assign]
    await call.run()
    assert call.session.credentials == ["token-2"]


async def test_a_replay_after_a_wait_carries_the_current_token() -> None:
    """If the new token was replaced while the replay waited for its permit, its successor is sent."""
    call = Call(answer(401), answer(200))
    permits = 0

    async def acquire(priority: Priority, *, max_wait: float | None = None) -> None:
        nonlocal permits
        permits += 1
        if permits == 2:
            await call.tokens.get(rejected=await call.tokens.get())

    call.limiter.acquire = acquire  # type: ignore[method-assign]
    await call.run()
    assert call.session.credentials == ["token-1", "token-3"]


async def test_a_post_that_a_body_contradicts_is_not_sent_again() -> None:
    """Only after an HTTP status of 401 or 429 it is certain: a 201 that reports ERR may have been processed."""
    post = Request(
        method="POST",
        target="/x",
        label="POST /x",
        operation="create",
        resource="x",
        priority=Priority.SINGLE,
        body=b"{}",
    )
    for code in (401, 429, 422):
        call = Call(error_in_body(code), answer(201), attempts=3)
        with pytest.raises(AmiliError) as caught:
            await call.pipeline.call(post, call.tokens)
        assert not caught.value.was_not_processed
        assert len(call.session.credentials) == 1


async def test_a_permit_is_not_lost_if_signing_fails() -> None:
    """It is acquired only for a credential that there is."""

    async def fail() -> str:
        raise KeyError

    call = Call()
    with pytest.raises(KeyError):
        await call.pipeline.call_with(REQUEST, fail)
    assert call.limiter.calls == []


async def test_a_call_ends_with_its_client() -> None:
    """A call that waits for its next attempt when the client is closed ends at once, and its task is not cancelled."""
    call = Call(answer(429), answer(200), attempts=2)
    task = asyncio.create_task(call.run())
    await settle()
    await cancel_all(call.running)
    await settle()
    with pytest.raises(ClientClosed, match=r"^GET /x: the client was closed before the request was sent$") as caught:
        task.result()
    assert caught.value.was_not_processed
    assert caught.value.__context__ is None
    assert (task.cancelling(), call.running) == (0, set())
    assert len(call.session.credentials) == 1
    assert call.limiter.calls == ["acquire", "on_response", ("on_rate_limited", None)]


async def test_a_failed_token_request_is_not_retried_by_the_call_that_needs_it() -> None:
    """The token request had its own attempts; retries do not multiply."""
    call = Call(attempts=3)
    fetches = 0

    async def source() -> str:
        nonlocal fetches
        fetches += 1
        raise ConnectionFailed("down", request="GET /authenticates/api-code")

    call.tokens = TokenProvider(source, clock=call.clock, announce=Announcer())
    task = asyncio.create_task(call.run())
    await settle()
    await call.clock.move(60)
    with pytest.raises(ConnectionFailed):
        await task
    assert fetches == 1


async def test_each_attempt_is_announced_without_its_query() -> None:
    """Status or error, number and duration; never the query or the token."""
    call = Call(ConnectionFailed("cut"), answer(200), attempts=2)
    task = asyncio.create_task(call.run())
    await settle()
    await call.clock.move(1)
    await task
    attempts = [event for event in call.events if isinstance(event, AttemptFinished)]
    assert [(event.request, event.status, event.error, event.attempt) for event in attempts] == [
        ("GET /x", None, "ConnectionFailed", 1),
        ("GET /x", 200, None, 2),
    ]
    assert "s3cret" not in repr(call.events)
    assert "token-" not in repr(call.events)


async def test_each_permit_is_announced_with_its_wait() -> None:
    """Priority and seconds, once per attempt."""
    call = Call(answer(200))

    async def acquire(priority: Priority, *, max_wait: float | None = None) -> None:
        await call.clock.sleep(3.0)

    call.limiter.acquire = acquire  # type: ignore[method-assign]
    task = asyncio.create_task(call.run())
    await settle()
    await call.clock.move(4)
    await task
    (permit,) = [event for event in call.events if isinstance(event, PermitAcquired)]
    assert (permit.request, permit.priority, permit.waited, permit.remaining) == ("GET /x", "single", 3.0, None)


async def test_a_call_waits_for_its_token_no_longer_than_for_its_permit() -> None:
    """The token request may wait for a minute after a 429; a call with *max_wait* fails within that and its timeout."""

    async def source() -> str:
        await asyncio.Event().wait()
        return "never"

    call = Call(max_wait=0.0, options=AttemptOptions(timeout=0.01, headers={}))
    call.tokens = TokenProvider(source, clock=call.clock, announce=Announcer())
    with pytest.raises(BudgetExhausted, match="no access token within max_wait and timeout"):
        await call.run()
    await cancel_all((call.tokens,))
    assert call.limiter.calls == []


async def test_a_token_request_is_signed_for_each_attempt() -> None:
    """A retry sends another signature, and no token."""
    numbers = iter(range(9))

    async def credential() -> str:
        return f"jwt-{next(numbers)}"

    call = Call(ConnectionFailed("cut"), answer(200), attempts=2)
    task = asyncio.create_task(call.pipeline.call_with(REQUEST, credential))
    await settle()
    await call.clock.move(1)
    await task
    assert call.session.credentials == ["jwt-0", "jwt-1"]


async def test_each_status_raises_an_error_of_ours() -> None:
    """Whatever the status, the error is an AmiliError."""
    for status in (300, 301, 304, 400, 402, 403, 404, 405, 409, 410, 412, 418, 422, 428, 429, 500, 502, 503, 504, 599):
        with pytest.raises(AmiliError):
            await Call(answer(status)).run()


async def test_a_rate_limiter_that_raises_does_not_hide_the_response(caplog: pytest.LogCaptureFixture) -> None:
    """A caller's rate limiter that raises when a permit is released is logged; the response is returned."""

    class Broken(RecordingLimiter):
        def on_response(self, quota: Quota | None = None) -> None:
            raise KeyError("s3cret")

        def release_unused(self) -> None:
            raise KeyError("s3cret")

    for outcome, error in ((answer(200), None), (ConnectionFailed("no route", was_sent=False), ConnectionFailed)):
        call = Call(outcome)
        internals.set_rate_limiter(call.pipeline, Broken())
        if error is None:
            assert (await call.run()).status == 200
        else:
            with pytest.raises(error):
                await call.run()
    assert [record.message for record in caplog.records] == ["rate limiter failed with KeyError"] * 2
