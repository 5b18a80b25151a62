"""The kinds of value that the API's records are made of: dates, money, ids, open vocabularies.

Dates travel as RFC 1123 (`Fri, 13 Jun 2025 08:00:00 GMT`) and become aware UTC `datetime`s. The month names are
English whatever the process's locale; the weekday is not checked, since the API's own examples have wrong ones.
"""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Union

from msgspec import UNSET, Struct, UnsetType, field

from amili_async.errors import ConfigurationError
from amili_async.models.memo import Memo

T = TypeVar("T")

Maybe: TypeAlias = T | None | UnsetType
"""The value, `None` where the API says `null`, `msgspec.UNSET` where the field is absent (or was not asked for)."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name: number for number, name in enumerate(_MONTHS, 1)}
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = re.compile(r"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ")
_MINUTES = {f"{at // 60:02}:{at % 60:02}": timedelta(minutes=at) for at in range(1440)}
_SECONDS = {f":{second:02} GMT": timedelta(seconds=second) for second in range(60)}
_TO_DAY, _TO_MINUTE, _TO_SECOND = slice(None, 17), slice(17, 22), slice(22, None)
_LATELY = 1024
"""Dates that are kept in case that they come again; more would only take more memory."""
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_ALMOST_A_DATE = re.compile(r"[a-z]{3},\s*[0-9]{1,2}\s+[a-z]{3}\s+[0-9]{4}\s+[0-9]{1,2}(:[0-9]{1,2}){2}\s+gmt", re.I)
_HALF_LETTER = re.compile(r"[\ud800-\udfff]")


def parse_date(text: str) -> datetime:
    """Read an RFC 1123 date; `ValueError` (which does not repeat the text) where it is none."""
    return _timestamps[text]


def _read_day(text: str) -> datetime:
    """`Fri, 13 Jun 2025 ` as its midnight."""
    found = _DAY.fullmatch(text)
    month = _MONTH_NUMBERS.get(found[2]) if found else None
    if found is None or month is None:
        raise ValueError("Expected an RFC 1123 date with an English month")
    with suppress(ValueError):
        return datetime(int(found[3]), month, int(found[1]), tzinfo=UTC)
    raise ValueError("Expected an RFC 1123 date that exists in the calendar")


_seen_days = Memo(_read_day)


def format_date(moment: date) -> str:
    """Write an aware `datetime`, or a `date` as its midnight in UTC, as RFC 1123.

    `ConfigurationError` for a naive `datetime` and for a fraction of a second, which the format cannot carry.
    """
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if moment.utcoffset() is None:
        raise ConfigurationError(
            "a datetime without a time zone could mean any instant: "
            "give it one, such as datetime(2025, 6, 1, tzinfo=UTC)"
        )
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ConfigurationError("the datetime lies outside the years 1 to 9999 in UTC") from None
    if moment.microsecond:
        raise ConfigurationError("the API's dates are whole seconds: drop the fraction with .replace(microsecond=0)")
    return (
        f"{_WEEKDAYS[moment.weekday()]}, {moment.day:02} {_MONTHS[moment.month - 1]} {moment.year:04} "
        f"{moment.hour:02}:{moment.minute:02}:{moment.second:02} GMT"
    )


def check_id(text: object, *, what: str = "id") -> str:
    """Return an ObjectId in lower case, as the API's paths need it; `ConfigurationError` for anything else."""
    if not isinstance(text, str) or _OBJECT_ID.fullmatch(text) is None:
        raise ConfigurationError(f"{what} must be 24 hexadecimal digits, such as '507f1f77bcf86cd799439099'")
    return text.lower()


def check_text(text: str, *, what: str) -> str:
    """Return a text that JSON can hold; `ConfigurationError` for one that UTF-8 has no form for."""
    if _HALF_LETTER.search(text) is not None:
        raise ConfigurationError(f"{what} must be whole characters: there is half of a pair of surrogates in it")
    return text


def is_like_a_date(text: str) -> bool:
    """Whether the server would take this string for a date, whatever the field: in any case, with any blanks in it."""
    return _ALMOST_A_DATE.fullmatch(text) is not None


def is_object_id(text: str) -> bool:
    """Whether the server would take this string for an ObjectId, whatever the field."""
    return _OBJECT_ID.fullmatch(text) is not None


