"""The records of the API's resources, and the known values of their fields."""

from amili_async.models.case import Case
from amili_async.models.creditor import Creditor
from amili_async.models.creditor_payment import CreatedPayment, CreditorPayment, NewCreditorPayment
from amili_async.models.fields import Article, CaseState, Category, FinanceCategory, Id, Money, PaymentStatus, Record
from amili_async.models.json import encode, to_document
from amili_async.models.payout import Payout, PayoutSummary
from amili_async.models.payout_specification import PayoutSpecification
from amili_async.models.portable import Portable
from amili_async.models.timestamps import Timestamp, format_date, parse_date

__all__ = [
    "Article",
    "Case",
    "CaseState",
    "Category",
    "CreatedPayment",
    "Creditor",
    "CreditorPayment",
    "FinanceCategory",
    "Id",
    "Money",
    "NewCreditorPayment",
    "PaymentStatus",
    "Payout",
    "PayoutSpecification",
    "PayoutSummary",
    "Portable",
    "Record",
    "Timestamp",
    "encode",
    "format_date",
    "parse_date",
    "to_document",
]
