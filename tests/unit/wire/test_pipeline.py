"""One logical call: each turn of the budget is returned exactly once, whatever happens to the try."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from amili_async._wire.pipeline import Pipeline
from amili_async._wire.protocol import Request, Response
from amili_async._wire.retry import Retrier
from amili_async._wire.token_provider import TokenProvider
from amili_async.errors import (
    AmiliError,
    AuthenticationError,
    ConfigurationError,
    ConnectionFailed,
    NotFound,
    RateLimited,
)
from amili_async.events import Announcer, AttemptFinished, Event
from amili_async.policies import Priority, Quota, RetryPolicy
from tests.support.clocks import MovedClock, settle

REQUEST = Request(method="GET", target="/x?where=s3cret", label="GET /x", priority=Priority.SINGLE)
Outcome = Response | Exception


def answer(status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(status=status, headers=headers or {}, body=b"{}")


class ScriptedSession:
    """Plays one outcome per try and notes the credentials."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.opening: object = "the first opening"
        self.outcomes = list(outcomes)
        self.credentials: list[str] = []

    async def send(self, request: Request, credential: str) -> Response:
        self.credentials.append(credential)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Turns:
    """A budget that gives every turn and notes what becomes of it."""

    def __init__(self) -> None:
        self.told: list[object] = []

    async def acquire(self, priority: Priority) -> None:
        self.told.append("acquire")

    def release_unused(self) -> None:
        self.told.append("give back")

    def on_response(self, quota: Quota | None = None) -> None:
        self.told.append(("settle", quota.remaining) if quota else "settle")

    def on_rate_limited(self, seconds: float | None) -> float:
        self.told.append(("pause", seconds))
        return seconds or 60.0

    def close(self) -> None:
        """Nothing to do."""


class Call:
    """A pipeline around a scripted session."""

    def __init__(self, *outcomes: Outcome, attempts: int = 1) -> None:
        self.clock = MovedClock()
        self.events: list[Event] = []
        self.session = ScriptedSession(*outcomes)
        self.turns = Turns()
        announce = Announcer([self.events.append])
        tokens = iter(["token-1", "token-2", "token-3"])

        async def source() -> str:
            return next(tokens)

        self.keeper = TokenProvider(source, clock=self.clock, announce=Announcer())
        session: Any = self.session
        retrier = Retrier(RetryPolicy(attempts=attempts), clock=self.clock, announce=announce)
        self.pipeline = Pipeline(session, budget=self.turns, retrier=retrier, clock=self.clock, announce=announce)

    async def run(self) -> Response:
        return await self.pipeline.call(REQUEST, self.keeper)


