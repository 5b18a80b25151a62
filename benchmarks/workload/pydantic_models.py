"""A specification as a pydantic v2 model with the package's types: aware dates, exact decimals."""

from datetime import datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Date = Annotated[datetime, BeforeValidator(parsedate_to_datetime)]


class PydanticSpecification(BaseModel):
    """The documented fields."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(alias="_id")
    created: Date | None = Field(default=None, alias="_created")
    updated: Date | None = Field(default=None, alias="_updated")
    etag: str | None = Field(default=None, alias="_etag")
    creditor: str | None = None
    creditor_name: str | None = None
    currency: str | None = None
    amount: Decimal | None = None
    vat_amount: Decimal | None = None
    total_amount: Decimal | None = None
    article: str | None = None
    state: str | None = None
    state_date: Date | None = None
    booking_date: Date | None = None
    finance_category: str | None = None
    payout: str | None = None
    payout_reference: str | None = None
    payout_date: Date | None = None
    payout_interval: str | None = None
    reference_number: str | None = None
    invoice_number: str | None = None
    invoice_numbers: tuple[str, ...] | None = None
    references: dict[str, Any] | None = None


class PydanticMeta(BaseModel):
    """The `_meta` of a page."""

    total: int


class PydanticPage(BaseModel):
    """One page of the list."""

    items: tuple[PydanticSpecification, ...] = Field(alias="_items")
    meta: PydanticMeta = Field(alias="_meta")
