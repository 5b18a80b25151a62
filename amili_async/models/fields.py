"""What the fields of records hold: ids, categories and money; the base of all records.

Vocabularies are open: a field of a category is a plain `str`, so that a value that the API adds later breaks nothing.
"""

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, TypeAlias

from msgspec import field

from amili_async.errors import ConfigurationError
from amili_async.models.portable import Portable
from amili_async.models.timestamps import Timestamp

Id: TypeAlias = Annotated[str, "id"]
"""24 hexadecimal digits: an ObjectId of the API's database."""
Category: TypeAlias = Annotated[str, "category"]
"""One of a few words, such as a value of `FinanceCategory`."""
Money: TypeAlias = Decimal
"""An amount with the exact digits of the JSON: `1064` and `1064.0` are equal but stay distinguishable."""

_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_SURROGATE = r"[\ud800-\udfff]"


def check_id(text: object, *, what: str = "id") -> str:
    """Return an ObjectId in lower case; raises `ConfigurationError` for anything else."""
    if not isinstance(text, str) or _OBJECT_ID.fullmatch(text) is None:
        raise ConfigurationError(f"{what} must be 24 hexadecimal digits, such as '507f1f77bcf86cd799439099'")
    return text.lower()  # Eve's item routes match lower case only, an upper-case id is answered with 404


def check_text(text: str, *, what: str) -> str:
    """Return a text that UTF-8 can encode; raises `ConfigurationError` for an unpaired surrogate."""
    if re.search(_SURROGATE, text) is not None:
        raise ConfigurationError(f"{what} contains an unpaired surrogate and cannot be encoded as UTF-8")
    return text


def is_object_id(text: str) -> bool:
    """Whether the server parses this string in a filter as an ObjectId, whatever the field."""
    return _OBJECT_ID.fullmatch(text) is not None


class FinanceCategory(StrEnum):
    """The known values of `finance_category`; a new value is read as a plain string."""

    CAPITAL = "capital"
    INTEREST = "interest"
    CREDITOR_COMMISSION = "creditor_commission"
    CREDITOR_OUTLAY = "creditor_outlay"
    AMILI_COMMISSION = "amili_commission"


class Article(StrEnum):
    """The known values of `article`; a new value is read as a plain string."""

    CAPITAL = "capital"
    INTEREST = "interest"
    REMINDER = "reminder"
    COST = "cost"
    DEBT_COLLECTION = "debt_collection"
    INVOICE_FEE = "invoice_fee"
    LATE_PAYMENT_FEE = "late_payment_fee"
    VERDICT_FEE = "verdict_fee"
    ENFORCEMENT = "enforcement"


class CaseState(StrEnum):
    """The known values of `state`; a new value is read as a plain string."""

    INVOICE = "invoice"
    INITIALIZING = "initializing"
    REMINDER = "reminder"
    DEBT_COLLECTION = "debt_collection"
    ENFORCEMENT = "enforcement"
    DEBT_SURVEILLANCE = "debt_surveillance"


class PaymentStatus(StrEnum):
    """The known values of a payment's `status`; a new value is read as a plain string."""

    COMPLETED = "completed"
    WARNING = "warning"
    ERROR = "error"


class Record(Portable, frozen=True, kw_only=True):
    """The four fields that Eve adds to every document; the API returns them whatever the projection.

    A field that is absent, or `null`, is `None`; JSON and `repr` leave it out. A subclass inherits that for whatever
    equals its default, unless it sets `omit_defaults=False`.
    """

    id: Id = field(name="_id")
    """`_id`: the only field that is never absent."""
    created: Timestamp | None = field(name="_created", default=None)
    """`_created`: when the document was inserted; 1 January 1970 where the API does not know."""
    updated: Timestamp | None = field(name="_updated", default=None)
    """`_updated`: when it was last changed."""
    etag: str | None = field(name="_etag", default=None)
    """`_etag`: opaque, different after each change."""

    def __hash__(self) -> int:
        # Not by all fields: some hold objects, which have no hash. Equal records have equal ids and tags.
        return hash((type(self), self.id, self.etag))
