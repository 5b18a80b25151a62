"""The fault matrix: what a server may answer, or fail to answer, against every operation and at each moment.

The law of each table: once, at any moment, what is transient costs a retry and nothing else; for ever, it ends in the
one error that is named, within the tries of the policy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
from tests.integration.conftest import Connect, StartSandbox
from tests.support.clocks import HastyClock
from tests.support.operations import (
    CREATE,
    EXTRACT,
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

HTML = "<!doctype html><title>Sorry</title><p>Please come back later."
TRIES = 5


@dataclass(frozen=True)
class Row:
    """A fault, and how operations that meet it end."""

    name: str
    fault: Fault
    kind: type[AmiliError]
    """The error of a reading operation that meets it for ever."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """Attributes of that error, `attempts` aside."""
    is_retried: bool = False
    """Whether a reading operation that meets it once delivers everything."""
    post: str = "refused"
    """What becomes of a payment: `refused` with that error, `resent`, its outcome `unknown`, or `found`."""

    @property
    def always(self) -> Fails:
        """How an operation ends that meets it for ever."""
        counts_tries = issubclass(self.kind, ApiError | ConnectionFailed)
        return Fails(
            self.kind, {**self.told, **({"attempts": TRIES if self.is_retried else 1} if counts_tries else {})}
        )


def refusal(status: int, kind: type[AmiliError] = ApiError, *, body: Any = None, post: str = "refused") -> Row:
    """A status that will not change by asking again."""
    how = "" if body is None else " HTML" if isinstance(body, str) else " JSON"
    told = {"status": status, "was_not_processed": post == "refused"}
    return Row(f"{status}{how}", Fault(status=status, body=body), kind, told, post=post)


def failure(status: int, *, body: Any = None, headers: Mapping[str, str] | None = None) -> Row:
    """A status of the server's own failure, after which a payment may be registered or not."""
    how = "" if body is None else " HTML" if isinstance(body, str) else " JSON"
    fault = Fault(status=status, body=body, headers=headers or {})
    name = f"{status}{how} {' '.join((headers or {}).values())}".strip()
    told = {"status": status, "was_not_processed": False}
    return Row(name, fault, ServerFault, told, is_retried=True, post="unknown")


def limit(name: str, retry_after: str | None, *, waits: float, is_obeyed: bool = True) -> Row:
    """A 429: nothing was done, so that a payment is sent again too, unless the wait is too long."""
    told = {"status": 429, "retry_after": waits, "was_not_processed": True}
    return Row(
        f"429 {name}",
        Fault.too_many_requests(retry_after=retry_after),
        RateLimited,
        told,
        is_retried=is_obeyed,
        post="resent" if is_obeyed else "refused",
    )


def oddity(name: str, *, body: Any, status: int = 200, kind: type[AmiliError] = UnreadableResponse) -> Row:
    """A good status with a body that is none; the payment was registered, and is found."""
    fault = Fault(status=status, body=body, carried_out=True)
    return Row(name, fault, kind, is_retried=kind.transient, post="found")


