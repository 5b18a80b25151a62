"""Which failures of a registration are certain, and what is made of those that are not."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec import UNSET

from amili_async.errors import (
    AmiliError,
    ApiError,
    AuthenticationError,
    BadRequest,
    BudgetExhausted,
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
from amili_async.events import PaymentLookedFor, PaymentRegistered
from tests.support.payment_registry import POST, Registry, make_payment, make_row

TOKEN = "GET /authenticates/api-code"
UNKNOWN = [
    ConnectionFailed("cut", request=POST),
    TimedOut("late", request=POST),
    ServerFault("down", status=503, request=POST),
    UnreadableResponse("HTML", request=POST),
    ApiError("redirect", status=302, request=POST),
    ValidationFailed("says 422 in a 201", status=422, answered=201, request=POST),
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
    ConnectionFailed("cut", request=TOKEN),
    ServerFault("down", status=503, request=TOKEN),
    KeyError("of the caller's token source"),
]


def failing(failure: Exception, meanwhile: Callable[[], Any] = lambda: None) -> Callable[[], dict[str, Any]]:
    """A POST that fails, after what happens *meanwhile*."""

    def fail() -> dict[str, Any]:
        meanwhile()
        raise failure

    return fail


@pytest.mark.parametrize("failure", UNKNOWN, ids=lambda failure: type(failure).__name__)
async def test_after_an_unknown_outcome_the_payment_is_found(failure: AmiliError) -> None:
    """It was registered before the failure: it is looked up, returned, told to the observers, and not sent again."""
    registry = Registry()
    registry.on_post = failing(failure, lambda: registry.rows.append(make_row(registry.now())))
    created = await registry.registrar.register(make_payment(), patience=5)
    assert (created.id, created.was_found, created.status) == (registry.rows[0]["_id"], True, "completed")
    assert (registry.posts, registry.looks) == (1, 1)
    looked, registered = registry.events
    assert isinstance(looked, PaymentLookedFor)
    assert (looked.error, looked.was_found, looked.looks) == (type(failure).__name__, True, 1)
    assert isinstance(registered, PaymentRegistered)
    assert registered.was_found


@pytest.mark.parametrize("failure", UNKNOWN, ids=lambda failure: type(failure).__name__)
async def test_what_is_not_found_stays_unknown(failure: AmiliError) -> None:
    """It is looked for several times, never sent again, and the error carries payment, reference and cause."""
    registry = Registry()
    registry.on_post = failing(failure)
    payment = make_payment()
    with pytest.raises(PaymentOutcomeUnknown) as caught:
        await registry.registrar.register(payment, patience=5)
    assert caught.value.payment is payment
    assert caught.value.reference == "PAY-REF-001"
    assert caught.value.__cause__ is failure
    assert caught.value.matches == ()
    assert (registry.posts, registry.looks) == (1, 6)
    assert "PAY-REF-001" not in repr(caught.value)


@pytest.mark.parametrize("failure", CERTAIN, ids=repr)
async def test_a_certain_failure_is_raised_as_it_is(failure: Exception) -> None:
    """The payment was not sent, or was refused: there is nothing to look for."""
    registry = Registry()
    registry.on_post = failing(failure)
    with pytest.raises(type(failure)) as caught:
        await registry.registrar.register(make_payment(), patience=5)
    assert caught.value is failure
    assert (registry.posts, registry.looks) == (1, 0)


async def test_without_patience_it_is_not_looked_for() -> None:
    """0 seconds mean no look-up."""
    registry = Registry()
    registry.on_post = failing(UNKNOWN[0])
    with pytest.raises(PaymentOutcomeUnknown):
        await registry.registrar.register(make_payment(), patience=0)
    assert registry.looks == 0


async def test_a_commit_that_comes_late_is_still_found() -> None:
    """The first looks overtake the commit; a later one sees it."""
    registry = Registry()
    registry.on_post = failing(UNKNOWN[0])

    def commit_late() -> None:
        if registry.looks == 3:
            registry.rows.append(make_row(registry.now()))

    registry.on_look = commit_late
    assert (await registry.registrar.register(make_payment(), patience=30)).was_found
    assert registry.looks == 3


@pytest.mark.parametrize("failure", [ServerFault("", status=503), ConnectionFailed("cut"), KeyError("of the source")])
async def test_a_look_that_fails_is_repeated(failure: Exception) -> None:
    """A failing look-up says nothing of the payment, and its error does not come out."""
    registry = Registry()
    registry.on_post = failing(UNKNOWN[0], lambda: registry.rows.append(make_row(registry.now())))

    def fail_at_first() -> None:
        if registry.looks < 3:
            raise failure

    registry.on_look = fail_at_first
    assert (await registry.registrar.register(make_payment(), patience=30)).was_found
    assert registry.looks == 3


async def test_a_client_that_was_closed_looks_no_further() -> None:
    """Nothing more can be sent, so the outcome is unknown at once, and said so."""
    registry = Registry()
    registry.on_post = failing(UNKNOWN[0])

    def refuse() -> None:
        raise ConfigurationError("the client is not open")

    registry.on_look = refuse
    with pytest.raises(PaymentOutcomeUnknown):
        await registry.registrar.register(make_payment(), patience=30)
    assert registry.looks == 1


@pytest.mark.parametrize("offset", [-7200.0, 0.0, 7200.0])
@pytest.mark.parametrize(("age", "is_ours"), [(0, True), (3, True), (60, False), (86_400, False)])
async def test_only_what_was_registered_since_the_try_is_taken_for_it(offset: float, age: int, is_ours: bool) -> None:
    """An older payment just like it is another one, however wrong our clock is against the server's."""
    registry = Registry()
    registry.offset = offset
    registry.on_post = failing(UNKNOWN[0])
    registry.rows = [make_row(registry.now() - timedelta(seconds=age))]
    if is_ours:
        assert (await registry.registrar.register(make_payment(), patience=2)).was_found
    else:
        with pytest.raises(PaymentOutcomeUnknown):
            await registry.registrar.register(make_payment(), patience=2)


