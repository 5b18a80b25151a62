"""Which failures of a registration are certain, and how unknown outcomes are resolved."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from amili_async._wire.protocol import Request, Response
from amili_async.errors import (
    AmiliError,
    ApiError,
    AuthenticationError,
    BadRequest,
    BudgetExhausted,
    ClientClosed,
    ConfigurationError,
    ConnectionFailed,
    NotFound,
    PaymentNotSent,
    PaymentOutcomeUnknown,
    RateLimited,
    ReferenceTaken,
    ServerFault,
    TimedOut,
    UnreadableResponse,
    ValidationFailed,
)
from amili_async.events import PaymentLookedUp, PaymentRegistered
from amili_async.payments import CreditorPayments
from amili_async.payments.create import EARLIEST_DATE, MAX_TIME_IN_FLIGHT, PaymentCreator
from tests.support.payment_registry import POST, Registry, make_row
from tests.support.payments import BOOKED, PAYMENTS, make_payment, make_payments

EARLIER = "the id of an earlier payment"
TOKEN = "GET /authenticates/api-code"
UNKNOWN = [
    ConnectionFailed("cut", request=POST),
    TimedOut("late", request=POST),
    ServerFault("down", status=503, request=POST),
    UnreadableResponse("HTML", request=POST),
    ApiError("redirect", status=302, request=POST),
    ClientClosed("closed while in flight", request=POST, was_sent=True),
    ValidationFailed("422 in the body of a 201", status=422, http_status=201, request=POST),
]
CERTAIN = [
    ConnectionFailed("no route", request=POST, was_sent=False),
    TimedOut("no connection", request=POST, was_sent=False),
    BadRequest("", status=400, request=POST),
    NotFound("", status=404, request=POST),
    ValidationFailed("", status=422, request=POST),
    RateLimited("", status=429, request=POST),
    BudgetExhausted("", status=429),
    AuthenticationError("", status=401),
    ConfigurationError("not open"),
    ClientClosed("closed while waiting", was_sent=False),
    ConnectionFailed("cut", request=TOKEN),
    ServerFault("down", status=503, request=TOKEN),
    KeyError("of the caller's token source"),
]


def failing(failure: Exception, before: Callable[[], Any] = lambda: None) -> Callable[[], dict[str, Any]]:
    """A POST that calls *before* and then fails."""

    def fail() -> dict[str, Any]:
        before()
        raise failure

    return fail


async def leave_in_doubt(registry: Registry, ends: str) -> None:
    """Send the payment once, with a call that is cancelled or whose outcome is unknown."""
    if ends == "cancelled":
        registry.gate = asyncio.Event()
        waiting = asyncio.create_task(registry.creator.create(make_payment(), lookup_timeout=0))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        registry.gate, registry.posts = None, 1
    else:
        registry.on_post = failing(UNKNOWN[0])
        with pytest.raises(PaymentOutcomeUnknown):
            await registry.creator.create(make_payment(), lookup_timeout=0)


@pytest.mark.parametrize("failure", UNKNOWN, ids=lambda failure: type(failure).__name__)
async def test_after_an_unknown_outcome_the_payment_is_found(failure: AmiliError) -> None:
    """A payment that was registered before the failure is looked up, returned, announced, and not sent again."""
    registry = Registry()
    registry.on_post = failing(failure, lambda: registry.rows.append(make_row(registry.now())))
    created = await registry.creator.create(make_payment(), lookup_timeout=5)
    assert (created.id, created.was_found, created.status) == (registry.rows[0]["_id"], True, "completed")
    assert (registry.posts, registry.lookups) == (1, 1)
    looked, registered = registry.events
    assert isinstance(looked, PaymentLookedUp)
    assert (looked.error, looked.was_found, looked.lookups) == (type(failure).__name__, True, 1)
    assert isinstance(registered, PaymentRegistered)
    assert registered.was_found


@pytest.mark.parametrize("failure", UNKNOWN, ids=lambda failure: type(failure).__name__)
async def test_a_payment_that_is_not_found_stays_unknown(failure: AmiliError) -> None:
    """It is looked up several times, never sent again, and the error carries payment, reference and cause."""
    registry = Registry()
    registry.on_post = failing(failure)
    payment = make_payment()
    with pytest.raises(PaymentOutcomeUnknown) as caught:
        await registry.creator.create(payment, lookup_timeout=5)
    assert caught.value.payment is payment
    assert caught.value.reference == "PAY-REF-001"
    assert caught.value.__cause__ is failure
    assert caught.value.matches == ()
    assert (registry.posts, registry.lookups) == (1, 6)
    assert "PAY-REF-001" not in repr(caught.value)


@pytest.mark.parametrize("failure", CERTAIN, ids=repr)
async def test_a_certain_failure_is_raised_unchanged(failure: Exception) -> None:
    """The payment was not sent, or was rejected: it is not looked up."""
    registry = Registry()
    registry.on_post = failing(failure)
    with pytest.raises(type(failure)) as caught:
        await registry.creator.create(make_payment(), lookup_timeout=5)
    assert caught.value is failure
    assert (registry.posts, registry.lookups) == (1, 0)


async def test_a_lookup_timeout_of_0_means_no_look_up() -> None:
    """With `lookup_timeout=0` the outcome is unknown at once."""
    registry = Registry()
    registry.on_post = failing(UNKNOWN[0])
    with pytest.raises(PaymentOutcomeUnknown):
        await registry.creator.create(make_payment(), lookup_timeout=0)
    assert registry.lookups == 0


async def test_a_late_commit_is_found() -> None:
    """A payment that is committed after the first look-ups is found by a later one."""
    registry = Registry()
    registry.on_post = failing(UNKNOWN[0])

    def commit_late() -> None:
        if registry.lookups == 3:
            registry.rows.append(make_row(registry.now()))

    registry.on_lookup = commit_late
    assert (await registry.creator.create(make_payment(), lookup_timeout=30)).was_found
    assert registry.lookups == 3


@pytest.mark.parametrize("failure", [ServerFault("", status=503), ConnectionFailed("cut"), KeyError("of the source")])
async def test_a_failed_look_up_is_repeated(failure: Exception) -> None:
    """A failed look-up counts as empty, and its error is not raised."""
    registry = Registry()
    registry.on_post = failing(UNKNOWN[0], lambda: registry.rows.append(make_row(registry.now())))

    def fail_at_first() -> None:
        if registry.lookups < 3:
            raise failure

    registry.on_lookup = fail_at_first
    assert (await registry.creator.create(make_payment(), lookup_timeout=30)).was_found
    assert registry.lookups == 3


@pytest.mark.parametrize("closed", [ClientClosed("closed"), ConfigurationError("the client is not open")])
async def test_a_closed_client_ends_the_look_ups(closed: Exception) -> None:
    """No further request can be sent, so the outcome is unknown at once."""
    registry = Registry()
    registry.on_post = failing(UNKNOWN[0])

    def fail() -> None:
        raise closed

    registry.on_lookup = fail
    with pytest.raises(PaymentOutcomeUnknown):
        await registry.creator.create(make_payment(), lookup_timeout=30)
    assert registry.lookups == 1


@pytest.mark.parametrize("offset", [-7200.0, 0.0, 7200.0])
@pytest.mark.parametrize(("age", "is_ours"), [(0, True), (3, True), (60, False), (86_400, False)])
async def test_only_a_row_created_since_it_was_sent_is_the_payment(offset: float, age: int, is_ours: bool) -> None:
    """An older row with the same fields is another payment, however wrong our clock is."""
    registry = Registry()
    registry.offset = offset
    registry.on_post = failing(UNKNOWN[0])
    registry.rows = [make_row(registry.now() - timedelta(seconds=age))]
    if is_ours:
        assert (await registry.creator.create(make_payment(), lookup_timeout=2)).was_found
    else:
        with pytest.raises(PaymentOutcomeUnknown):
            await registry.creator.create(make_payment(), lookup_timeout=2)


async def test_a_row_known_from_one_call_is_not_found_by_another() -> None:
    """A row that was created by an earlier call is not another payment, even if its fields match both."""
    registry = Registry()
    row = make_row(registry.now())
    registry.on_post = lambda: {"_id": row["_id"], "_status": "OK", "_payment_status": "completed"}
    first = await registry.creator.create(make_payment(), lookup_timeout=2)
    registry.rows = [row]
    registry.on_post = failing(UNKNOWN[0])
    with pytest.raises(PaymentOutcomeUnknown):
        await registry.creator.create(make_payment(case=None, invoice_number="INV-1"), lookup_timeout=2)
    assert first.id == row["_id"]


@pytest.mark.parametrize(
    "answer",
    [
        {"_id": "x"},
        {"_status": "PENDING"},
        {"_id": EARLIER},
        {"_id": "0" * 24},
        {"_id": "f" * 24},
        {"_id": f"{int(BOOKED.timestamp()):08x}{2:016x}"},
        {"_created": "Fri, 04 Jul 2025 16:20:41 GMT"},
        {"creditor_payment_reference": "OTHER"},
        {"amount": 100.51},
        {"amount": "sNaN"},
        {"amount": 1e300},
        {"creditor": "0" * 24},
        {"case": "0" * 24},
        {"bank_transaction_date": "Fri, 04 Jul 2025 00:00:00 GMT"},
        {"settled_amount": 999 * 100.5},
        {"settled_amount": -1},
        {"settled_amount": "NaN"},
    ],
    ids=str,
)
async def test_a_response_that_cannot_be_the_payments_is_rejected(answer: dict[str, Any]) -> None:
    """A response that a gateway generated, cached or mixed up leaves the outcome unknown; the payment is looked up."""
    registry = Registry()
    earlier = registry.make_id(1)
    registry.on_post = lambda: {"_id": earlier, "_status": "OK"}
    await registry.creator.create(make_payment(creditor_payment_reference="EARLIER"), lookup_timeout=2)
    stated = {"_id": registry.make_id(2), **answer}
    registry.on_post = lambda: stated | ({"_id": earlier} if answer.get("_id") == EARLIER else {})
    with pytest.raises(PaymentOutcomeUnknown) as caught:
        await registry.creator.create(make_payment(), lookup_timeout=2)
    assert isinstance(caught.value.__cause__, UnreadableResponse)
    assert registry.lookups > 0


async def test_a_payment_that_this_client_registered_is_not_sent_again() -> None:
    """An equal payment is returned as found, without a request; a different one is sent."""
    registry = Registry()
    registry.on_post = lambda: {"_id": registry.make_id(registry.posts), "_payment_status": "completed"}
    first = await registry.creator.create(make_payment(), lookup_timeout=2)
    again = await registry.creator.create(make_payment(), lookup_timeout=2)
    assert (again.id, again.was_found, again.payment_status) == (first.id, True, "completed")
    assert (registry.posts, registry.lookups) == (1, 0)
    assert (await registry.creator.create(make_payment(amount=5), lookup_timeout=2)).id != first.id
    assert registry.posts == 2


@pytest.mark.parametrize("ends", ["unknown", "cancelled"])
async def test_a_payment_in_doubt_is_looked_up_before_it_is_sent(ends: str) -> None:
    """It is sent only if the look-up works and does not find it."""
    registry = Registry()
    await leave_in_doubt(registry, ends)

    def fail() -> None:
        raise ServerFault("down", status=503, request="GET /creditor--payments")

    registry.on_lookup = fail
    with pytest.raises(PaymentNotSent) as caught:
        await registry.creator.create(make_payment(), lookup_timeout=0)
    assert isinstance(caught.value.__cause__, ServerFault)

    registry.on_lookup = lambda: None
    registry.rows = [make_row(amount=99)]
    with pytest.raises(ReferenceTaken):
        await registry.creator.create(make_payment(), lookup_timeout=0)

    registry.rows = [make_row()]
    assert (await registry.creator.create(make_payment(), lookup_timeout=0)).was_found
    assert registry.posts == 1


@pytest.mark.parametrize("ends", ["unknown", "cancelled"])
@pytest.mark.parametrize("lookup_timeout", [0.0, 5.0])
async def test_a_payment_in_doubt_is_not_sent_while_it_can_be_in_flight(ends: str, lookup_timeout: float) -> None:
    """For 15 minutes it is looked up and stays unknown, without a cause; then it is sent."""
    registry = Registry()
    await leave_in_doubt(registry, ends)
    for _ in range(2):
        lookups = registry.lookups
        with pytest.raises(PaymentOutcomeUnknown, match="15 minutes after it was last sent") as caught:
            await registry.creator.create(make_payment(), lookup_timeout=lookup_timeout)
        assert caught.value.__cause__ is None
        assert registry.lookups > lookups
        registry.clock.skip(MAX_TIME_IN_FLIGHT / 2 - 60)
    registry.clock.skip(MAX_TIME_IN_FLIGHT)
    registry.on_post = lambda: {"_id": registry.make_id()}
    assert not (await registry.creator.create(make_payment(), lookup_timeout=0)).was_found
    assert registry.posts == 2


async def test_a_payment_in_doubt_that_is_committed_late_is_found() -> None:
    """The second call looks it up as long as the first does."""
    registry = Registry()
    await leave_in_doubt(registry, "cancelled")

    def commit_late() -> None:
        if registry.lookups == 4:
            registry.rows.append(make_row(registry.now()))

    registry.on_lookup = commit_late
    assert (await registry.creator.create(make_payment(), lookup_timeout=30)).was_found
    assert registry.posts == 1


async def test_a_payment_that_did_not_leave_is_not_in_doubt() -> None:
    """A call that is cancelled before the payment is sent, for example in a queue, leaves it to be sent at once."""
    registry = Registry()
    call = registry.call
    gate = asyncio.Event()

    async def wait_for_a_permit(request: Request) -> Response:
        await gate.wait()
        return await call(request)

    registry.context = replace(registry.context, call=wait_for_a_permit)
    creator = PaymentCreator(PAYMENTS, registry.context, registry.lookup)
    waiting = asyncio.create_task(creator.create(make_payment(), lookup_timeout=0))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    gate.set()
    registry.on_post = lambda: {"_id": registry.make_id()}
    assert not (await creator.create(make_payment(), lookup_timeout=0)).was_found
    assert (registry.posts, registry.lookups) == (1, 0)


async def test_no_payment_in_doubt_is_forgotten_while_it_can_be_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many payments are in doubt, each is remembered for 15 minutes."""
    monkeypatch.setattr("amili_async.payments.create.MAX_REMEMBERED", 3)
    registry = Registry()
    registry.on_post = failing(UNKNOWN[0])
    payments = make_payments(9)
    for _ in range(2):
        for payment in payments:
            with pytest.raises(PaymentOutcomeUnknown):
                await registry.creator.create(payment, lookup_timeout=0)
    assert registry.posts == len(payments)


