"""The fault matrix of token requests, at the start and during an operation, and of clocks that jump.

Invariant: an error of the token request is raised as such, never as the outcome of the call that needed the token; a
payment was not sent then.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import pytest

from amili_async import AmiliClient, RetryPolicy
from amili_async.errors import (
    AmiliError,
    ApiError,
    AuthenticationError,
    ConfigurationError,
    ConnectionFailed,
    ExtractionInterrupted,
    RateLimited,
    ServerFault,
    TimedOut,
    UnreadableResponse,
)
from amili_async.events import Event, TokenRefreshed
from amili_async.sandbox import Fault, Sandbox
from tests.support import internals
from tests.support.clocks import GUARD, HastyClock, PassingTime, happens, settle
from tests.support.exhaustive import sampled
from tests.support.operations import (
    CREATE,
    EXTRACT,
    EXTRACTING,
    GET,
    PAGE_SIZE,
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
from tests.support.payments import PAYMENTS
from tests.support.starting import Connect, StartSandbox

HTML = "<!doctype html><title>Sorry</title><p>Please come back later."
ALL = (GET, STREAM, EXTRACT, CREATE)
ATTEMPTS = 3
REQUEST = f"GET {TOKEN_PATH}"


@dataclass(frozen=True)
class Row:
    """A response of the token endpoint, and how every operation ends."""

    name: str
    fault: Fault
    kind: type[AmiliError] = AuthenticationError
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Attributes of the error."""

    @property
    def lasting(self) -> Fails:
        """How an operation ends while the fault lasts."""
        if not issubclass(self.kind, ApiError | ConnectionFailed):
            return Fails(self.kind, self.attributes)
        attempts = 1 if not self.kind.transient or self.attributes.get("retry_after", 0) > 120 else ATTEMPTS
        return Fails(self.kind, {"request": REQUEST, "attempts": attempts, **self.attributes})

    @property
    def is_retried(self) -> bool:
        """Whether the fault has no effect where it occurs once."""
        return self.lasting.attributes.get("attempts") == ATTEMPTS


def unusable(name: str, body: Any, **attributes: Any) -> Row:
    """A success status with an unusable body."""
    return Row(name, Fault(status=200, body=body), attributes=attributes)


ROWS_OF_TOKENS = [
    *(
        Row(f"{status}", Fault(status=status), attributes={"status": status})
        for status in (400, 401, 403, 404, 405, 409, 422)
    ),
    Row("403 HTML", Fault(status=403, body=HTML), attributes={"status": 403}),
    Row("402", Fault(status=402), ApiError, {"status": 402}),
    Row("304", Fault(status=304), ApiError, {"status": 304}),
    *(Row(f"{status}", Fault(status=status), ServerFault, {"status": status}) for status in (500, 501, 504, 599)),
    Row("502 HTML", Fault(status=502, body=HTML), ServerFault, {"status": 502}),
    Row("503 with Retry-After", Fault.unavailable(retry_after=3), ServerFault, {"status": 503}),
    Row("429 in seconds", Fault.too_many_requests(retry_after=3), RateLimited, {"retry_after": 3.0}),
    Row("429 without a header", Fault.too_many_requests(), RateLimited, {"retry_after": 60.0}),
    Row("429 unreadable", Fault.too_many_requests(retry_after="soon"), RateLimited, {"retry_after": 60.0}),
    Row("429 far in the future", Fault.too_many_requests(retry_after=9999), RateLimited, {"retry_after": 9999.0}),
    Row("reset before", Fault(reset="before"), ConnectionFailed),
    Row("reset after", Fault(reset="after"), ConnectionFailed),
    Row("cut", Fault(cut=7), ConnectionFailed),
    Row("HTML", Fault(status=200, body=HTML), ConnectionFailed),
    Row("empty", Fault(status=200, body=b""), ConnectionFailed),
    Row("half an object", Fault(status=200, body=b'{"access_token": "ab'), ConnectionFailed),
    unusable("null", "null"),
    unusable("a list", []),
    unusable("a number", "5"),
    Row("NaN", Fault(status=200, body="NaN"), ConnectionFailed),
    unusable("10,000 digits", "9" * 10_000),
    unusable("nested endlessly", "[" * 100_000),
    unusable("no text", b'{"access_token": "\xff"}'),
    unusable("ERR", {"_status": "ERR", "_error": {"code": 401}, "access_token": "x"}, status=401),
    unusable("another name", {"key": "x"}),
    unusable("a token that is empty", {"access_token": ""}),
    unusable("a token that is blank", {"access_token": " \t"}),
    unusable("a token that is null", {"access_token": None}),
    unusable("a token that is a number", {"access_token": 5}),
    unusable("a token in two lines", {"access_token": "a\r\nX-Evil: b"}),
    unusable("a token that is no ASCII", {"access_token": "nyckel-å"}),
    unusable("an unknown token", {"access_token": "stranger", "expires_in": 600}, status=401),
    unusable("expired", {"access_token": "x", "expires_in": 0}),
    unusable("expired long since", {"access_token": "x", "expires_in": -1e9}),
    unusable("expired by its date", {"access_token": "x", "expires_at": "Sun, 06 Nov 2022 08:49:37 GMT"}),
]
LIFETIMES = ["null", '"soon"', '"NaN"', "1e308", "9" * 400, '"1e400"', "[600]", "true", '"600"', "0.5"]


