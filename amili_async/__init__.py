"""Async SDK for the finance side of the Amili API: payouts, payout specifications and creditor payments."""

from amili_async.auth import ApiCodeCredentials, AuthTokenProvider, Token, TokenSource
from amili_async.client import SANDBOX_URL, AmiliClient
from amili_async.conditions import Condition, Field, Where, field
from amili_async.errors import AmiliError
from amili_async.events import Event, Observer
from amili_async.extraction import Checkpoint, Extraction, Manifest, Plan, Verdict
from amili_async.models import (
    Article,
    CaseState,
    Category,
    CreatedPayment,
    CreditorPayment,
    FinanceCategory,
    Id,
    Money,
    NewCreditorPayment,
    PaymentStatus,
    Payout,
    PayoutSpecification,
    PayoutSummary,
    Record,
    Timestamp,
)
from amili_async.pages import Page
from amili_async.payments import CreditorPayments, PaymentOutcome
from amili_async.policies import Priority, Quota, RateLimit, RateLimiter, RetryPolicy
from amili_async.query import Projection, Sort
from amili_async.reconciliation.comparison import (
    Difference,
    DifferenceKind,
    Reconciliation,
    Specification,
    Sums,
    reconcile_payout,
)
from amili_async.resources import ExtractOptions, PageOptions, Payouts, Resource, StreamOptions
from amili_async.streams import Stream

__all__ = [
    "SANDBOX_URL",
    "AmiliClient",
    "AmiliError",
    "ApiCodeCredentials",
    "Article",
    "AuthTokenProvider",
    "CaseState",
    "Category",
    "Checkpoint",
    "Condition",
    "CreatedPayment",
    "CreditorPayment",
    "CreditorPayments",
    "Difference",
    "DifferenceKind",
    "Event",
    "ExtractOptions",
    "Extraction",
    "Field",
    "FinanceCategory",
    "Id",
    "Manifest",
    "Money",
    "NewCreditorPayment",
    "Observer",
    "Page",
    "PageOptions",
    "PaymentOutcome",
    "PaymentStatus",
    "Payout",
    "PayoutSpecification",
    "PayoutSummary",
    "Payouts",
    "Plan",
    "Priority",
    "Projection",
    "Quota",
    "RateLimit",
    "RateLimiter",
    "Reconciliation",
    "Record",
    "Resource",
    "RetryPolicy",
    "Sort",
    "Specification",
    "Stream",
    "StreamOptions",
    "Sums",
    "Timestamp",
    "Token",
    "TokenSource",
    "Verdict",
    "Where",
    "errors",
    "events",
    "field",
    "reconcile_payout",
]