@pytest.mark.parametrize("name", ["bank_transaction_date", "client_registration_date"])
@pytest.mark.parametrize(
    ("days", "is_accepted"), [(0, True), (365, True), (366 - 1e-4, True), (366 + 1e-4, False), (9_900, False)]
)
async def test_a_date_far_ahead_is_not_sent(name: str, days: float, is_accepted: bool) -> None:
    """A date more than a year ahead of the client's clock raises, and so does one before 1990 in UTC."""
    assert EARLIEST_DATE.utcoffset() == timedelta(0)
    registry = Registry()
    registry.on_post = lambda: {"_id": registry.make_id(registry.posts)}
    ahead = make_payment(**{name: (registry.now() + timedelta(days=days)).replace(microsecond=0)})
    early = make_payment(**{name: datetime(1989, 12, 31, 23, 59, 59, tzinfo=UTC)})
    for payment in [early] if is_accepted else [ahead, early, make_payment(**{name: BOOKED.replace(year=25)})]:
        with pytest.raises(ConfigurationError, match=f"^{name} is before 1990, or more than a year ahead"):
            await registry.creator.create(payment, lookup_timeout=0)
    assert (registry.posts, registry.lookups) == (0, 0)
    if is_accepted:
        await registry.creator.create(ahead, lookup_timeout=0)
        await registry.creator.create(make_payment(**{name: datetime(1990, 1, 1, tzinfo=UTC)}), lookup_timeout=0)