async def open_scene(start: StartSandbox, connect: Connect, **options: Any) -> tuple[Sandbox, AmiliClient]:
    """A sandbox, and a client without a token."""
    sandbox = await start(**ROWS)
    return sandbox, await connect(sandbox, page_size=PAGE_SIZE, retry=RetryPolicy(attempts=ATTEMPTS), **options)


def count_tokens(sandbox: Sandbox) -> int:
    return sum(request.path == TOKEN_PATH for request in sandbox.requests)


@sampled("row, operation", list(product(ROWS_OF_TOKENS, ALL)), ids=name_of)
async def test_no_token_is_available(
    row: Row, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """The operation raises the error of the token request and sends nothing else; with a token it works."""
    sandbox, amili = await open_scene(start_sandbox, connect)
    sandbox.fail(row.fault, path=TOKEN_PATH, times=None)
    requests: list[str] = []

    def stop() -> None:
        requests.extend(request.path for request in sandbox.requests)
        sandbox.stop_failing()

    await hold(operation, row.lasting, amili=amili, sandbox=sandbox, clock=clock, stop_failing=stop)
    if row.name == "an unknown token":
        assert (len(requests), requests.count(TOKEN_PATH)) == (4, 2)
    else:
        assert requests == [TOKEN_PATH] * (ATTEMPTS if row.is_retried else 1)


@sampled("row, operation", list(product([row for row in ROWS_OF_TOKENS if row.is_retried], ALL)), ids=name_of)
async def test_a_token_is_available_at_the_second_attempt(
    row: Row, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """A transient fault costs one more token request."""
    sandbox, amili = await open_scene(start_sandbox, connect)
    sandbox.fail(row.fault, path=TOKEN_PATH)
    await hold(operation, WHOLE, amili=amili, sandbox=sandbox, clock=clock, stop_failing=sandbox.stop_failing)
    assert count_tokens(sandbox) == 2


@sampled("row, operation", list(product(ROWS_OF_TOKENS, [*WALKING, CREATE])), ids=name_of)
async def test_a_token_expires_and_no_other_is_available(
    row: Row, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """An iteration ends where it is; the outcome of a payment rejected for its token is certain."""
    sandbox, amili = await open_scene(start_sandbox, connect)
    await amili.auth.get_valid_token()
    sandbox.fail(Fault(revoke=True), path=operation.path, after=0 if operation is CREATE else 2)
    sandbox.fail(row.fault, path=TOKEN_PATH, times=None)
    ending = replace(row.lasting, within=ExtractionInterrupted if operation in EXTRACTING else None)
    await hold(operation, ending, amili=amili, sandbox=sandbox, clock=clock, stop_failing=sandbox.stop_failing)


@sampled("lifetime, operation", list(product(LIFETIMES, ALL)), ids=name_of)
async def test_a_meaningless_lifetime_has_no_effect(
    lifetime: str, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """The token is used for the default lifetime, or until it is rejected."""
    sandbox, amili = await open_scene(start_sandbox, connect)
    body = f'{{"access_token": "{sandbox.token()}", "expires_in": {lifetime}}}'
    sandbox.fail(Fault(status=200, body=body), path=TOKEN_PATH)
    await hold(operation, WHOLE, amili=amili, sandbox=sandbox, clock=clock, stop_failing=sandbox.stop_failing)


@pytest.mark.parametrize("operation", [*READING, CREATE], ids=name_of)
async def test_an_early_refresh_that_fails_has_no_effect(
    operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """While the old token is valid, an operation succeeds without a new one."""
    sandbox, amili = await open_scene(start_sandbox, connect)
    await amili.auth.get_valid_token()
    clock.skip(550)
    sandbox.fail(Fault(status=401), path=TOKEN_PATH, times=None)
    await hold(operation, WHOLE, amili=amili, sandbox=sandbox, clock=clock, stop_failing=sandbox.stop_failing)
    await happens(lambda: count_tokens(sandbox) == 2)
    await settle(300)
    assert count_tokens(sandbox) == 2


@pytest.mark.parametrize("operation", ALL, ids=name_of)
async def test_a_token_endpoint_that_hangs(
    operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """The error names the token request, and a payment was not sent."""
    sandbox, amili = await open_scene(start_sandbox, connect, timeout=5.0)
    sandbox.fail(Fault(hang=True), path=TOKEN_PATH, times=None)
    time = PassingTime()

    def stop_failing() -> None:
        time.stop()
        sandbox.stop_failing()

    time.start()
    ending = Fails(TimedOut, {"request": REQUEST, "attempts": ATTEMPTS})
    await hold(operation, ending, amili=amili, sandbox=sandbox, clock=clock, stop_failing=stop_failing)


async def test_callers_share_a_slow_token(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Thirty calls wait for one request; where it fails, each of them raises its error."""
    sandbox, amili = await open_scene(start_sandbox, connect)
    rejected = 0

    async def hold_until_all_wait() -> None:
        await happens(lambda: sum(request.status == 401 for request in sandbox.requests) == rejected)
        await settle(100)

    internals.hold_responses(sandbox, hold_until_all_wait, which=lambda request: request.path == TOKEN_PATH)
    async with asyncio.timeout(GUARD):
        assert await asyncio.gather(*(amili.payouts.count() for _ in range(30))) == [3] * 30
    assert count_tokens(sandbox) == 1
    sandbox.revoke_tokens()
    rejected = 30
    sandbox.fail(Fault(status=403), path=TOKEN_PATH)
    async with asyncio.timeout(GUARD):
        errors = await asyncio.gather(*(amili.payouts.count() for _ in range(30)), return_exceptions=True)
    assert {type(error) for error in errors} == {AuthenticationError}
    assert count_tokens(sandbox) == 2


# Clocks


class WrongClock(HastyClock):
    """A client's clock whose time of day can be set, as an administrator or an empty battery does."""

    def __init__(self, other: HastyClock) -> None:
        super().__init__()
        self.epoch = other.epoch
        self.offset = 0.0

    def wall(self) -> float:
        return super().wall() + self.offset


HOUR, DAY, YEARS = 3600.0, 86_400.0, 400_000_000.0
JUMPS = [-YEARS, -2 * DAY, -HOUR, -60.0, 60.0, HOUR / 2, HOUR, 2 * DAY, YEARS]


def ending_at(operation: Operation, jump: float) -> Ending:
    """How an operation ends whose clock is wrong by that many seconds."""
    if operation in EXTRACTING and abs(jump) > DAY:
        return Fails(UnreadableResponse)
    # By a clock that is years behind, the payment's date is more than a year ahead.
    return Fails(ConfigurationError) if operation is CREATE and jump == -YEARS else WHOLE


@sampled("jump, operation", list(product(JUMPS, [*READING, CREATE])), ids=name_of)
async def test_a_clock_that_jumps_between_requests(
    jump: float, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """Only an extraction, for its bound, and a payment, for its date, need the time of day: they raise, not guess."""
    ours = WrongClock(clock)
    sandbox, amili = await open_scene(start_sandbox, connect, clock=ours)
    await amili.auth.get_valid_token()
    ours.offset = jump
    await hold_with_jumps(operation, ending_at(operation, jump), amili, sandbox, ours)


@sampled("jump, operation", list(product(JUMPS, ALL)), ids=name_of)
async def test_a_wrong_clock_at_the_token(
    jump: float, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """The token request is signed by the server's clock if need be; only an extraction and a payment need ours."""
    ours = WrongClock(clock)
    sandbox, amili = await open_scene(start_sandbox, connect, clock=ours)
    ours.offset = jump
    await hold_with_jumps(operation, ending_at(operation, jump), amili, sandbox, ours)


@sampled("jump, operation", list(product(JUMPS, [*WALKING, CREATE])), ids=name_of)
async def test_a_clock_that_jumps_during_an_operation(
    jump: float, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """Waits until a date, and the look-up of a payment whose response was lost, use the server's clock."""
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
    """Check the ending, and set the clock right to remove the fault."""

    def set_right() -> None:
        ours.offset = -4000.0  # the sandbox's clock does not move with the client's

    await hold(operation, ending, amili=amili, sandbox=sandbox, clock=ours, stop_failing=set_right)


@pytest.mark.parametrize("jump", JUMPS)
async def test_a_date_on_a_token_is_read_by_the_servers_clock(
    jump: float, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """A token that expires in ten minutes of the server's clock expires in ten minutes of the client's."""
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
async def test_a_suspended_machine(
    operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """Hours pass between two requests: the token is refreshed, and nothing else changes."""
    sandbox, amili = await open_scene(start_sandbox, connect)
    await amili.auth.get_valid_token()

    def sleep(request: Any) -> None:
        sandbox.before_each_request(None)
        clock.skip(8 * HOUR)

    sandbox.before_each_request(sleep)
    await amili.payouts.count()
    await hold(operation, WHOLE, amili=amili, sandbox=sandbox, clock=clock, stop_failing=sandbox.stop_failing)
    assert count_tokens(sandbox) == 2
