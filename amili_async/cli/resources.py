"""The resources as the command line knows them: what they are called, and which columns their tables have."""

from typing import Any

from msgspec import Struct

from amili_async.client import AmiliClient
from amili_async.errors import ConfigurationError
from amili_async.models import CreditorPayment, Payout, PayoutSpecification, Record
from amili_async.resources import Resource


class Entry(Struct, frozen=True, kw_only=True):
    """One resource."""

    name: str
    """What the command line calls it."""
    path: str
    """What the API calls it."""
    attribute: str
    """What the client calls it."""
    record: type[Record]
    """The type of its records."""
    columns: tuple[str, ...]
    """What a table shows unless other fields are asked for."""
    spare: tuple[str, ...]
    """The columns that a narrow terminal does without, the least missed first."""

    def of(self, amili: AmiliClient) -> Resource[Any]:
        """The client's resource."""
        resource: Resource[Any] = getattr(amili, self.attribute)
        return resource


CATALOG = (
    Entry(
        name="payouts",
        path="finance--payouts",
        attribute="payouts",
        record=Payout,
        columns=("_id", "payout_date", "finance_category", "payout_reference", "amount", "vat_amount", "total_amount"),
        spare=("amount", "payout_reference", "vat_amount"),
    ),
    Entry(
        name="specifications",
        path="finance--payout-specifications",
        attribute="payout_specifications",
        record=PayoutSpecification,
        columns=(
            *("_id", "booking_date", "finance_category", "article", "state", "invoice_number"),
            *("amount", "vat_amount", "total_amount"),
        ),
        spare=("state", "amount", "vat_amount", "invoice_number", "finance_category"),
    ),
    Entry(
        name="payments",
        path="creditor--payments",
        attribute="creditor_payments",
        record=CreditorPayment,
        columns=(
            *("_id", "bank_transaction_date", "status", "creditor_payment_reference", "case_invoice_number"),
            *("amount", "settled_amount"),
        ),
        spare=("creditor_payment_reference", "case_invoice_number", "settled_amount", "bank_transaction_date"),
    ),
)


def find_entry(name: str) -> Entry:
    """The resource of that name, or of the API's; `ConfigurationError` names the known ones."""
    for entry in CATALOG:
        if name in (entry.name, entry.path, entry.attribute):
            return entry
    raise ConfigurationError(f"RESOURCE must be one of {', '.join(entry.name for entry in CATALOG)}")
