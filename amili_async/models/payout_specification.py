"""A payout specification: one transaction, and the payout that includes it."""

from typing import Any

from amili_async.models.fields import Category, Id, Money, Record
from amili_async.models.timestamps import Timestamp


class PayoutSpecification(Record, frozen=True, kw_only=True):
    """One row of `finance--payout-specifications`."""

    creditor: Id | None = None
    """The creditor's id."""
    creditor_name: str | None = None
    """The creditor's name, updated when it changes there."""
    currency: Category | None = None
    """`SEK`, the only one so far."""
    amount: Money | None = None
    """The amount without VAT."""
    vat_amount: Money | None = None
    """The VAT."""
    total_amount: Money | None = None
    """`amount + vat_amount`."""
    article: Category | None = None
    """The kind of charge; `Article` has the known values. It does not determine the category."""
    state: Category | None = None
    """The case's state when the specification was made; `CaseState` has the known values."""
    state_date: Timestamp | None = None
    """When the case entered that state."""
    booking_date: Timestamp | None = None
    """When the underlying action was booked, at midnight GMT."""
    finance_category: Category | None = None
    """The category of its payout; `FinanceCategory` has the known values."""
    payout: Id | None = None
    """The payout's id; absent until it is scheduled."""
    payout_reference: str | None = None
    """The payout's reference text, updated when it changes there."""
    payout_date: Timestamp | None = None
    """The payout's date, updated when it changes there."""
    payout_interval: Category | None = None
    """The payout's `finance_interval`, updated when it changes there."""
    reference_number: str | None = None
    """The reference number of the case or debt collection."""
    invoice_number: str | None = None
    """The invoice's number, where there is one invoice."""
    invoice_numbers: tuple[str, ...] | None = None
    """The invoices' numbers, where there are several."""
    references: dict[str, Any] | None = None
    """Ids of the objects it belongs to, by kind: `case`, `debt_collection`, `enforcement`, …"""