ANSWERS = [
    refusal(300, post="unknown"),
    refusal(304, post="unknown"),
    refusal(400, BadRequest),
    refusal(400, BadRequest, body=HTML),
    refusal(402, post="unknown"),
    refusal(403, Forbidden),
    refusal(403, Forbidden, body=HTML),
    refusal(404, NotFound),
    refusal(404, NotFound, body=HTML),
    refusal(405),
    refusal(406),
    refusal(408, post="unknown"),
    refusal(409, Conflict),
    refusal(410),
    refusal(411),
    refusal(412, Conflict),
    refusal(413, body=HTML),
    refusal(414, post="unknown"),
    refusal(415),
    refusal(418, post="unknown"),
    refusal(422, ValidationFailed),
    refusal(422, ValidationFailed, body={"_status": "ERR", "_issues": {"a": ["b", {"c": [1]}]}, "_error": None}),
    refusal(425, post="unknown"),
    refusal(428, Conflict),
    refusal(431, post="unknown"),
    refusal(451, post="unknown"),
    refusal(499, post="unknown"),
    failure(500),
    failure(500, body={"_status": "ERR", "_error": {"code": 400, "message": "of another mind"}}),
    failure(501, body=HTML),
    failure(502, body=HTML),
    failure(503, body=HTML),
    failure(503, body=HTML, headers={"Retry-After": "7"}),
    failure(503, headers={"Retry-After": "soon"}),
    failure(504, body=HTML),
    failure(507),
    failure(520, body=HTML),
    failure(599),
    limit("in seconds", "3", waits=3),
    limit("in parts of a second", "1.5", waits=1.5),
    limit("at once", "0", waits=1),
    limit("at a date that has passed", "Sun, 06 Nov 1994 08:49:37 GMT", waits=1),
    limit("unreadable", "soon", waits=60),
    limit("negative", "-5", waits=60),
    limit("of no number", "NaN", waits=60),
    limit("with a number without end", "9" * 200, waits=60),
    limit("without a header", None, waits=60),
    limit("far in the future", "9999", waits=9999, is_obeyed=False),
    oddity("200 HTML", body=HTML),
    oddity("200 empty", body=b""),
    oddity("200 null", body="null"),
    oddity("200 list", body=[]),
    oddity("200 text", body='"welcome"'),
    oddity("200 cut JSON", body='{"_items": [{"_id": "'),
    oddity("200 no text", body=b'{"_items": [{"_id": "\xff\xfe"}]}'),
    oddity("200 with a byte order mark", body=b'\xef\xbb\xbf{"_items": [], "_id": "674dbeb208847b9501cc9138"}'),
    oddity("200 nested without end", body="[" * 100_000),
    oddity("206 empty", status=206, body=b""),
    oddity("200 that says ERR", body={"_status": "ERR", "_error": {"code": 404}}, kind=NotFound),
    oddity("200 that says 503", body={"_status": "ERR", "_error": {"code": 503}}, kind=ServerFault),
]


ONCE = [row for row in ANSWERS if row.is_retried]
MIDDLE, LAST = 1, 3
"""How many pages come before the one that is hit."""


async def hold_row(
    row: Row,
    operation: Operation,
    ending: Ending,
    start: StartSandbox,
    connect: Connect,
    clock: HastyClock,
    **plan: Any,
) -> int:
    """Hold one cell to its ending; returns how many requests the resource got by the end of the first run."""
    sandbox = await start(**ROWS)
    amili = await connect(sandbox, page_size=PAGE_SIZE)
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


