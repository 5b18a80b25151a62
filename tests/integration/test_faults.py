"""The fault matrix: every error response and malformed response against every operation, at each moment.

Invariant: a transient fault that occurs once costs one retry and nothing else; a lasting fault raises the one named
error, within the attempts of the policy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import pytest

from amili_async.errors import (
    AmiliError,
    ApiError,
    AuthenticationError,
    BadRequest,
    Conflict,
    ConnectionFailed,
    ExtractionInterrupted,
    Forbidden,
    NotFound,
    PaymentOutcomeUnknown,
    RateLimited,
    ServerFault,
    UnreadableResponse,
    ValidationFailed,
)
from amili_async.sandbox import Fault, RateWindow, Sandbox
from tests.support.clocks import HastyClock
from tests.support.exhaustive import sampled
from tests.support.operations import (
    CREATE,
    EXTRACTING,
    LONG,
    PAGE_SIZE,
    PAYOUTS,
    RECONCILE,
    ROWS,
    SINGLE,
    SPECIFICATIONS,
    TOKEN_PATH,
    WALKING,
    WHOLE,
    Ending,
    Fails,
    Operation,
    hold,
    name_of,
)
from tests.support.starting import Connect, StartSandbox

HTML = "<!doctype html><title>Sorry</title><p>Please come back later."
ATTEMPTS = 5


@dataclass(frozen=True)
class Row:
    """A fault, and how operations end that meet it."""

    name: str
    fault: Fault
    kind: type[AmiliError]
    """The error of a read while the fault lasts."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Attributes of that error, `attempts` aside."""
    is_retried: bool = False
    """Whether a read that meets the fault once delivers everything."""
    post: str = "rejected"
    """The fate of a payment: `rejected` with that error, `resent`, of `unknown` outcome, or `found`."""

    @property
    def lasting(self) -> Fails:
        """How an operation ends while the fault lasts."""
        counts_attempts = issubclass(self.kind, ApiError | ConnectionFailed)
        return Fails(
            self.kind,
            {**self.attributes, **({"attempts": ATTEMPTS if self.is_retried else 1} if counts_attempts else {})},
        )


def rejected(status: int, kind: type[AmiliError] = ApiError, *, body: Any = None, post: str = "rejected") -> Row:
    """A status that no retry changes."""
    how = "" if body is None else " HTML" if isinstance(body, str) else " JSON"
    attributes = {"status": status, "was_not_processed": post == "rejected"}
    return Row(f"{status}{how}", Fault(status=status, body=body), kind, attributes, post=post)


def failed(status: int, *, body: Any = None, headers: Mapping[str, str] | None = None) -> Row:
    """A failure of the server, after which a payment may be registered or not."""
    how = "" if body is None else " HTML" if isinstance(body, str) else " JSON"
    fault = Fault(status=status, body=body, headers=headers or {})
    name = f"{status}{how} {' '.join((headers or {}).values())}".strip()
    attributes = {"status": status, "was_not_processed": False}
    return Row(name, fault, ServerFault, attributes, is_retried=True, post="unknown")


def limit(name: str, retry_after: str | None, *, waits: float, is_obeyed: bool = True) -> Row:
    """A 429: nothing was executed, so a payment is resent too, unless the wait is too long."""
    attributes = {"status": 429, "retry_after": waits, "was_not_processed": True}
    return Row(
        f"429 {name}",
        Fault.too_many_requests(retry_after=retry_after),
        RateLimited,
        attributes,
        is_retried=is_obeyed,
        post="resent" if is_obeyed else "rejected",
    )


def malformed(name: str, *, body: Any, status: int = 200, kind: type[AmiliError] = ConnectionFailed) -> Row:
    """A success status with a body that is no whole JSON object; the payment was registered, and is found."""
    fault = Fault(status=status, body=body, carried_out=True)
    return Row(name, fault, kind, is_retried=kind.transient, post="found")


