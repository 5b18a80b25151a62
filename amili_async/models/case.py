"""A case: one debt that Amili collects."""

from typing import Any

from amili_async.models.fields import Category, Id, Record
from amili_async.models.timestamps import Timestamp


class Case(Record, frozen=True, kw_only=True):
    """One row of `cases`, without the debtor: no field of a person is typed here, nor requested by default."""

    creditor: Id | None = None
    """The creditor's id."""
    creditor_name: str | None = None
    """The creditor's name."""
    reference_number: str | None = None
    """The reference number of the case."""
    currency: Category | None = None
    """`SEK`, the only one so far."""
    state: Category | None = None
    """The stage of the collection; `CaseState` has the known values."""
    status: Category | None = None
    """What is done about it, such as `debt_collection_active`."""
    latest_state_date: Timestamp | None = None
    """When it entered that state."""
    debt: dict[str, Any] | None = None
    """The debt: `invoice_number`, `debt_reference`, `initial_capital`, `capital_to_claim`, …"""
    closed: Any | None = None
    """Set if the case is closed; the API does not document to what."""

    @property
    def is_open(self) -> bool:
        """Whether the row does not state that the case is closed."""
        return not self.closed