@pytest.mark.parametrize(
    ("outcome", "error", "told"),
    [
        (answer(200), None, ["acquire", "settle"]),
        (answer(404), NotFound, ["acquire", "settle"]),
        (ConnectionFailed("cut"), ConnectionFailed, ["acquire", "settle"]),
        (ConnectionFailed("no route", was_sent=False), ConnectionFailed, ["acquire", "give back"]),
        (KeyError("a bug"), KeyError, ["acquire", "settle"]),
        (answer(429), RateLimited, ["acquire", "settle", ("pause", None)]),
        (answer(429, {"Retry-After": "7"}), RateLimited, ["acquire", "settle", ("pause", 7.0)]),
        (answer(200, {"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "9"}), None, ["acquire", ("settle", 5)]),
    ],
)
async def test_each_turn_is_returned_once(outcome: Outcome, error: type[Exception] | None, told: list[object]) -> None:
    """Answered, refused, broken or never sent: the budget hears of it once, and in the right words."""
    call = Call(outcome)
    if error is None:
        await call.run()
    else:
        with pytest.raises(error):
            await call.run()
    assert call.turns.told == told


async def test_a_cancelled_try_returns_its_turn() -> None:
    """The server may have seen it, so it counts."""
    call = Call()
    started = asyncio.Event()

    async def hang(request: Request, credential: str) -> Response:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    call.session.send = hang  # type: ignore[method-assign]
    task = asyncio.create_task(call.run())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert call.turns.told == ["acquire", "settle"]


async def test_a_rejected_token_is_replaced_once() -> None:
    """The replay carries the new token and takes a turn of its own."""
    call = Call(answer(401), answer(200))
    await call.run()
    assert call.session.credentials == ["token-1", "token-2"]
    assert call.turns.told == ["acquire", "settle", "acquire", "settle"]


async def test_a_second_rejection_is_an_error() -> None:
    """No third token is fetched."""
    call = Call(answer(401), answer(401))
    with pytest.raises(AuthenticationError):
        await call.run()
    assert call.session.credentials == ["token-1", "token-2"]


def refusal(code: int) -> Response:
    """An error that only the body tells of."""
    body = b'{"_status": "ERR", "_error": {"code": %d, "message": "no"}}' % code
    return Response(status=200, headers={}, body=body)


async def test_an_error_in_the_body_counts_like_one_in_the_status() -> None:
    """`_status: "ERR"` beside a 200 refreshes the token, pauses the budget or is retried, as its code says."""
    unauthorized = Call(refusal(401), answer(200))
    await unauthorized.run()
    assert unauthorized.session.credentials == ["token-1", "token-2"]
    limited = Call(refusal(429))
    with pytest.raises(RateLimited):
        await limited.run()
    assert limited.turns.told == ["acquire", "settle", ("pause", None)]
    failing = Call(refusal(503), answer(200), attempts=2)
    task = asyncio.create_task(failing.run())
    await settle()
    await failing.clock.move(1)
    assert (await task).body == b"{}"


async def test_a_token_that_was_replaced_while_waiting_for_a_turn_is_not_sent() -> None:
    """The newest token goes out, not the one that was valid when the wait began."""
    call = Call(answer(200))
    first = await call.keeper.token()

    async def acquire(priority: Priority) -> None:
        await call.keeper.token(rejected=first)

    call.turns.acquire = acquire  # type: ignore[method-assign]
    await call.run()
    assert call.session.credentials == ["token-2"]


async def test_a_replay_after_a_wait_carries_the_token_of_that_moment() -> None:
    """Where the new token was replaced while the replay waited for its turn, its successor goes out."""
    call = Call(answer(401), answer(200))
    turns = 0

    async def acquire(priority: Priority) -> None:
        nonlocal turns
        turns += 1
        if turns == 2:
            await call.keeper.token(rejected=await call.keeper.token())

    call.turns.acquire = acquire  # type: ignore[method-assign]
    await call.run()
    assert call.session.credentials == ["token-1", "token-3"]


async def test_a_post_that_a_body_contradicts_is_not_sent_again() -> None:
    """Only an HTTP 401 or 429 is a certain refusal: a 201 that says ERR may have been carried out."""
    post = Request(method="POST", target="/x", label="POST /x", priority=Priority.SINGLE, body=b"{}")
    for code in (401, 429, 422):
        call = Call(refusal(code), answer(201), attempts=3)
        with pytest.raises(AmiliError) as caught:
            await call.pipeline.call(post, call.keeper)
        assert not caught.value.was_not_processed
        assert len(call.session.credentials) == 1


async def test_a_turn_is_not_lost_where_no_credential_can_be_made() -> None:
    """A signature that fails gives the turn back."""

    def fail() -> str:
        raise KeyError

    call = Call()
    with pytest.raises(KeyError):
        await call.pipeline.call_with(REQUEST, fail)
    assert call.turns.told == ["acquire", "give back"]


async def test_a_call_does_not_outlive_its_client() -> None:
    """What waited for its next try while the client was closed, and perhaps opened anew, sends nothing."""
    call = Call(ConnectionFailed("cut"), answer(200), attempts=2)
    task = asyncio.create_task(call.run())
    await settle()
    call.session.opening = "another"
    await call.clock.move(1)
    with pytest.raises(ConfigurationError, match="closed meanwhile"):
        await task
    assert len(call.session.credentials) == 1
    assert call.turns.told == ["acquire", "settle", "acquire", "give back"]


async def test_a_failure_to_get_a_token_is_not_tried_again_around_its_own_tries() -> None:
    """The token request had its tries: the call that needed it adds none."""
    call = Call(attempts=3)
    asked = 0

    async def source() -> str:
        nonlocal asked
        asked += 1
        raise ConnectionFailed("down", request="GET /authenticates/api-code")

    call.keeper = TokenProvider(source, clock=call.clock, announce=Announcer())
    task = asyncio.create_task(call.run())
    await settle()
    await call.clock.move(60)
    with pytest.raises(ConnectionFailed):
        await task
    assert asked == 1


async def test_each_try_is_told_without_its_query() -> None:
    """Status or error, number and duration; never the query or the token."""
    call = Call(ConnectionFailed("cut"), answer(200), attempts=2)
    task = asyncio.create_task(call.run())
    await settle()
    await call.clock.move(1)
    await task
    tries = [event for event in call.events if isinstance(event, AttemptFinished)]
    assert [(event.request, event.status, event.error, event.attempt) for event in tries] == [
        ("GET /x", None, "ConnectionFailed", 1),
        ("GET /x", 200, None, 2),
    ]
    assert "s3cret" not in repr(call.events)
    assert "token-" not in repr(call.events)


async def test_a_credential_of_its_own_is_made_for_each_try() -> None:
    """The token request signs anew when it is tried again, and uses no token."""
    numbers = iter(range(9))
    credential: Callable[[], str] = lambda: f"jwt-{next(numbers)}"  # noqa: E731
    call = Call(ConnectionFailed("cut"), answer(200), attempts=2)
    task = asyncio.create_task(call.pipeline.call_with(REQUEST, credential))
    await settle()
    await call.clock.move(1)
    await task
    assert call.session.credentials == ["jwt-0", "jwt-1"]


async def test_errors_of_the_pipeline_are_all_ours() -> None:
    """Whatever the status, what is raised is an AmiliError."""
    for status in (300, 301, 304, 400, 402, 403, 404, 405, 409, 410, 412, 418, 422, 428, 429, 500, 502, 503, 504, 599):
        with pytest.raises(AmiliError):
            await Call(answer(status)).run()


async def test_a_budget_that_fails_does_not_hide_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    """A caller's own budget that raises when a turn is returned is logged; the answer arrives all the same."""

    class Broken(Turns):
        def on_response(self, quota: Quota | None = None) -> None:
            raise KeyError("s3cret")

        def release_unused(self) -> None:
            raise KeyError("s3cret")

    for outcome, error in ((answer(200), None), (ConnectionFailed("no route", was_sent=False), ConnectionFailed)):
        call = Call(outcome)
        call.pipeline._rate_limiter = Broken()
        if error is None:
            assert (await call.run()).status == 200
        else:
            with pytest.raises(error):
                await call.run()
    assert [record.message for record in caplog.records] == ["the request budget failed with KeyError"] * 2
