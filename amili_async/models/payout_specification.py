"""A payout specification: one transaction, and the payout that it ends up in."""

from typing import Any

from msgspec import UNSET

from amili_async.models.fields import Maybe, Money, Record, Timestamp


class PayoutSpecification(Record, frozen=True, gc=False, kw_only=True):
    """One row of `finance--payout-specifications`."""

    creditor: Maybe[str] = UNSET
    """The creditor's id."""
    creditor_name: Maybe[str] = UNSET
    """The creditor's name; changes here when it changes there."""
    currency: Maybe[str] = UNSET
    """`SEK`, the only one so far."""
    amount: Maybe[Money] = UNSET
    """The amount without VAT."""
    vat_amount: Maybe[Money] = UNSET
    """The VAT."""
    total_amount: Maybe[Money] = UNSET
    """`amount + vat_amount`."""
    article: Maybe[str] = UNSET
    """The kind of charge; `Article` has the known values. It does not determine the category."""
    state: Maybe[str] = UNSET
    """The case's state when the specification was made; `CaseState` has the known values."""
    state_date: Maybe[Timestamp] = UNSET
    """Since when the case was in that state."""
    booking_date: Maybe[Timestamp] = UNSET
    """When the underlying action was booked, at midnight GMT."""
    finance_category: Maybe[str] = UNSET
    """The category of its payout; `FinanceCategory` has the known values."""
    payout: Maybe[str] = UNSET
    """The payout's id; absent until it is scheduled."""
    payout_reference: Maybe[str] = UNSET
    """The payout's reference text; changes here when it changes there."""
    payout_date: Maybe[Timestamp] = UNSET
    """The payout's date; changes here when it changes there."""
    payout_interval: Maybe[str] = UNSET
    """The payout's `finance_interval`; changes here when it changes there."""
    reference_number: Maybe[str] = UNSET
    """The reference number of the case or debt collection."""
    invoice_number: Maybe[str] = UNSET
    """The invoice's number, where there is one invoice."""
    invoice_numbers: Maybe[tuple[str, ...]] = UNSET
    """The invoices' numbers, where there are several."""
    references: Maybe[dict[str, Any]] = UNSET
    """Ids of what it belongs to, by kind: `case`, `debt_collection`, `enforcement`, …"""
