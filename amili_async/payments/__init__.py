"""Registering payments exactly once, one or many, and finding them again."""

from amili_async.payments.batch import PaymentOutcome
from amili_async.payments.resource import CreditorPayments

__all__ = ["CreditorPayments", "PaymentOutcome"]
