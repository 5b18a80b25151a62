"""A payout: the sum of many specifications of one category, paid to one creditor."""

from amili_async.models.fields import Category, Id, Money, Record
from amili_async.models.portable import Portable
from amili_async.models.timestamps import Timestamp


class PayoutSummary(Portable, frozen=True, kw_only=True):
    """What one article contributes to a payout."""

    count: int | None = None
    """Number of specifications."""
    amount: Money | None = None
    """Their sum without VAT."""
    vat_amount: Money | None = None
    """Their VAT."""
    total_amount: Money | None = None
    """Their sum with VAT."""


class Payout(Record, frozen=True, kw_only=True):
    """One row of `finance--payouts`."""

    creditor: Id | None = None
    """The creditor's id."""
    currency: Category | None = None
    """`SEK`, the only one so far."""
    payout_reference: str | None = None
    """The reference text of the transfer."""
    ready_for_payout: bool | None = None
    """Whether it can be transferred."""
    payout_date: Timestamp | None = None
    """The day of the transfer, at midnight GMT; absent until it is set."""
    amount: Money | None = None
    """The sum without VAT."""
    vat_amount: Money | None = None
    """The VAT."""
    total_amount: Money | None = None
    """The sum with VAT."""
    summary: dict[str, PayoutSummary] | None = None
    """The contribution of each article (`capital`, `reminder`, …)."""
    finance_category: Category | None = None
    """The one category of all its specifications; `FinanceCategory` has the known values."""
    finance_interval: Category | None = None
    """How often the creditor is paid: `daily`, `weekly`, …"""
    finance_period_start_date: Timestamp | None = None
    """The first instant of the period."""
    finance_period_end_date: Timestamp | None = None
    """The last second of the period, inclusive."""
    finance_period_day: int | None = None
    """For a daily payout, the day of the year."""