@pytest.mark.parametrize("operation", [*SINGLE, *WALKING], ids=name_of)
@pytest.mark.parametrize("row", ANSWERS, ids=name_of)
async def test_for_ever_it_ends_in_the_named_error(
    row: Row, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """No more requests are made than the policy has tries, and everything comes once the fault is over."""
    asked = await hold_row(row, operation, row.always, start_sandbox, connect, clock, times=None)
    assert asked == (TRIES if row.is_retried else 1)


@pytest.mark.parametrize("operation", SINGLE, ids=name_of)
@pytest.mark.parametrize("row", ONCE, ids=name_of)
async def test_what_passes_costs_one_more_request(
    row: Row, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """A single call that meets a passing fault once asks twice, and delivers."""
    assert await hold_row(row, operation, WHOLE, start_sandbox, connect, clock) == 2


@pytest.mark.parametrize("operation", WALKING, ids=name_of)
@pytest.mark.parametrize(
    ("row", "moment"),
    [*((row, MIDDLE) for row in ANSWERS), *((row, LAST) for row in ONCE)],
    ids=name_of,
)
async def test_one_bad_page_costs_a_retry_or_ends_the_walk_where_it_is(
    row: Row, moment: int, operation: Operation, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """What came before is a part of the truth, in order; an extraction goes on there and brings the rest once."""
    within = ExtractionInterrupted if operation is EXTRACT else None
    ending = WHOLE if row.is_retried else replace(row.always, within=within)
    await hold_row(row, operation, ending, start_sandbox, connect, clock, after=moment)


@pytest.mark.parametrize("row", ANSWERS, ids=name_of)
async def test_a_payment_is_registered_once_at_most(
    row: Row, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """It is sent again only where the server certainly did nothing; else it is looked for."""
    ending = WHOLE if row.post in {"resent", "found"} else row.always
    if row.post == "unknown":
        ending = Fails(row.kind, {**row.told, "attempts": 1}, within=PaymentOutcomeUnknown)
    sent = await hold_row(row, CREATE, ending, start_sandbox, connect, clock)
    assert sent == (2 if row.post == "resent" else 1)


# What needs more than one request to go wrong


@pytest.mark.parametrize("moment", [0, MIDDLE, LAST], ids=["first", "middle", "last"])
@pytest.mark.parametrize("operation", [*SINGLE, *WALKING, CREATE], ids=name_of)
async def test_a_token_that_is_revoked_on_the_way_costs_one_more(
    operation: Operation, moment: int, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """A 401 is answered by a new token, once for all who were refused, and nothing is lost or sent twice."""
    sandbox = await start_sandbox(**ROWS)
    amili = await connect(sandbox, page_size=PAGE_SIZE)
    sandbox.fail(Fault(revoke=True), path=operation.path, after=moment if operation in WALKING else 0)
    await hold(operation, WHOLE, amili=amili, sandbox=sandbox, clock=clock, stop_failing=sandbox.stop_failing)
    assert sum(request.path == TOKEN_PATH for request in sandbox.requests) == 2


@pytest.mark.parametrize("body", [None, HTML, {"_status": "ERR", "_error": {"code": 401}}], ids=["Eve", "HTML", "JSON"])
@pytest.mark.parametrize("operation", [*SINGLE, *WALKING, CREATE], ids=name_of)
async def test_tokens_that_are_never_good(
    operation: Operation, body: Any, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """A second 401 is the end: two requests, and no third token."""
    row = Row("401", Fault(status=401, body=body), AuthenticationError, {"status": 401, "was_not_processed": True})
    assert await hold_row(row, operation, row.always, start_sandbox, connect, clock, times=None) == 2


@pytest.mark.parametrize("says_so", [False, True], ids=["silent", "with headers"])
@pytest.mark.parametrize("operation", [*SINGLE, *WALKING, RECONCILE, CREATE], ids=name_of)
async def test_a_limiter_that_extends_its_block_on_each_knock(
    operation: Operation, says_so: bool, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """Eve's own, met by a client without a budget: it is left alone for a window, then all comes."""
    window = RateWindow(4, 60.0)
    sandbox = await start_sandbox(
        **ROWS | {"rate_limit": (window,), "count_rejected": True, "rate_limit_headers": says_so}
    )
    amili = await connect(sandbox, page_size=PAGE_SIZE, concurrency=2)
    for _ in range(3):  # with the token all that the window allows
        await amili.payouts.count()
    began = clock.now()
    await hold(operation, WHOLE, amili=amili, sandbox=sandbox, clock=clock, stop_failing=sandbox.stop_failing)
    assert clock.now() - began >= window.seconds
    refused = sum(request.status == 429 for request in sandbox.requests)
    assert refused == 0 if says_so else 1 <= refused <= len(sandbox.requests) / 2


SEVERAL = [
    row for row in ANSWERS if row.name in {"403", "408", "500", "503 HTML", "429 without a header", "200 cut JSON"}
]


@pytest.mark.parametrize("path", [PAYOUTS, SPECIFICATIONS])
@pytest.mark.parametrize("row", SEVERAL, ids=name_of)
async def test_a_comparison_that_lacks_a_page_is_none(
    row: Row, path: str, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """What passes is not noticed; any other failure ends it, and no payout is said to differ for want of a page."""
    for plan in ({"times": 1}, {"times": None}, {"times": 1, "after": 1}):
        if path == PAYOUTS and "after" in plan:
            continue  # three payouts are one page
        sandbox = await start_sandbox(**ROWS)
        amili = await connect(sandbox, page_size=PAGE_SIZE)
        sandbox.fail(row.fault, path=path, **plan)
        ending = WHOLE if row.is_retried and plan["times"] else row.always
        await hold(RECONCILE, ending, amili=amili, sandbox=sandbox, clock=clock, stop_failing=sandbox.stop_failing)