ANSWERS = [
    rejected(300, post="unknown"),
    rejected(304, post="unknown"),
    rejected(400, BadRequest),
    rejected(400, BadRequest, body=HTML),
    rejected(402, post="unknown"),
    rejected(403, Forbidden),
    rejected(403, Forbidden, body=HTML),
    rejected(404, NotFound),
    rejected(404, NotFound, body=HTML),
    rejected(405),
    rejected(406),
    rejected(408, post="unknown"),
    rejected(409, Conflict),
    rejected(410),
    rejected(411),
    rejected(412, Conflict),
    rejected(413, body=HTML),
    rejected(414, post="unknown"),
    rejected(415),
    rejected(418, post="unknown"),
    rejected(422, ValidationFailed),
    rejected(422, ValidationFailed, body={"_status": "ERR", "_issues": {"a": ["b", {"c": [1]}]}, "_error": None}),
    rejected(425, post="unknown"),
    rejected(428, Conflict),
    rejected(431, post="unknown"),
    rejected(451, post="unknown"),
    rejected(499, post="unknown"),
    failed(500),
    failed(500, body={"_status": "ERR", "_error": {"code": 400, "message": "of another mind"}}),
    failed(501, body=HTML),
    failed(502, body=HTML),
    failed(503, body=HTML),
    failed(503, body=HTML, headers={"Retry-After": "7"}),
    failed(503, headers={"Retry-After": "soon"}),
    failed(504, body=HTML),
    failed(507),
    failed(520, body=HTML),
    failed(599),
    limit("in seconds", "3", waits=3),
    limit("in parts of a second", "1.5", waits=1.5),
    limit("at once", "0", waits=1),
    limit("at a date that has passed", "Sun, 06 Nov 1994 08:49:37 GMT", waits=1),
    limit("unreadable", "soon", waits=60),
    limit("negative", "-5", waits=60),
    limit("of no number", "NaN", waits=60),
    limit("with an endless number", "9" * 200, waits=60),
    limit("without a header", None, waits=60),
    limit("far in the future", "9999", waits=9999, is_obeyed=False),
    malformed("200 HTML", body=HTML),
    malformed("200 empty", body=b""),
    malformed("200 null", body="null"),
    malformed("200 list", body=[]),
    malformed("200 text", body='"welcome"'),
    malformed("200 cut JSON", body='{"_items": [{"_id": "'),
    malformed("200 no text", body=b'{"_items": [{"_id": "\xff\xfe"}]}', kind=UnreadableResponse),
    malformed("200 nested endlessly", body="[" * 100_000),
    malformed("206 empty", status=206, body=b""),
    malformed("200 with status ERR", body={"_status": "ERR", "_error": {"code": 404}}, kind=NotFound),
    malformed("200 with code 503", body={"_status": "ERR", "_error": {"code": 503}}, kind=ServerFault),
]


ONCE = [row for row in ANSWERS if row.is_retried]
MIDDLE, LAST = 1, 3
"""The number of pages before the one that fails."""


async def check_cell(
    row: Row,
    operation: Operation,
    ending: Ending,
    start: StartSandbox,
    connect: Connect,
    clock: HastyClock,
    *,
    has_token: bool = True,
    **plan: Any,
) -> int:
    """Check the ending of one cell, and return how many requests the resource received during the first run."""
    sandbox = await start(**ROWS, token_lifetime=LONG)
    amili = await connect(sandbox, page_size=PAGE_SIZE, auth=sandbox.token() if has_token else None)
    sandbox.fail(row.fault, path=operation.path, method=operation.method, **plan)
    counts: list[int] = []

    def stop_failing() -> None:
        counts.append(count_requests(sandbox, operation))
        sandbox.stop_failing()

    await hold(operation, ending, amili=amili, sandbox=sandbox, clock=clock, stop_failing=stop_failing)
    return counts[0] if counts else count_requests(sandbox, operation)


def count_requests(sandbox: Sandbox, operation: Operation) -> int:
    """Requests of the operation's kind."""
    return sum(
        request.method == operation.method and request.path.startswith(f"/{operation.path}")
        for request in sandbox.requests
    )


