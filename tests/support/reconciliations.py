"""Hand-made payouts and specifications, reconciled, for the tests of reports."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from amili_async import Payout, PayoutSpecification, PayoutSummary
from amili_async.reconciliation.comparison import Reconciliation, Tally, reconcile_payout

PAYOUT = "6776478033d4049c0400dd72"
HOSTILE = "=1+1\x1b[31m[red]:smile:\n\u202e"
"""A formula, a colour, markup, a second line and reversed letters, if it were obeyed."""


def make_specification(letter: str, **fields: Any) -> PayoutSpecification:
    """100 and 25 of VAT; its id is *letter*, 24 times."""
    own: dict[str, Any] = {"article": "capital", "amount": Decimal(100), "vat_amount": Decimal(25)}
    return PayoutSpecification(id=letter * 24, **(own | {"payout": PAYOUT, "total_amount": Decimal(125)} | fields))


def make_payout(payout_id: str = PAYOUT, **fields: Any) -> Payout:
    """The sum of two such specifications."""
    numbers: dict[str, Any] = {"amount": Decimal(200), "vat_amount": Decimal(50), "total_amount": Decimal(250)}
    own = {
        "currency": "SEK",
        "finance_category": "capital",
        "payout_reference": "Utbet 12",
        "payout_date": datetime(2025, 6, 13, tzinfo=UTC),
        "summary": {"capital": PayoutSummary(count=2, **numbers)},
    }
    return Payout(id=payout_id, **(numbers | own | fields))


def agree(count: int = 1, **fields: Any) -> list[Reconciliation]:
    """*count* payouts that agree."""
    rows = (make_specification("a"), make_specification("b"))
    return [reconcile_payout(make_payout(f"{number:024x}", **fields), rows) for number in range(count)]


def differ(*, rows: tuple[PayoutSpecification, ...] | None = None, **fields: Any) -> Reconciliation:
    """A payout that differs from its specifications by *fields* or *rows*."""
    rows = (make_specification("a"), make_specification("b")) if rows is None else rows
    return reconcile_payout(make_payout(**fields), rows)


def unsettle(**fields: Any) -> Reconciliation:
    """A payout that differed in another way each time it was compared, at last by *fields*."""
    return replace(differ(**fields), unsettled=True)


def name_unknown(count: int = 1) -> Reconciliation:
    """A payout that does not exist, named by *count* specifications."""
    tally = Tally(None, "f" * 24)
    for letter in "abc"[:count]:
        tally.add(make_specification(letter))
    return tally.finish()
