"""Timestamps of the API: RFC 1123 (`Fri, 13 Jun 2025 08:00:00 GMT`) to and from aware UTC `datetime`s.

Invariant: nothing depends on the process's locale. `strptime` and `strftime` follow it, so the names of the months are
read and written by the tables below.
"""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Union

from amili_async.errors import ConfigurationError

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name: number for number, name in enumerate(_MONTHS, 1)}
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# Any weekday is accepted: the examples in the API's own documentation have wrong ones.
_DAY = re.compile(r"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{1,4}) ")
_FORM = _DAY.pattern + r"([0-9]{2}:[0-9]{2}:[0-9]{2}) ([A-Z]{2,5}|[+-][0-9]{4})"
# Written for a fast import: keywords and formats take three times as long, for each of the 1,440.
_DIGITS = tuple(f"{number:02}" for number in range(60))
_MINUTES = {
    f"{_DIGITS[hour]}:{digits}": timedelta(0, 3600 * hour + 60 * minute)
    for hour in range(24)
    for minute, digits in enumerate(_DIGITS)
}
_SECONDS = {f":{digits} GMT": timedelta(0, second) for second, digits in enumerate(_DIGITS)}
# From the right: Eve writes years with `strftime`, which pads none below 1000 ("Mon, 01 Jan 1 00:00:00 GMT").
_DAY_PART, _MINUTE_PART, _SECOND_PART = slice(None, -12), slice(-12, -7), slice(-7, None)
# Eve parses a filter value as a date with `strptime`, which accepts any case and any whitespace between the parts.
_DATE_LIKE = r"[a-z]{3},\s*[0-9]{1,2}\s+[a-z]{3}\s+[0-9]{4}\s+[0-9]{1,2}(:[0-9]{1,2}){2}\s+gmt"

MAX_CACHED_TIMESTAMPS = 1024
"""Parsed texts that are kept: rows of one page share a few; more of them would only use more memory."""


def parse_date(text: str) -> datetime:
    """Parse an RFC 1123 date; raises `ValueError`, which does not quote the text."""
    return _timestamps[text]


@lru_cache(maxsize=4096)  # the days of eleven years
def _parse_day(text: str) -> datetime:
    """`Fri, 13 Jun 2025 ` as midnight UTC."""
    found = _DAY.fullmatch(text)
    if found is None:
        raise ValueError
    return datetime(int(found[3]), _MONTH_NUMBERS[found[2]], int(found[1]), tzinfo=UTC)


def _fault_of(text: str) -> str:
    """Why a text is no date, without quoting it."""
    found = re.fullmatch(_FORM, text)
    if found is None:
        fault = "such as Fri, 13 Jun 2025 08:00:00 GMT"
    elif found[5] != "GMT":
        fault = "in GMT"
    elif found[2] not in _MONTH_NUMBERS:
        fault = "with an English month"
    elif found[4] >= "24" or found[4][3:] >= "60" or found[4][6:] >= "60":
        fault = "with a time of day from 00:00:00 to 23:59:59"
    else:
        fault = "that exists in the calendar of the years 1 to 9999"
    return f"Expected an RFC 1123 date {fault}"


def format_date(moment: date) -> str:
    """Format an aware `datetime`, or a `date` as its midnight in UTC, as RFC 1123.

    Raises `ConfigurationError` for a naive `datetime` and for a fraction of a second, which RFC 1123 cannot express.
    """
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if moment.utcoffset() is None:
        raise ConfigurationError(
            "a datetime without a time zone is ambiguous: give it one, such as datetime(2025, 6, 1, tzinfo=UTC)"
        )
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ConfigurationError("the datetime is outside the years 1 to 9999 in UTC") from None
    # A zone's offset may have microseconds of its own, so this is checked after the conversion.
    if moment.microsecond:
        raise ConfigurationError("the API's dates are whole seconds: drop the fraction with .replace(microsecond=0)")
    return (
        f"{_WEEKDAYS[moment.weekday()]}, {moment.day:02} {_MONTHS[moment.month - 1]} {moment.year:04} "
        f"{moment.hour:02}:{moment.minute:02}:{moment.second:02} GMT"
    )


def is_like_a_date(text: str) -> bool:
    """Whether the server parses this string in a filter as a date, whatever the field."""
    return re.fullmatch(_DATE_LIKE, text, re.IGNORECASE) is not None


class _TimestampType(dict[str, datetime]):
    """The type of a timestamp field for msgspec, and the cache of timestamps parsed last.

    msgspec rejects RFC 1123 for `datetime` and calls no hook for it. It does call the hook for an unknown generic type,
    which is any object with an `__origin__`. The hook is `dict.__getitem__`, and this object both the type and the
    dict, so a cached timestamp is found without executing Python code.
    """

    __origin__ = datetime
    # Litestar names the schema of each type. A `__getattr__` would slow down each date: msgspec reads `__origin__`.
    __slots__ = ("__name__", "__qualname__")
    __name__: str
    __qualname__: str
    __hash__ = object.__hash__  # type: ignore[assignment]  # `typing` needs a hash, which a dict lacks
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    def __missing__(self, text: str) -> datetime:
        moment = None
        with suppress(KeyError, TypeError, ValueError):  # in parts: many share few days and few times of day
            moment = _parse_day(text[_DAY_PART]) + _MINUTES[text[_MINUTE_PART]] + _SECONDS[text[_SECOND_PART]]
        if moment is None:  # msgspec adds the place in the JSON to a ValueError only
            raise ValueError(_fault_of(text) if isinstance(text, str) else "Expected an RFC 1123 date")
        if len(self) >= MAX_CACHED_TIMESTAMPS:
            self.clear()
        self[text] = moment
        return moment

    def __instancecheck__(self, value: object) -> bool:
        return isinstance(value, datetime)

    def __call__(self) -> None:
        """Do nothing; `typing` accepts only callables as types."""

    def __or__(self, other: Any) -> Any:
        return Union[self, other]  # noqa: UP007 - the operator is what is being defined

    def __ror__(self, other: Any) -> Any:
        return Union[other, self]  # noqa: UP007 - the operator is what is being defined

    def __repr__(self) -> str:
        return "Timestamp"


_timestamps = _TimestampType()
_timestamps.__name__ = _timestamps.__qualname__ = "Timestamp"
if TYPE_CHECKING:
    Timestamp = datetime
else:
    Timestamp = _timestamps
"""A date of the API: a plain aware UTC `datetime` to a type checker and at run time."""
