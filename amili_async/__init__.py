"""Async SDK for the finance side of the Amili API: payouts, payout specifications and creditor payments."""

from amili_async._wire.api_code import ApiCodeCredentials
from amili_async._wire.decoding import Page
from amili_async._wire.token_provider import Token
from amili_async.client import SANDBOX_URL, AmiliClient
from amili_async.errors import AmiliError
from amili_async.extraction import Checkpoint, Extraction, Manifest, Plan, Verdict
from amili_async.filters import Condition
from amili_async.models import (
    CreatedPayment,
    CreditorPayment,
    NewCreditorPayment,
    Payout,
    PayoutSpecification,
    PayoutSummary,
    Timestamp,
)
from amili_async.payments import PaymentOutcome
from amili_async.policies import RateLimit, RateLimiter, RetryPolicy
from amili_async.query import field
from amili_async.reconciliation.comparison import Difference, DifferenceKind, Reconciliation, Sums, reconcile_payout
from amili_async.resources import Resource
from amili_async.streams import Stream

__all__ = [
    "SANDBOX_URL",
    "AmiliClient",
    "AmiliError",
    "ApiCodeCredentials",
    "Checkpoint",
    "Condition",
    "CreatedPayment",
    "CreditorPayment",
    "Difference",
    "DifferenceKind",
    "Extraction",
    "Manifest",
    "NewCreditorPayment",
    "Page",
    "PaymentOutcome",
    "Payout",
    "PayoutSpecification",
    "PayoutSummary",
    "Plan",
    "RateLimit",
    "RateLimiter",
    "Reconciliation",
    "Resource",
    "RetryPolicy",
    "Stream",
    "Sums",
    "Timestamp",
    "Token",
    "Verdict",
    "errors",
    "events",
    "field",
    "reconcile_payout",
]
