"""The error tree: as its docstring draws it, right about another attempt, and picklable."""

import copy
import pickle
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import amili_async
from amili_async import Checkpoint, errors
from amili_async.errors import (
    AmiliError,
    ApiError,
    AuthenticationError,
    BadRequest,
    BudgetExhausted,
    ClientClosed,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    DeliveryFailed,
    ExportFailed,
    ExtractionInterrupted,
    Forbidden,
    NotFound,
    PaymentError,
    PaymentNotCompleted,
    PaymentNotSent,
    PaymentOutcomeUnknown,
    RateLimited,
    RateLimiterUnavailable,
    ReferenceTaken,
    RegisteredTwice,
    ServerFault,
    TimedOut,
    UnreadableResponse,
    ValidationFailed,
)
from amili_async.models import CreatedPayment, NewCreditorPayment
from tests.support.errors import ERROR_CLASSES
from tests.support.payments import CASE, CREDITOR

PAYMENT = NewCreditorPayment(
    creditor=CREDITOR,
    case=CASE,
    amount=100,  # type: ignore[arg-type]  # becomes a Decimal
    bank_transaction_date=datetime(2025, 7, 4, tzinfo=UTC),
)
CREATED = CreatedPayment(id="0" * 24, status="warning", creditor_payment_reference="PAY-REF-001")
CHECKPOINT = Checkpoint(resource="finance--payouts", fingerprint="x")

EXAMPLES: list[AmiliError] = [
    AmiliError("message"),
    ConfigurationError("message"),
    ClientClosed("message"),
    AuthenticationError("message", status=401),
    ConnectionFailed("message", request="GET /x", was_sent=False, attempts=3),
    TimedOut("message", request="POST /x", attempts=2),
    ApiError("message", status=302, request="GET /x"),
    BadRequest("message", status=400, code="bad", excerpt="text"),
    Forbidden("message", status=403),
    NotFound("message", status=404, attempts=1),
    Conflict("message", status=412),
    ValidationFailed("message", status=422, code=422, issues={"amount": ("min value is 0",)}, excerpt="no"),
    RateLimited("message", status=429, attempts=5),
    BudgetExhausted("message", status=429, attempts=0),
    RateLimiterUnavailable("message", status=429, attempts=0),
    ServerFault("message", status=503),
    UnreadableResponse("message", request="GET /x", location="$._items[3].amount", record_id="0" * 24),
    PaymentError("message", payment=PAYMENT),
    PaymentOutcomeUnknown("message", payment=PAYMENT, matches=("0" * 24,)),
    PaymentNotCompleted("message", created=CREATED),
    PaymentNotSent("message", payment=PAYMENT),
    ReferenceTaken("message", payment=PAYMENT, matches=("0" * 24,)),
    RegisteredTwice("message", payment=PAYMENT, matches=("0" * 24, "1" * 24)),
    ExtractionInterrupted("message", checkpoint=CHECKPOINT, record_id="0" * 24),
    DeliveryFailed("message", number=3, record_id="0" * 24),
    ExportFailed("message", path=Path("payouts.csv"), record_id="0" * 24),
]


def drawn_tree() -> Iterator[tuple[str, str | None, str]]:
    """Name, parent and remark of each line of the tree in the module's docstring."""
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^([│├└─ ]*)([A-Z]\w+)(?: {2,}(.*))?$", line)
        if found is not None:
            depth = len(found[1]) // 4
            path = [*path[:depth], found[2]]
            yield found[2], path[depth - 1] if depth else None, found[3] or ""


def test_the_tree_is_as_drawn() -> None:
    """The docstring lists each class under its base class."""
    drawn = {name: parent for name, parent, _ in drawn_tree()}
    real = {kind.__name__: kind.__base__.__name__ for kind in ERROR_CLASSES if kind.__base__ is not None}
    assert drawn == real | {"AmiliError": None}


