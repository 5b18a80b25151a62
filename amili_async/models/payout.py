"""A payout: the sum of many specifications of one category, paid to one creditor."""

from msgspec import UNSET, Struct, UnsetType

from amili_async.models.fields import Maybe, Money, Record, Timestamp


class PayoutSummary(Struct, frozen=True, gc=False, kw_only=True):
    """What one article contributes to a payout."""

    count: int | None | UnsetType = UNSET
    """How many specifications."""
    amount: Maybe[Money] = UNSET
    """Their sum without VAT."""
    vat_amount: Maybe[Money] = UNSET
    """Their VAT."""
    total_amount: Maybe[Money] = UNSET
    """Their sum with VAT."""


class Payout(Record, frozen=True, gc=False, kw_only=True):
    """One row of `finance--payouts`."""

    creditor: Maybe[str] = UNSET
    """The creditor's id."""
    currency: Maybe[str] = UNSET
    """`SEK`, the only one so far."""
    payout_reference: Maybe[str] = UNSET
    """The reference text of the transfer."""
    ready_for_payout: bool | None | UnsetType = UNSET
    """Whether it can be transferred."""
    payout_date: Maybe[Timestamp] = UNSET
    """The day of the transfer, at midnight GMT; absent until it is set."""
    amount: Maybe[Money] = UNSET
    """The sum without VAT."""
    vat_amount: Maybe[Money] = UNSET
    """The VAT."""
    total_amount: Maybe[Money] = UNSET
    """The sum with VAT."""
    summary: Maybe[dict[str, PayoutSummary]] = UNSET
    """Per article (`capital`, `reminder`, …) what it contributes."""
    finance_category: Maybe[str] = UNSET
    """The one category of all its specifications; `FinanceCategory` has the known values."""
    finance_interval: Maybe[str] = UNSET
    """How often the creditor is paid: `daily`, `weekly`, …"""
    finance_period_start_date: Maybe[Timestamp] = UNSET
    """The first instant of the period."""
    finance_period_end_date: Maybe[Timestamp] = UNSET
    """The last second of the period, inclusive."""
    finance_period_day: int | None | UnsetType = UNSET
    """For a daily payout, the day of the year."""
