"""Async SDK for the finance side of the Amili API: payouts, payout specifications and creditor payments."""

from amili_async import errors, events
from amili_async._wire.auth import Token
from amili_async._wire.credentials import ApiCodeCredentials
from amili_async._wire.reading import Page
from amili_async._wire.retry import RetryPolicy
from amili_async._wire.throttle import RateLimit, RequestBudget
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
from amili_async.query import field
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
    "Extraction",
    "Manifest",
    "NewCreditorPayment",
    "Page",
    "Payout",
    "PayoutSpecification",
    "PayoutSummary",
    "Plan",
    "RateLimit",
    "RequestBudget",
    "Resource",
    "RetryPolicy",
    "Stream",
    "Timestamp",
    "Token",
    "Verdict",
    "errors",
    "events",
    "field",
]
