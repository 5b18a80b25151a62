"""Register payments, one or many, each exactly once, and look them up."""

from amili_async.payments.batch import PaymentOutcome
from amili_async.payments.claims import Claims
from amili_async.payments.resource import CreditorPayments

__all__ = ["Claims", "CreditorPayments", "PaymentOutcome"]