def test_transience_is_as_drawn() -> None:
    """The docstring calls exactly the transient classes transient."""
    drawn = {name for name, _, remark in drawn_tree() if "transient" in remark}
    assert {kind.__name__ for kind in ERROR_CLASSES if kind.transient} == drawn
    assert drawn == {"ConnectionFailed", "TimedOut", "RateLimited", "ServerFault"}


def test_every_error_has_an_example_here() -> None:
    """The tests below cover every class."""
    assert {type(error) for error in EXAMPLES} == set(ERROR_CLASSES)


def test_the_root_is_a_public_name() -> None:
    """`except amili_async.AmiliError` catches everything."""
    assert amili_async.AmiliError is AmiliError
    assert issubclass(AmiliError, Exception)
    assert not issubclass(AmiliError, OSError | ValueError)


def copies_of(error: AmiliError) -> list[AmiliError]:
    """Copies of the error, made in each way."""
    pickled: list[AmiliError] = [
        pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ]
    return [*pickled, copy.copy(error), copy.deepcopy(error)]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_a_copy_of_an_error_is_equal(error: AmiliError) -> None:
    """Pickled or copied, it has the same class, text and attributes, headers of its response included."""
    if isinstance(error, ApiError):
        error.retry_after = 2.5
    error = copy.copy(error).with_headers({"X-Request-ID": "abc-123", "Set-Cookie": "s3cret"})
    assert error.headers == {"x-request-id": "abc-123"}
    for copied in copies_of(error):
        assert type(copied) is type(error)
        assert (str(copied), repr(copied)) == (str(error), repr(error))
        assert vars(copied) == vars(error)
        assert (copied.headers, copied.request_id) == (error.headers, "abc-123")
        assert copied.was_not_processed is error.was_not_processed


def test_an_error_keeps_its_arguments() -> None:
    """Each argument is an attribute."""
    issues = {"amount": ("min value is 0",)}
    error = ValidationFailed("x", status=422, request="POST /x", code=17, issues=issues, excerpt="no", attempts=2)
    assert vars(error) == {
        "status": 422,
        "request": "POST /x",
        "code": 17,
        "issues": issues,
        "excerpt": "no",
        "attempts": 2,
        "http_status": 422,
        "was_not_processed": True,
    }


@pytest.mark.parametrize(
    ("error", "reference"),
    [
        (PaymentOutcomeUnknown("x", payment=PAYMENT), PAYMENT.creditor_payment_reference),
        (PaymentNotCompleted("x", created=CREATED), "PAY-REF-001"),
        (PaymentNotCompleted("x", created=CreatedPayment(id="0" * 24)), ""),
    ],
    ids=["unknown", "not completed", "without a reference"],  # a generated reference differs in each process
)
def test_a_payment_error_knows_the_reference(error: PaymentError, reference: str) -> None:
    """`reference` is that of the payment, or of the registered payment where only that is known."""
    assert error.reference == reference


def test_a_copy_is_independent() -> None:
    """A change of a copy does not change the original."""
    error = RateLimited("message", status=429)
    copy.copy(error).attempts = 7
    assert error.attempts == 1


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_the_text_is_the_message_alone(error: AmiliError) -> None:
    """The words of the server or the caller are on attributes, never in `str` or `repr`."""
    assert str(error) == "message"
    assert repr(error) == f"{type(error).__name__}('message')"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AmiliError("x"), False),
        (ConfigurationError("x"), True),
        (ClientClosed("x"), True),
        (ClientClosed("x", was_sent=True), False),
        (AuthenticationError("x"), True),
        (ConnectionFailed("x"), False),
        (ConnectionFailed("x", was_sent=False), True),
        (TimedOut("x"), False),
        (TimedOut("x", was_sent=False), True),
        *[(ApiError("x", status=status), True) for status in (400, 403, 404, 409, 413, 422, 428)],
        *[(ApiError("x", status=status), False) for status in (200, 201, 302, 408, 425, 499, 500, 503)],
        (RateLimited("x", status=429, http_status=200), False),
        (ValidationFailed("x", status=422, http_status=201), False),
        (AuthenticationError("x", status=401, http_status=200), False),
        (AuthenticationError("x", status=401), True),
        (RateLimited("x", status=429), True),
        (BudgetExhausted("x", status=429), True),
        (ServerFault("x", status=500), False),
        (UnreadableResponse("x"), False),
        (PaymentOutcomeUnknown("x", payment=PAYMENT), False),
        (ExtractionInterrupted("x", checkpoint=CHECKPOINT), False),
        (ExportFailed("x", path=Path("x.csv")), False),
    ],
)
def test_which_errors_prove_that_nothing_was_processed(error: AmiliError, expected: Any) -> None:
    """Only after these may a payment be sent again."""
    assert error.was_not_processed is expected


