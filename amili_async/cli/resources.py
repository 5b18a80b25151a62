"""The resources of the command line: their names and the columns of their tables."""

from typing import Any

from msgspec import Struct

from amili_async._wire.listing import PATHS
from amili_async.client import AmiliClient
from amili_async.errors import ConfigurationError
from amili_async.models import Case, Creditor, CreditorPayment, Payout, PayoutSpecification, Record
from amili_async.resources import Resource


class ResourceEntry(Struct, frozen=True, kw_only=True):
    """One resource."""

    name: str
    """Its name on the command line."""
    attribute: str
    """The client's attribute that holds it."""
    record: type[Record]
    """The type of its records."""
    columns: tuple[str, ...]
    """The columns of a table unless --fields chooses others."""
    optional: tuple[str, ...]
    """The columns that a narrow terminal drops, in this order."""

    @property
    def singular(self) -> str:
        """The name of one of its records."""
        return self.name.removesuffix("s")

    @property
    def path(self) -> str:
        """Its name in the API."""
        return PATHS[self.attribute]

    def of(self, amili: AmiliClient) -> Resource[Any]:
        """The client's resource."""
        resource: Resource[Any] = getattr(amili, self.attribute)
        return resource


RESOURCES = (
    ResourceEntry(
        name="payouts",
        attribute="payouts",
        record=Payout,
        columns=("_id", "payout_date", "finance_category", "payout_reference", "amount", "vat_amount", "total_amount"),
        optional=("amount", "payout_reference", "vat_amount"),
    ),
    ResourceEntry(
        name="specifications",
        attribute="payout_specifications",
        record=PayoutSpecification,
        columns=(
            *("_id", "booking_date", "finance_category", "article", "state", "invoice_number"),
            *("amount", "vat_amount", "total_amount"),
        ),
        optional=("state", "amount", "vat_amount", "invoice_number", "finance_category"),
    ),
    ResourceEntry(
        name="payments",
        attribute="creditor_payments",
        record=CreditorPayment,
        columns=(
            *("_id", "bank_transaction_date", "status", "creditor_payment_reference", "case_invoice_number"),
            *("amount", "settled_amount"),
        ),
        optional=("creditor_payment_reference", "case_invoice_number", "bank_transaction_date", "settled_amount"),
    ),
    ResourceEntry(
        name="creditors",
        attribute="creditors",
        record=Creditor,
        columns=("_id", "creditor_number", "organization_no", "is_active", "name"),
        optional=("is_active", "organization_no"),
    ),
    ResourceEntry(
        name="cases",
        attribute="cases",
        record=Case,
        columns=(
            *("_id", "creditor_name", "reference_number", "debt.invoice_number", "state", "status", "closed"),
            "latest_state_date",
        ),
        optional=("latest_state_date", "status", "creditor_name", "closed"),
    ),
)


def find_resource(name: str) -> ResourceEntry:
    """The resource with this name, of the command line, the client or the API."""
    for entry in RESOURCES:
        if name in (entry.name, entry.path, entry.attribute):
            return entry
    raise ConfigurationError(f"RESOURCE must be one of {', '.join(entry.name for entry in RESOURCES)}")