async def test_two_matching_rows_leave_the_outcome_unknown() -> None:
    """The error carries the ids of both."""
    registry = Registry()
    registry.on_post = failing(UNKNOWN[0])
    registry.rows = [make_row(registry.now(), _id=f"{n:024x}") for n in (1, 2)]
    with pytest.raises(PaymentOutcomeUnknown, match="2 payments equal to it") as caught:
        await registry.creator.create(make_payment(), lookup_timeout=2)
    assert caught.value.matches == (f"{1:024x}", f"{2:024x}")


async def test_the_same_payment_cannot_be_in_flight_twice() -> None:
    """A second call with an equal payment raises while the first is running, and finds it afterwards."""
    registry = Registry()
    registry.gate = asyncio.Event()
    registry.on_post = lambda: {"_id": registry.make_id(registry.posts)}
    first = asyncio.create_task(registry.creator.create(make_payment(), lookup_timeout=0))
    await asyncio.sleep(0)
    with pytest.raises(PaymentNotSent, match="another call of this client"):
        await registry.creator.create(make_payment(), lookup_timeout=0)
    other = asyncio.create_task(registry.creator.create(make_payment(amount=5), lookup_timeout=0))
    registry.gate.set()
    await asyncio.gather(first, other)
    assert (await registry.creator.create(make_payment(), lookup_timeout=0)).was_found
    assert registry.posts == 2


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({}, "completed"),
        ({"_payment_status": "completed", "status": "completed"}, "completed"),
        ({"status": "warning", "status_reason_locale": "creditor_payment.overpaid"}, "warning"),
        ({"status": "error"}, "error"),
        ({"status": "CANARY"}, "other"),
        ({"_payment_status": "CANARY"}, "other"),
    ],
)
async def test_observers_receive_the_status(answer: dict[str, Any], status: str) -> None:
    """A warning or an error in a 201 is announced, in the documented words only."""
    registry = Registry()
    registry.on_post = lambda: {"_id": registry.make_id(), **answer}
    created = await registry.creator.create(make_payment(), lookup_timeout=0)
    assert registry.events == [PaymentRegistered(request=POST, status=status, was_found=False)]
    assert created.is_completed == (status == "completed")


