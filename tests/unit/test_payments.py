"""Which failures of a registration are certain, and which leave its outcome unknown."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from amili_async import CreatedPayment, NewCreditorPayment
from amili_async._wire.protocol import Request, Response
from amili_async.errors import (
    AmiliError,
    ApiError,
    AuthenticationError,
    BadRequest,
    BudgetExhausted,
    ConfigurationError,
    ConnectionFailed,
    NotFound,
    PaymentOutcomeUnknown,
    RateLimited,
    ServerFault,
    TimedOut,
    UnreadableResponse,
    ValidationFailed,
)
from amili_async.payments import register_payment

POST = "POST /creditor--payments"
TOKEN = "GET /authenticates/api-code"
PAYMENT = NewCreditorPayment(
    creditor="674dbeb208847b9501cc9138",
    case="68678eda88b9226bb78d7169",
    amount=Decimal(100),
    bank_transaction_date=datetime(2025, 7, 4, tzinfo=UTC),
)


async def register(failure: Exception) -> CreatedPayment:
    async def call(request: Request) -> Response:
        raise failure

    def read(response: Response, request: str) -> CreatedPayment:
        raise AssertionError

    return await register_payment(PAYMENT, path="creditor--payments", call=call, read=read)


@pytest.mark.parametrize(
    "failure",
    [
        ConnectionFailed("cut", request=POST),
        TimedOut("late", request=POST),
        ServerFault("down", status=503, request=POST),
        UnreadableResponse("HTML", request=POST),
        ApiError("redirect", status=302, request=POST),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_unknown(failure: AmiliError) -> None:
    """It may have been registered: the error carries the payment and the cause."""
    with pytest.raises(PaymentOutcomeUnknown) as caught:
        await register(failure)
    assert caught.value.payment is PAYMENT
    assert caught.value.__cause__ is failure


@pytest.mark.parametrize(
    "failure",
    [
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
    ],
    ids=repr,
)
async def test_certain(failure: Exception) -> None:
    """The payment was not sent, or was refused: the failure is raised as it is."""
    with pytest.raises(type(failure)) as caught:
        await register(failure)
    assert caught.value is failure


@pytest.mark.parametrize("payment", [None, {"amount": 5}, "payment"])
async def test_only_a_payment_can_be_registered(payment: Any) -> None:
    """Anything else is refused before it is encoded."""

    async def call(request: Request) -> Response:
        raise AssertionError

    with pytest.raises(ConfigurationError):
        await register_payment(payment, path="creditor--payments", call=call, read=lambda *_: PAYMENT)  # type: ignore[arg-type]
