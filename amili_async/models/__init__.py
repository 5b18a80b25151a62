"""The records of the three resources, and the vocabularies of their fields."""

from amili_async.models.creditor_payment import CreatedPayment, CreditorPayment, NewCreditorPayment
from amili_async.models.fields import (
    Article,
    CaseState,
    FinanceCategory,
    PaymentStatus,
    Record,
    Timestamp,
    format_date,
    parse_date,
)
from amili_async.models.json import encode, to_document
from amili_async.models.payout import Payout, PayoutSummary
from amili_async.models.payout_specification import PayoutSpecification

__all__ = [
    "Article",
    "CaseState",
    "CreatedPayment",
    "CreditorPayment",
    "FinanceCategory",
    "NewCreditorPayment",
    "PaymentStatus",
    "Payout",
    "PayoutSpecification",
    "PayoutSummary",
    "Record",
    "Timestamp",
    "encode",
    "format_date",
    "parse_date",
    "to_document",
]
