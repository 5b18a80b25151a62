"""Values as MongoDB compares them, ids and dates among them, which JSON holds as text.

Invariant: a value is a pair (kind, content), and pairs compare as MongoDB orders values of all kinds: 1 equals 1.0,
true equals neither. A missing field is None, which is not the value NULL.
"""

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

from .answers import ServerCrash

BsonValue: TypeAlias = tuple[int, Any]

NAN_KIND, NULL_KIND, NUMBER_KIND, STRING_KIND, OBJECT_KIND = 4, 5, 10, 15, 20
ARRAY_KIND, ID_KIND, BOOLEAN_KIND, DATE_KIND = 25, 35, 40, 45

NULL: BsonValue = (NULL_KIND, 0)
EMPTY_ARRAY_IN_A_SORT: BsonValue = (0, 0)  # less than null, as MongoDB documents for sorts only

_TYPE_NAMES = {NULL_KIND: "null", STRING_KIND: "string", OBJECT_KIND: "object", ARRAY_KIND: "array"}
_TYPE_NAMES |= {ID_KIND: "objectId", BOOLEAN_KIND: "bool", DATE_KIND: "date"}
_ID = re.compile("[0-9a-fA-F]{24}")
# A table instead of strptime, which follows the locale of the process.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_RFC_1123 = re.compile(
    rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),\s+([12]\d|3[01]|0[1-9]|[1-9])\s+({'|'.join(_MONTHS)})\s+(\d{{4}})"
    r"\s+([01]\d|2[0-3]|\d):([0-5]\d|\d):([0-5]\d|\d)\s+GMT",
    re.IGNORECASE,
)


class ObjectId(str):
    """Twenty-four lower-case hex digits of an id, never equal to the same text in a text field."""

    __slots__ = ()


@lru_cache(maxsize=20_000)
def read_date(text: str) -> datetime | None:
    """The moment in a text of RFC 1123 (GMT), read as liberally as Eve 2.3 reads it, or None where it is not a date."""
    match = _RFC_1123.fullmatch(text)
    if match is None:
        return None
    # The weekday is ignored: Eve 2.3 reads with strptime, which accepts any.
    day, month, year, hour, minute, second = match.groups()
    number = _MONTHS.index(month.capitalize()) + 1
    try:
        return datetime(int(year), number, int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        return None


@lru_cache(maxsize=20_000)
def write_date(moment: datetime) -> str:
    """The text of a moment, with the correct weekday and whole seconds; any timezone counts as GMT."""
    return format_datetime(moment.replace(tzinfo=UTC), usegmt=True)


def system_time() -> float:
    """Epoch seconds. It looks `time.time` up for each call, so that a test may freeze time."""
    return time.time()


def at_epoch(seconds: float) -> datetime:
    """The moment so many seconds after 1970, truncated to whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC)


def cast_text(text: str) -> Any:
    """The date or id in a text, else the text. Eve 2.3 casts by the form alone, whatever the field."""
    if _ID.fullmatch(text):
        return ObjectId(text.lower())
    return read_date(text) or text


class RowFields(Protocol):
    """A row as the database reads it."""

    def get(self, name: str, /) -> BsonValue | None:
        """The value of a field; None where it is missing."""


def to_bson(value: Any) -> BsonValue:
    """The pair of a JSON value in which ids and dates are already ObjectId and datetime."""
    # By every base class: a test that freezes time may replace datetime by a subclass.
    return next(_CONVERTERS[base] for base in type(value).__mro__ if base in _CONVERTERS)(value)


def read_float(text: str) -> Decimal | float:
    """A JSON number to the digit, where a double holds it: 1e999 is infinite, 1e-999 zero."""
    value = float(text)
    if not math.isfinite(value):
        return value
    return Decimal(text) if value else Decimal(repr(value))


def _from_int(value: int) -> BsonValue:
    if not -(2**63) <= value < 2**63:
        raise ServerCrash("MongoDB has whole numbers of 64 bits at most")
    return NUMBER_KIND, value


def _from_float(value: float) -> BsonValue:
    if math.isfinite(value):
        return NUMBER_KIND, Decimal(repr(value))
    return (NAN_KIND, 0) if math.isnan(value) else (NUMBER_KIND, value)


def _from_members(members: Mapping[str, Any]) -> BsonValue:
    # MongoDB compares objects member by member, in their order: kind, then name, then value.
    pairs = ((name, to_bson(value)) for name, value in members.items())
    return OBJECT_KIND, tuple((value[0], name, value) for name, value in pairs)


_CONVERTERS: Mapping[type, Callable[[Any], BsonValue]] = {
    type(None): lambda _: NULL,
    bool: lambda value: (BOOLEAN_KIND, value),
    int: _from_int,
    Decimal: lambda value: (NUMBER_KIND, value),
    float: _from_float,
    ObjectId: lambda value: (ID_KIND, str(value)),
    str: lambda value: (STRING_KIND, value),
    datetime: lambda value: (DATE_KIND, value),
    dict: _from_members,
    list: lambda value: (ARRAY_KIND, tuple(to_bson(element) for element in value)),
}


def path_reader(name: str) -> Callable[[RowFields], list[BsonValue | None]]:
    """A function that reads all values at a dotted name out of a row."""
    first, *steps = name.split(".")
    if not steps:
        return lambda fields: [fields.get(first)]
    return lambda fields: list(_resolve(fields.get(first), steps))


def _resolve(value: BsonValue | None, steps: list[str]) -> Iterator[BsonValue | None]:
    """Every value at the end of a path. An array inside it is entered both by index and element by element."""
    if not steps:
        yield value
    elif value is not None and value[0] == OBJECT_KIND:
        yield from _resolve(next((each for _, name, each in value[1] if name == steps[0]), None), steps[1:])
    elif value is not None and value[0] == ARRAY_KIND:
        for element in value[1]:
            if element[0] == OBJECT_KIND:
                yield from _resolve(element, steps)
        if steps[0].isdecimal() and int(steps[0]) < len(value[1]):
            yield from _resolve(value[1][int(steps[0])], steps[1:])
    else:
        yield None


def type_name(value: BsonValue) -> str:
    """The name of a type as `$type` has it. A whole number counts as an int, any other as a double."""
    return _TYPE_NAMES.get(value[0]) or ("int" if isinstance(value[1], int) else "double")