async def test_a_response_cannot_set_fields_of_ours() -> None:
    """`was_found` and an absent reference are set by the client."""
    registry = Registry()
    registry.on_post = lambda: {"_id": registry.make_id(), "was_found": True}
    created = await registry.creator.create(make_payment(), lookup_timeout=0)
    assert (created.was_found, created.creditor_payment_reference) == (False, "PAY-REF-001")


@pytest.mark.parametrize("payment", [None, {"amount": 5}, "payment"])
async def test_only_a_payment_can_be_registered(payment: Any) -> None:
    """Anything else raises before it is encoded."""
    registry = Registry()
    with pytest.raises(ConfigurationError):
        await registry.creator.create(payment, lookup_timeout=1)
    with pytest.raises(ConfigurationError):
        await CreditorPayments(PAYMENTS, registry.context).find(payment)
    assert (registry.posts, registry.lookups) == (0, 0)


@pytest.mark.parametrize("lookup_timeout", [-1, float("nan"), float("inf"), None, True, "5"])
async def test_a_lookup_timeout_is_a_number_of_seconds(lookup_timeout: Any) -> None:
    """Anything else raises before anything is sent."""
    registry = Registry()
    with pytest.raises(ConfigurationError, match="lookup_timeout"):
        await registry.creator.create(make_payment(), lookup_timeout=lookup_timeout)
    assert registry.posts == 0