@sampled("row, operation", list(product(ANSWERS, [*SINGLE, *WALKING])), ids=name_of)
async def test_a_lasting_fault_raises_the_named_error(
    row: Row, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """It makes as many requests as the policy has attempts, and delivers everything once the fault is removed."""
    requests = await check_cell(row, operation, row.lasting, start_sandbox, connect, clock, times=None)
    assert requests == (ATTEMPTS if row.is_retried else 1)


@sampled("row, operation", list(product(ONCE, SINGLE)), ids=name_of)
async def test_a_transient_fault_costs_one_more_request(
    row: Row, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """A single call that meets a transient fault once sends two requests, and delivers."""
    assert await check_cell(row, operation, WHOLE, start_sandbox, connect, clock) == 2


@sampled(
    "row, moment, operation",
    [*product(ANSWERS, [MIDDLE], WALKING), *product(ONCE, [LAST], WALKING)],
    ids=name_of,
)
async def test_one_bad_page_costs_a_retry_or_ends_the_iteration_there(
    row: Row, moment: int, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """Rows delivered before are correct and in order; an extraction resumes there and delivers the rest once."""
    within = ExtractionInterrupted if operation in EXTRACTING else None
    ending = WHOLE if row.is_retried else replace(row.lasting, within=within)
    await check_cell(row, operation, ending, start_sandbox, connect, clock, after=moment)


@pytest.mark.parametrize("row", ANSWERS, ids=name_of)
async def test_a_payment_is_registered_once_at_most(
    row: Row, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """It is resent only where the server certainly did nothing; else it is looked up."""
    ending = WHOLE if row.post in {"resent", "found"} else row.lasting
    if row.post == "unknown":
        ending = Fails(row.kind, {**row.attributes, "attempts": 1}, within=PaymentOutcomeUnknown)
    sent = await check_cell(row, CREATE, ending, start_sandbox, connect, clock)
    assert sent == (2 if row.post == "resent" else 1)


# Faults of more than one request


@pytest.mark.parametrize("moment", [0, MIDDLE, LAST], ids=["first", "middle", "last"])
@pytest.mark.parametrize("operation", [*SINGLE, *WALKING, CREATE], ids=name_of)
async def test_a_token_revoked_during_an_operation_costs_one_more(
    operation: Operation, moment: int, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """Rejected requests share one new token after a 401, and nothing is lost or sent twice."""
    sandbox = await start_sandbox(**ROWS)
    amili = await connect(sandbox, page_size=PAGE_SIZE)
    sandbox.fail(Fault(revoke=True), path=operation.path, after=moment if operation in WALKING else 0)
    await hold(operation, WHOLE, amili=amili, sandbox=sandbox, clock=clock, stop_failing=sandbox.stop_failing)
    assert sum(request.path == TOKEN_PATH for request in sandbox.requests) == 2


@pytest.mark.parametrize("body", [None, HTML, {"_status": "ERR", "_error": {"code": 401}}], ids=["Eve", "HTML", "JSON"])
@pytest.mark.parametrize("operation", [*SINGLE, *WALKING, CREATE], ids=name_of)
async def test_tokens_that_never_work(
    operation: Operation, body: Any, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """A second 401 raises: two requests, and no third token."""
    row = Row("401", Fault(status=401, body=body), AuthenticationError, {"status": 401, "was_not_processed": True})
    assert (
        await check_cell(row, operation, row.lasting, start_sandbox, connect, clock, has_token=False, times=None) == 2
    )


@pytest.mark.parametrize("has_headers", [False, True], ids=["silent", "with headers"])
@pytest.mark.parametrize("operation", [*SINGLE, *WALKING, RECONCILE, CREATE], ids=name_of)
async def test_a_server_that_extends_its_block_with_each_request(
    operation: Operation, has_headers: bool, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """A client without a rate limiter pauses for a window of Eve's own limiter, then delivers everything."""
    window = RateWindow(4, 60.0)
    sandbox = await start_sandbox(
        **ROWS | {"rate_limit": (window,), "count_rejected": True, "rate_limit_headers": has_headers}
    )
    amili = await connect(sandbox, page_size=PAGE_SIZE, concurrency=2)
    for _ in range(3):  # with the token request, the window is full
        await amili.payouts.count()
    began = clock.now()
    await hold(operation, WHOLE, amili=amili, sandbox=sandbox, clock=clock, stop_failing=sandbox.stop_failing)
    assert clock.now() - began >= window.seconds
    rejected_requests = sum(request.status == 429 for request in sandbox.requests)
    assert rejected_requests == 0 if has_headers else 1 <= rejected_requests <= len(sandbox.requests) / 2


SEVERAL = [
    row for row in ANSWERS if row.name in {"403", "408", "500", "503 HTML", "429 without a header", "200 cut JSON"}
]


@pytest.mark.parametrize("path", [PAYOUTS, SPECIFICATIONS])
@pytest.mark.parametrize("row", SEVERAL, ids=name_of)
async def test_a_reconciliation_that_lacks_a_page_raises(
    row: Row, path: str, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """A transient fault has no effect; any other raises, and no payout is reported as different for a missing page."""
    for plan in ({"times": 1}, {"times": None}, {"times": 1, "after": 1}):
        if path == PAYOUTS and "after" in plan:
            continue  # three payouts fit on one page
        sandbox = await start_sandbox(**ROWS)
        amili = await connect(sandbox, page_size=PAGE_SIZE)
        sandbox.fail(row.fault, path=path, **plan)
        ending = WHOLE if row.is_retried and plan["times"] else row.lasting
        await hold(RECONCILE, ending, amili=amili, sandbox=sandbox, clock=clock, stop_failing=sandbox.stop_failing)
