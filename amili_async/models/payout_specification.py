"""A payout specification: one transaction, and the payout that it ends up in."""

from typing import Any

from amili_async.models.fields import Money, Record, Timestamp


class PayoutSpecification(Record, frozen=True, gc=False, kw_only=True):
    """One row of `finance--payout-specifications`."""

    creditor: str | None = None
    """The creditor's id."""
    creditor_name: str | None = None
    """The creditor's name; changes here when it changes there."""
    currency: str | None = None
    """`SEK`, the only one so far."""
    amount: Money | None = None
    """The amount without VAT."""
    vat_amount: Money | None = None
    """The VAT."""
    total_amount: Money | None = None
    """`amount + vat_amount`."""
    article: str | None = None
    """The kind of charge; `Article` has the known values. It does not determine the category."""
    state: str | None = None
    """The case's state when the specification was made; `CaseState` has the known values."""
    state_date: Timestamp | None = None
    """Since when the case was in that state."""
    booking_date: Timestamp | None = None
    """When the underlying action was booked, at midnight GMT."""
    finance_category: str | None = None
    """The category of its payout; `FinanceCategory` has the known values."""
    payout: str | None = None
    """The payout's id; absent until it is scheduled."""
    payout_reference: str | None = None
    """The payout's reference text; changes here when it changes there."""
    payout_date: Timestamp | None = None
    """The payout's date; changes here when it changes there."""
    payout_interval: str | None = None
    """The payout's `finance_interval`; changes here when it changes there."""
    reference_number: str | None = None
    """The reference number of the case or debt collection."""
    invoice_number: str | None = None
    """The invoice's number, where there is one invoice."""
    invoice_numbers: tuple[str, ...] | None = None
    """The invoices' numbers, where there are several."""
    references: dict[str, Any] | None = None
    """Ids of what it belongs to, by kind: `case`, `debt_collection`, `enforcement`, …"""
