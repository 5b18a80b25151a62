"""The fault matrix of the way to a token, at the start and on the way, and of clocks that jump.

The law: what fails there is told as what failed, never as the outcome of the call that needed the token; a payment
was not sent then.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from amili_async import AmiliClient, RetryPolicy
from amili_async.errors import (
    AmiliError,
    ApiError,
    AuthenticationError,
    ConnectionFailed,
    ExtractionInterrupted,
    RateLimited,
    ServerFault,
    TimedOut,
    UnreadableResponse,
)
from amili_async.events import Event, TokenRefreshed
from amili_async.sandbox import Fault, Sandbox
from tests.integration.conftest import Connect, StartSandbox
from tests.support.clocks import HastyClock
from tests.support.operations import (
    CREATE,
    EXTRACT,
    GET,
    GUARD,
    PAGE_SIZE,
    PAYMENTS,
    READING,
    ROWS,
    SINGLE,
    STREAM,
    TOKEN_PATH,
    WALKING,
    WHOLE,
    Ending,
    Fails,
    Operation,
    hold,
    name_of,
)

HTML = "<!doctype html><title>Sorry</title><p>Please come back later."
ALL = (GET, STREAM, EXTRACT, CREATE)
TRIES = 3
REQUEST = f"GET {TOKEN_PATH}"


@dataclass(frozen=True)
class Row:
    """What the token endpoint answers, and what becomes of every operation."""

    name: str
    fault: Fault
    kind: type[AmiliError] = AuthenticationError
    told: Mapping[str, Any] = field(default_factory=dict)
    """Attributes of the error."""

    @property
    def always(self) -> Fails:
        """How an operation ends while it lasts."""
        if not issubclass(self.kind, ApiError | ConnectionFailed):
            return Fails(self.kind, self.told)
        tries = 1 if not self.kind.transient or self.told.get("retry_after", 0) > 120 else TRIES
        return Fails(self.kind, {"request": REQUEST, "attempts": tries, **self.told})

    @property
    def is_retried(self) -> bool:
        """Whether it does no harm where it happens once."""
        return self.always.told.get("attempts") == TRIES


def said(name: str, body: Any, **told: Any) -> Row:
    """A good status with something that is no use."""
    return Row(name, Fault(status=200, body=body), told=told)


ROWS_OF_TOKENS = [
    *(
        Row(f"{status}", Fault(status=status), told={"status": status})
        for status in (400, 401, 403, 404, 405, 409, 422)
    ),
    Row("403 HTML", Fault(status=403, body=HTML), told={"status": 403}),
    Row("402", Fault(status=402), ApiError, {"status": 402}),
    Row("304", Fault(status=304), ApiError, {"status": 304}),
    *(Row(f"{status}", Fault(status=status), ServerFault, {"status": status}) for status in (500, 501, 504, 599)),
    Row("502 HTML", Fault(status=502, body=HTML), ServerFault, {"status": 502}),
    Row("503 for a while", Fault.unavailable(retry_after=3), ServerFault, {"status": 503}),
    Row("429 in seconds", Fault.too_many_requests(retry_after=3), RateLimited, {"retry_after": 3.0}),
    Row("429 without a header", Fault.too_many_requests(), RateLimited, {"retry_after": 60.0}),
    Row("429 unreadable", Fault.too_many_requests(retry_after="soon"), RateLimited, {"retry_after": 60.0}),
    Row("429 far in the future", Fault.too_many_requests(retry_after=9999), RateLimited, {"retry_after": 9999.0}),
    Row("reset before", Fault(reset="before"), ConnectionFailed),
    Row("reset after", Fault(reset="after"), ConnectionFailed),
    Row("cut", Fault(cut=7), ConnectionFailed),
    said("HTML", HTML, status=200),
    said("empty", b"", status=200),
    said("null", "null"),
    said("a list", []),
    said("a number", "5"),
    said("NaN", "NaN"),
    said("10,000 digits", "9" * 10_000),
    said("nested without end", "[" * 100_000),
    said("no text", b'{"access_token": "\xff"}'),
    said("ERR", {"_status": "ERR", "_error": {"code": 401}, "access_token": "x"}, status=401),
    said("another name", {"key": "x"}),
    said("a token that is empty", {"access_token": ""}),
    said("a token that is blank", {"access_token": " \t"}),
    said("a token that is null", {"access_token": None}),
    said("a token that is a number", {"access_token": 5}),
    said("a token in two lines", {"access_token": "a\r\nX-Evil: b"}),
    said("a token that is no ASCII", {"access_token": "nyckel-å"}),
    said("a token that nobody knows", {"access_token": "stranger", "expires_in": 600}, status=401),
    said("expired", {"access_token": "x", "expires_in": 0}),
    said("expired long since", {"access_token": "x", "expires_in": -1e9}),
    said("expired by its date", {"access_token": "x", "expires_at": "Sun, 06 Nov 2022 08:49:37 GMT"}),
]
LIFETIMES = ["null", '"soon"', '"NaN"', "1e308", "9" * 400, '"1e400"', "[600]", "true", '"600"', "0.5"]


async def open_scene(start: StartSandbox, connect: Connect, **options: Any) -> tuple[Sandbox, AmiliClient]:
    """A sandbox, and a client without a token."""
    sandbox = await start(**ROWS)
    return sandbox, await connect(sandbox, page_size=PAGE_SIZE, retry=RetryPolicy(attempts=TRIES), **options)


def count_tokens(sandbox: Sandbox) -> int:
    return sum(request.path == TOKEN_PATH for request in sandbox.requests)


@pytest.mark.parametrize("operation", ALL, ids=name_of)
@pytest.mark.parametrize("row", ROWS_OF_TOKENS, ids=name_of)
async def test_no_token_is_to_be_had(
    row: Row, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """The operation fails as the token did; nothing else was sent, and everything works once tokens come again."""
    sandbox, amili = await open_scene(start_sandbox, connect)
    sandbox.fail(row.fault, path=TOKEN_PATH, times=None)
    asked: list[str] = []

    def stop() -> None:
        asked.extend(request.path for request in sandbox.requests)
        sandbox.stop_failing()

    await hold(operation, row.always, amili=amili, sandbox=sandbox, clock=clock, stop_failing=stop)
    if row.name == "a token that nobody knows":
        assert (len(asked), asked.count(TOKEN_PATH)) == (4, 2)
    else:
        assert asked == [TOKEN_PATH] * (TRIES if row.is_retried else 1)


@pytest.mark.parametrize("operation", ALL, ids=name_of)
@pytest.mark.parametrize("row", [row for row in ROWS_OF_TOKENS if row.is_retried], ids=name_of)
async def test_a_token_comes_at_the_second_try(
    row: Row, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """A passing fault costs one more request for the token."""
    sandbox, amili = await open_scene(start_sandbox, connect)
    sandbox.fail(row.fault, path=TOKEN_PATH)
    await hold(operation, WHOLE, amili=amili, sandbox=sandbox, clock=clock, stop_failing=sandbox.stop_failing)
    assert count_tokens(sandbox) == 2


@pytest.mark.parametrize("operation", [*WALKING, CREATE], ids=name_of)
@pytest.mark.parametrize("row", ROWS_OF_TOKENS, ids=name_of)
async def test_a_token_ends_and_no_other_is_to_be_had(
    row: Row, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """On the way it ends a walk where it is; a payment that was refused for its token is not an unknown outcome."""
    sandbox, amili = await open_scene(start_sandbox, connect)
    await amili.auth.get_valid_token()
    sandbox.fail(Fault(revoke=True), path=operation.path, after=0 if operation is CREATE else 2)
    sandbox.fail(row.fault, path=TOKEN_PATH, times=None)
    ending = replace(row.always, within=ExtractionInterrupted if operation is EXTRACT else None)
    await hold(operation, ending, amili=amili, sandbox=sandbox, clock=clock, stop_failing=sandbox.stop_failing)


@pytest.mark.parametrize("operation", ALL, ids=name_of)
@pytest.mark.parametrize("lifetime", LIFETIMES)
async def test_a_lifetime_that_makes_no_sense_does_no_harm(
    lifetime: str, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """The token is used, for as long as tokens are taken to live or until it is refused."""
    sandbox, amili = await open_scene(start_sandbox, connect)
    body = f'{{"access_token": "{sandbox.token()}", "expires_in": {lifetime}}}'
    sandbox.fail(Fault(status=200, body=body), path=TOKEN_PATH)
    await hold(operation, WHOLE, amili=amili, sandbox=sandbox, clock=clock, stop_failing=sandbox.stop_failing)


@pytest.mark.parametrize("operation", [*READING, CREATE], ids=name_of)
async def test_an_early_refresh_that_fails_harms_nobody(
    operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """While the old token lives, it does not matter that no new one is to be had."""
    sandbox, amili = await open_scene(start_sandbox, connect)
    await amili.auth.get_valid_token()
    clock._now += 550
    sandbox.fail(Fault(status=401), path=TOKEN_PATH, times=None)
    await hold(operation, WHOLE, amili=amili, sandbox=sandbox, clock=clock, stop_failing=sandbox.stop_failing)
    await asyncio.sleep(0.02)
    assert count_tokens(sandbox) == 2


@pytest.mark.parametrize("operation", ALL, ids=name_of)
async def test_a_token_endpoint_that_hangs(
    operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """It times out as the token's request; a payment was not sent."""
    sandbox, amili = await open_scene(start_sandbox, connect, timeout=0.1)
    sandbox.fail(Fault(hang=True), path=TOKEN_PATH, times=None)
    ending = Fails(TimedOut, {"request": REQUEST, "attempts": TRIES})
    await hold(operation, ending, amili=amili, sandbox=sandbox, clock=clock, stop_failing=sandbox.stop_failing)


