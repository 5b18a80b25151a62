"""A creditor: who is owed the debts, and receives the payouts."""

from typing import Any

from amili_async.models.fields import Id, Record


class Creditor(Record, frozen=True, kw_only=True):
    """One row of `creditors`.

    A creditor belongs to an account or to a partner. Its organisation number is in one of two fields.
    """

    account: Id | None = None
    """The account's id."""
    partner: Id | None = None
    """The partner's id."""
    name: str | None = None
    """The name."""
    organization_no: str | None = None
    """The Swedish organisation number; of a sole trader, the personal identity number."""
    non_swedish_organization_no: str | None = None
    """The organisation number of another country."""
    creditor_number: int | None = None
    """Amili's own number, such as 2000037."""
    is_active: bool | None = None
    """Whether debts can be registered for it."""
    description: str | None = None
    """A free text."""
    standard_debt_description: str | None = None
    """The description of a debt that has none of its own."""
    always_use_standard_debt_description: bool | None = None
    """Whether that description replaces those of debts."""
    default_letter_locale: str | None = None
    """The language of letters."""
    agreement_address: dict[str, Any] | None = None
    """The address of the agreement: `address_line_1`, `zip_code`, `city`, `country`."""
    sender_address: dict[str, Any] | None = None
    """The sender's address in letters."""
    invoice_address: dict[str, Any] | None = None
    """The address for invoices."""
    payout_details: dict[str, Any] | None = None
    """The bank accounts by currency and kind, such as `{"sek": {"bankgiro": …}}`."""
    case_config: dict[str, Any] | None = None
    """How its cases are handled, and its payouts grouped."""
    added_to_erp_system: bool | None = None
    """Whether Amili's own bookkeeping has it."""