async def test_the_answer_to_one_call_is_not_found_by_another() -> None:
    """A payment that an earlier call was told of is not taken for another one that its row does not tell apart."""
    registry = Registry()
    row = make_row(registry.now())
    registry.on_post = lambda: {"_id": row["_id"], "_status": "OK", "_payment_status": "completed"}
    first = await registry.registrar.register(make_payment(), patience=2)
    registry.rows = [row]
    registry.on_post = failing(UNKNOWN[0])
    with pytest.raises(PaymentOutcomeUnknown):
        await registry.registrar.register(make_payment(case=UNSET, invoice_number="INV-1"), patience=2)
    assert first.id == row["_id"]


@pytest.mark.parametrize(
    "answer",
    [
        {"_id": "x"},
        {"_id": "0" * 24, "_status": "PENDING"},
        {"_id": "1" * 24, "_status": "OK"},
    ],
    ids=["no id", "another status", "the id of an earlier one"],
)
async def test_an_answer_that_cannot_be_one_is_not_believed(answer: dict[str, Any]) -> None:
    """What a gateway makes up, or has kept from another call, is looked into like no answer at all."""
    registry = Registry()
    registry.on_post = lambda: {"_id": "1" * 24, "_status": "OK"}
    await registry.registrar.register(make_payment(creditor_payment_reference="EARLIER"), patience=2)
    registry.on_post = lambda: answer
    with pytest.raises(PaymentOutcomeUnknown) as caught:
        await registry.registrar.register(make_payment(), patience=2)
    assert isinstance(caught.value.__cause__, UnreadableResponse)
    assert registry.looks > 0


async def test_what_this_client_has_registered_is_not_sent_again() -> None:
    """An equal payment is the same payment: it comes back as found, without a request; another one is sent."""
    registry = Registry()
    registry.on_post = lambda: {"_id": f"{registry.posts:024x}", "_payment_status": "completed"}
    first = await registry.registrar.register(make_payment(), patience=2)
    again = await registry.registrar.register(make_payment(), patience=2)
    assert (again.id, again.was_found, again.payment_status) == (first.id, True, "completed")
    assert (registry.posts, registry.looks) == (1, 0)
    assert (await registry.registrar.register(make_payment(amount=5), patience=2)).id != first.id
    assert registry.posts == 2