async def test_callers_share_a_slow_token(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Thirty calls wait for one request; where it fails for good, each of them is told."""
    sandbox, amili = await open_scene(start_sandbox, connect)
    sandbox.fail(Fault(delay=0.05), path=TOKEN_PATH)
    async with asyncio.timeout(GUARD):
        assert await asyncio.gather(*(amili.payouts.count() for _ in range(30))) == [3] * 30
    assert count_tokens(sandbox) == 1
    sandbox.revoke_tokens()
    sandbox.fail(Fault(delay=0.05, status=403), path=TOKEN_PATH)
    async with asyncio.timeout(GUARD):
        errors = await asyncio.gather(*(amili.payouts.count() for _ in range(30)), return_exceptions=True)
    assert {type(error) for error in errors} == {AuthenticationError}
    assert count_tokens(sandbox) == 2


# Clocks


class WrongClock(HastyClock):
    """The client's: its time of day can be set, as an administrator or a battery does."""

    def __init__(self, other: HastyClock) -> None:
        super().__init__()
        self._started = other._started
        self.offset = 0.0

    def wall(self) -> float:
        return super().wall() + self.offset


HOUR, DAY, YEARS = 3600.0, 86_400.0, 400_000_000.0
JUMPS = [-YEARS, -2 * DAY, -HOUR, -60.0, 60.0, HOUR / 2, HOUR, 2 * DAY, YEARS]


@pytest.mark.parametrize("operation", [*READING, CREATE], ids=name_of)
@pytest.mark.parametrize("jump", JUMPS)
async def test_a_clock_that_jumps_while_nothing_is_asked(
    jump: float, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """With a token in hand the time of day matters to an extraction only, which refuses to guess its bound."""
    ours = WrongClock(clock)
    sandbox, amili = await open_scene(start_sandbox, connect, clock=ours)
    await amili.auth.get_valid_token()
    ours.offset = jump
    refuses = operation is EXTRACT and abs(jump) > DAY
    await hold_with_jumps(operation, Fails(UnreadableResponse) if refuses else WHOLE, amili, sandbox, ours)


@pytest.mark.parametrize("operation", ALL, ids=name_of)
@pytest.mark.parametrize("jump", JUMPS)
async def test_a_wrong_clock_at_the_token(
    jump: float, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """A clock that is some minutes wrong does no harm; one that is more so makes a request that the API refuses."""
    ours = WrongClock(clock)
    sandbox, amili = await open_scene(start_sandbox, connect, clock=ours)
    ours.offset = jump
    is_refused = not -600 < jump <= 3000
    ending = Fails(AuthenticationError, {"status": 401}) if is_refused else WHOLE
    await hold_with_jumps(operation, ending, amili, sandbox, ours)


@pytest.mark.parametrize("operation", [*WALKING, CREATE], ids=name_of)
@pytest.mark.parametrize("jump", JUMPS)
async def test_a_clock_that_jumps_on_the_way(
    jump: float, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """Waits that the server dates, and the search for a payment whose answer got lost, go by the server's clock."""
    ours = WrongClock(clock)
    sandbox, amili = await open_scene(start_sandbox, connect, clock=ours)
    await amili.auth.get_valid_token()
    served: list[str] = []

    def jump_at_the_second(request: Any) -> None:
        served.append(request.path)
        if operation is CREATE or len(served) == 2:
            ours.offset = jump

    sandbox.before_each_request(jump_at_the_second)
    if operation is CREATE:
        sandbox.fail(Fault(reset="after"), method="POST")
    else:
        sandbox.fail(Fault(status=429, headers={"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}), after=2)
    began = ours.now()
    await hold_with_jumps(operation, WHOLE, amili, sandbox, ours)
    assert ours.now() - began < 10
    assert len(sandbox.rows(PAYMENTS)) == (operation is CREATE)


async def hold_with_jumps(
    operation: Operation, ending: Ending, amili: AmiliClient, sandbox: Sandbox, ours: WrongClock
) -> None:
    """Hold it, and set the clock right where that is what was wrong."""

    def set_right() -> None:
        ours.offset = -4000.0  # the sandbox's clock stands still when ours is moved on

    await hold(operation, ending, amili=amili, sandbox=sandbox, clock=ours, stop_failing=set_right)


@pytest.mark.parametrize("jump", JUMPS)
async def test_a_date_on_a_token_is_read_by_the_servers_clock(
    jump: float, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """A token that ends in ten minutes there ends in ten minutes here."""
    events: list[Event] = []
    ours = WrongClock(clock)
    sandbox, amili = await open_scene(start_sandbox, connect, clock=ours, observers=[events.append])
    ours.offset = jump
    body = {"access_token": sandbox.token(), "expires_at": round(clock.wall()) + 600}
    sandbox.fail(Fault(status=200, body=body), path=TOKEN_PATH)
    assert await amili.payouts.count() == 3
    (refreshed,) = [event for event in events if isinstance(event, TokenRefreshed)]
    assert abs((refreshed.lifetime or 0) - 600) <= 1


@pytest.mark.parametrize("operation", [*SINGLE, *WALKING, CREATE], ids=name_of)
async def test_a_machine_that_slept(
    operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """Hours pass between two requests: the token is renewed, and nothing else happens."""
    sandbox, amili = await open_scene(start_sandbox, connect)
    await amili.auth.get_valid_token()

    def sleep(request: Any) -> None:
        sandbox.before_each_request(None)
        clock._now += 8 * HOUR

    sandbox.before_each_request(sleep)
    await amili.payouts.count()
    await hold(operation, WHOLE, amili=amili, sandbox=sandbox, clock=clock, stop_failing=sandbox.stop_failing)
    assert count_tokens(sandbox) == 2
