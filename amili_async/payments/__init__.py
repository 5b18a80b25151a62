"""Registering payments exactly once, one or many, and finding them again."""

from amili_async.payments.lists import PaymentList, PaymentOutcome
from amili_async.payments.registering import Registrar, check_patience
from amili_async.payments.searching import PATIENCE, Search

__all__ = ["PATIENCE", "PaymentList", "PaymentOutcome", "Registrar", "Search", "check_patience"]
