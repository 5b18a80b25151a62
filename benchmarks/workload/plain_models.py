"""A specification as the cheapest possible struct: dates stay text, money becomes float."""

from typing import Any

import msgspec

DATES = ("_created", "_updated", "booking_date", "state_date", "payout_date")
"""The date fields, by their API names."""


class PlainSpecification(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={"id": "_id", "created": "_created", "updated": "_updated", "etag": "_etag"},
):
    """The documented fields."""

    id: str
    created: str | None = None
    updated: str | None = None
    etag: str | None = None
    creditor: str | None = None
    creditor_name: str | None = None
    currency: str | None = None
    amount: float | None = None
    vat_amount: float | None = None
    total_amount: float | None = None
    article: str | None = None
    state: str | None = None
    state_date: str | None = None
    booking_date: str | None = None
    finance_category: str | None = None
    payout: str | None = None
    payout_reference: str | None = None
    payout_date: str | None = None
    payout_interval: str | None = None
    reference_number: str | None = None
    invoice_number: str | None = None
    invoice_numbers: tuple[str, ...] | None = None
    references: dict[str, Any] | None = None


class PlainMeta(msgspec.Struct, frozen=True):
    """The `_meta` of a page."""

    total: int


class PlainPage(msgspec.Struct, frozen=True):
    """One page of the list."""

    items: tuple[PlainSpecification, ...] = msgspec.field(name="_items")
    meta: PlainMeta = msgspec.field(name="_meta")
