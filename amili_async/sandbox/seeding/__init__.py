"""The rows of a new sandbox: generated, exact to the öre, and equal for equal seeds.

Invariant: the totals and the summary of a payout are the sums of its specifications.
"""

from functools import cached_property
from random import Random
from typing import Any

from .parties import make_cases, make_creditors, make_locales
from .plans import Booking, Payee, PayoutPlan, make_bookings, plan_creditors, plan_payouts
from .rows import make_payments, make_payouts, make_specifications

__all__ = ["SeedData"]


class SeedData:
    """So many payouts, specifications and payments, and what they refer to; each list is made on demand."""

    def __init__(self, *, payouts: int, specifications: int, payments: int, seed: int) -> None:
        self._counts = (payouts, specifications, payments)
        self._seed = seed

    def payouts(self) -> list[dict[str, Any]]:
        return make_payouts(self._plans, self._bookings)

    def specifications(self) -> list[dict[str, Any]]:
        return make_specifications(self._bookings, random=self._random("specifications"))

    def payments(self) -> list[dict[str, Any]]:
        return make_payments(self._counts[2], self._creditors, random=self._random("payments"))

    def creditors(self) -> list[dict[str, Any]]:
        return make_creditors(self._creditors, random=self._random("creditor rows"))

    def cases(self) -> list[dict[str, Any]]:
        sources = self.specifications(), self.payments()
        return make_cases(*sources, self._creditors, random=self._random("cases"))

    def locales(self) -> list[dict[str, Any]]:
        return make_locales(random=self._random("locales"))

    @cached_property
    def _creditors(self) -> list[Payee]:
        return plan_creditors(self._random("creditors"))

    @cached_property
    def _plans(self) -> list[PayoutPlan]:
        return plan_payouts(self._counts[0], self._creditors, random=self._random("payouts"))

    @cached_property
    def _bookings(self) -> list[Booking]:
        return make_bookings(self._counts[1], self._plans, self._creditors, random=self._random("bookings"))

    def _random(self, part: str) -> Random:
        # One generator for each part, so that the number of rows of one part does not change another.
        return Random(f"{self._seed}/{part}")  # noqa: S311