@pytest.mark.parametrize(
    ("error", "attributes"),
    [
        (AuthenticationError("x"), {"status": None}),
        (ConnectionFailed("x"), {"request": "", "was_sent": True, "attempts": 1}),
        (
            ApiError("x", status=418),
            {
                "status": 418,
                "code": None,
                "request": "",
                "issues": {},
                "excerpt": "",
                "attempts": 1,
                "retry_after": None,
            },
        ),
        (UnreadableResponse("x"), {"request": "", "location": "", "record_id": None}),
    ],
)
def test_an_argument_that_is_left_out_has_a_default(error: AmiliError, attributes: dict[str, Any]) -> None:
    """Every attribute exists, also without its argument."""
    assert {name: getattr(error, name) for name in attributes} == attributes


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_the_text_shows_the_id_of_the_request(error: AmiliError) -> None:
    """A log line suffices for a support ticket; `repr` and the arguments have the message alone."""
    answered = copy.copy(error).with_headers({"X-Request-ID": "abc-123"})
    assert str(answered) == "message (request id abc-123)"
    assert repr(answered) == f"{type(error).__name__}('message')"
    assert (error.headers, error.request_id, str(error)) == ({}, None, "message")


def raised_from(error: AmiliError, cause: BaseException) -> AmiliError:
    """The error as `raise … from cause` leaves it."""
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("kind", [PaymentOutcomeUnknown, PaymentNotSent, ReferenceTaken])
def test_a_payment_error_has_the_id_of_its_cause(kind: type[PaymentError]) -> None:
    """Also in a pickle of it, which holds no cause; an id that its text has already is not repeated."""
    cause = ServerFault("broken", status=500).with_headers({"X-Request-ID": "abc-123", "Via": "1.1 proxy"})
    error = raised_from(kind("unknown", payment=PAYMENT), cause)
    for each in (error, *copies_of(error)):
        assert each.request_id == "abc-123"
        assert each.headers == {"x-request-id": "abc-123", "via": "1.1 proxy"}
        assert str(each) == "unknown (request id abc-123)"
    assert str(raised_from(kind(f"not sent ({cause})", payment=PAYMENT), cause)) == (
        "not sent (broken (request id abc-123))"
    )


def test_an_error_of_its_own_response_keeps_it() -> None:
    """A cause with another id, or one that is not of the package, changes nothing."""
    cause = ServerFault("broken", status=500).with_headers({"X-Request-ID": "of-the-cause"})
    own = raised_from(ConnectionFailed("cut").with_headers({"X-Request-ID": "own"}), cause)
    assert own.request_id == "own"
    assert raised_from(AmiliError("x"), ValueError("y")).request_id is None


def test_an_api_error_has_all_that_a_ticket_needs() -> None:
    """Status, code, request, id, headers, attempts, fields and excerpt, as the design lists them."""
    error = ApiError("x", status=418, code=17, request="GET /x", attempts=2, issues={"a": ("b",)}, excerpt="c")
    answered = error.with_headers({"X-Request-ID": "abc-123", "Retry-After": "7"})
    assert answered is error
    assert (error.status, error.code, error.request, error.request_id) == (418, 17, "GET /x", "abc-123")
    assert (error.headers["Retry-After"], error.attempts, error.issues, error.excerpt) == ("7", 2, {"a": ("b",)}, "c")