class _TimestampType(dict[str, datetime]):
    """What msgspec sees as the type of a date field, and the dates that were read lately.

    msgspec refuses RFC 1123 for `datetime` and never asks a hook about it, but it does ask for a type of which it
    only knows that its `__origin__` is `datetime`. With `dict.__getitem__` as the hook it asks this dictionary, so
    that a date that came lately is found without a line of Python; a batch of rows repeats a few of them.
    """

    __origin__ = datetime
    __slots__ = ()
    __hash__ = object.__hash__  # type: ignore[assignment]  # a dict has none, and `typing` needs one
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    def __missing__(self, text: str) -> datetime:
        try:  # in parts, since all dates together have few days and few times of day
            moment = _seen_days[text[_TO_DAY]] + _MINUTES[text[_TO_MINUTE]] + _SECONDS[text[_TO_SECOND]]
        except (KeyError, TypeError):  # only to a ValueError does msgspec add the place
            raise ValueError("Expected an RFC 1123 date in GMT") from None
        if len(self) >= _LATELY:
            self.clear()
        self[text] = moment
        return moment

    def __call__(self) -> None:
        """Exist: `typing` takes only callables for types."""

    def __or__(self, other: Any) -> Any:
        return Union[self, other]  # noqa: UP007 - the operator is what is being defined

    def __ror__(self, other: Any) -> Any:
        return Union[other, self]  # noqa: UP007 - as above

    def __repr__(self) -> str:
        return "Timestamp"


_timestamps = _TimestampType()
if TYPE_CHECKING:
    Timestamp = datetime
else:
    Timestamp = _timestamps
"""A date of the API: a plain aware UTC `datetime` to a type checker and at run time."""


Money = Decimal
"""An amount, exact to the digit on the wire: `1064` and `1064.0` are equal but stay distinguishable."""


class FinanceCategory(StrEnum):
    """The known values of `finance_category`; a new one arrives as a plain string."""

    CAPITAL = "capital"
    INTEREST = "interest"
    CREDITOR_COMMISSION = "creditor_commission"
    CREDITOR_OUTLAY = "creditor_outlay"
    AMILI_COMMISSION = "amili_commission"


class Article(StrEnum):
    """The known values of `article`; a new one arrives as a plain string."""

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
    """The known values of `state`; a new one arrives as a plain string."""

    INVOICE = "invoice"
    INITIALIZING = "initializing"
    REMINDER = "reminder"
    DEBT_COLLECTION = "debt_collection"
    ENFORCEMENT = "enforcement"
    DEBT_SURVEILLANCE = "debt_surveillance"


class PaymentStatus(StrEnum):
    """The known values of a payment's `status`; a new one arrives as a plain string."""

    COMPLETED = "completed"
    WARNING = "warning"
    ERROR = "error"


_NAMES_OF_KIND = {
    "an id": "_id creditor payout account case file_import_report "
    "references.case references.debt_collection references.enforcement",
    "a date": "_created _updated payout_date booking_date state_date bank_transaction_date client_registration_date "
    "finance_period_start_date finance_period_end_date",
    "a number": "amount vat_amount total_amount settled_amount finance_period_day",
    "text": "_etag currency payout_reference finance_category finance_interval creditor_name article state "
    "payout_interval reference_number invoice_number invoice_numbers origin status status_reason_locale "
    "creditor_payment_reference case_invoice_number case_reference_number _status _payment_status",
    "true or false": "ready_for_payout",
    "an object": "summary references",
}
KINDS = {name: kind for kind, names in _NAMES_OF_KIND.items() for name in names.split()}
"""What the documented fields hold; a value of another kind matches nothing, and the API does not say so."""

MONEY = ("amount", "vat_amount", "total_amount", "settled_amount")
"""The fields that hold money."""


class Record(Struct, frozen=True, gc=False, kw_only=True):
    """The four fields that Eve adds to every document; they come back whatever the projection."""

    id: str = field(name="_id")
    """`_id`: 24 hexadecimal digits, the only field that is never absent."""
    created: Maybe[Timestamp] = field(name="_created", default=UNSET)
    """`_created`: when the document was made; 1 January 1970 where the API does not know."""
    updated: Maybe[Timestamp] = field(name="_updated", default=UNSET)
    """`_updated`: when it last changed."""
    etag: Maybe[str] = field(name="_etag", default=UNSET)
    """`_etag`: opaque, different after each change."""
