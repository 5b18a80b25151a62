"""A payment that the API accepts, and the ids and names that tests of payments share."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from amili_async import NewCreditorPayment

PAYMENTS = "creditor--payments"
CREDITOR = "674dbeb208847b9501cc9138"
CASE = "68678eda88b9226bb78d7169"
BOOKED = datetime(2025, 7, 4, 16, 20, 41, tzinfo=UTC)


def make_payment(**changes: Any) -> NewCreditorPayment:
    """A valid payment, with some of its fields replaced."""
    fields: dict[str, Any] = {
        "creditor": CREDITOR,
        "case": CASE,
        "amount": Decimal("100.50"),
        "bank_transaction_date": BOOKED,
        "creditor_payment_reference": "PAY-REF-001",
    }
    return NewCreditorPayment(**(fields | changes))


def make_payments(count: int, *, prefix: str = "REF", **changes: Any) -> list[NewCreditorPayment]:
    """As many valid payments, each with its own reference and amount."""
    return [
        make_payment(
            **{"creditor_payment_reference": f"{prefix}-{number:04}", "amount": Decimal(100 + number) / 100, **changes}
        )
        for number in range(count)
    ]