@pytest.mark.parametrize("ends", ["unknown", "cancelled"])
async def test_what_is_in_doubt_is_looked_for_before_it_is_sent(ends: str) -> None:
    """It may have been registered since; only if it was not is it sent, and not where that cannot be learned."""
    registry = Registry()
    if ends == "cancelled":
        registry.gate = asyncio.Event()
        waiting = asyncio.create_task(registry.registrar.register(make_payment(), patience=0))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        registry.gate, registry.posts = None, 1
    else:
        registry.on_post = failing(UNKNOWN[0])
        with pytest.raises(PaymentOutcomeUnknown):
            await registry.registrar.register(make_payment(), patience=0)

    def refuse() -> None:
        raise ServerFault("down", status=503, request="GET /creditor--payments")

    registry.on_look = refuse
    with pytest.raises(PaymentNotSent) as caught:
        await registry.registrar.register(make_payment(), patience=0)
    assert isinstance(caught.value.__cause__, ServerFault)

    registry.on_look = lambda: None
    registry.rows = [make_row(amount=99)]
    with pytest.raises(ReferenceTaken):
        await registry.registrar.register(make_payment(), patience=0)

    registry.rows = [make_row()]
    assert (await registry.registrar.register(make_payment(), patience=0)).was_found
    assert registry.posts == 1


async def test_what_was_in_doubt_and_is_not_there_can_be_sent() -> None:
    """Whoever asks again after a while gets it registered."""
    registry = Registry()
    registry.on_post = failing(UNKNOWN[0])
    with pytest.raises(PaymentOutcomeUnknown):
        await registry.registrar.register(make_payment(), patience=0)
    registry.on_post = lambda: {"_id": "1" * 24}
    assert not (await registry.registrar.register(make_payment(), patience=0)).was_found
    assert (registry.posts, registry.looks) == (2, 1)


async def test_two_that_are_just_like_it_leave_the_outcome_unknown() -> None:
    """It cannot be said which of them is the answer; the error names both."""
    registry = Registry()
    registry.on_post = failing(UNKNOWN[0])
    registry.rows = [make_row(registry.now(), _id=f"{n:024x}") for n in (1, 2)]
    with pytest.raises(PaymentOutcomeUnknown, match="2 payments just like it") as caught:
        await registry.registrar.register(make_payment(), patience=2)
    assert caught.value.matches == (f"{1:024x}", f"{2:024x}")


async def test_the_same_payment_cannot_be_under_way_twice() -> None:
    """A second call with an equal payment is refused while the first runs, and finds it afterwards."""
    registry = Registry()
    registry.gate = asyncio.Event()
    registry.on_post = lambda: {"_id": f"{registry.posts:024x}"}
    first = asyncio.create_task(registry.registrar.register(make_payment(), patience=0))
    await asyncio.sleep(0)
    with pytest.raises(ConfigurationError, match="by another call"):
        await registry.registrar.register(make_payment(), patience=0)
    other = asyncio.create_task(registry.registrar.register(make_payment(amount=5), patience=0))
    registry.gate.set()
    await asyncio.gather(first, other)
    assert (await registry.registrar.register(make_payment(), patience=0)).was_found
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
async def test_the_observers_hear_of_the_status(answer: dict[str, Any], status: str) -> None:
    """A warning or an error in a 201 is told, in the documented words only."""
    registry = Registry()
    registry.on_post = lambda: {"_id": "0" * 24, **answer}
    created = await registry.registrar.register(make_payment(), patience=0)
    assert registry.events == [PaymentRegistered(request=POST, status=status, was_found=False)]
    assert created.is_completed == (status == "completed")


async def test_an_answer_cannot_pretend_to_have_been_found() -> None:
    """What is ours on a created payment is set by us, whatever stands in the body."""
    registry = Registry()
    registry.on_post = lambda: {"_id": "0" * 24, "was_found": True, "creditor_payment_reference": "OTHER"}
    created = await registry.registrar.register(make_payment(), patience=0)
    assert (created.was_found, created.creditor_payment_reference) == (False, "PAY-REF-001")


@pytest.mark.parametrize("payment", [None, {"amount": 5}, "payment"])
async def test_only_a_payment_can_be_registered(payment: Any) -> None:
    """Anything else is refused before it is encoded."""
    registry = Registry()
    for call in (registry.registrar.register(payment, patience=1), registry.registrar.find(payment)):
        with pytest.raises(ConfigurationError):
            await call
    assert (registry.posts, registry.looks) == (0, 0)


@pytest.mark.parametrize("patience", [-1, float("nan"), float("inf"), None, True, "5"])
async def test_patience_is_a_number_of_seconds(patience: Any) -> None:
    """What is none is refused before anything is sent."""
    registry = Registry()
    with pytest.raises(ConfigurationError, match="patience"):
        await registry.registrar.register(make_payment(), patience=patience)
    assert registry.posts == 0
