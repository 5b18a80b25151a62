"""Values as MongoDB compares them: which are equal, which one is less, and how `$type` names their types.

Invariant: a value is a pair (kind, content), and pairs compare as MongoDB orders values of all kinds: 1 equals 1.0,
true equals neither. A missing field is None, which is not the value NULL.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, TypeAlias

from .errors import ServerCrash
from .object_ids import ObjectId

BsonValue: TypeAlias = tuple[int, Any]

NAN_KIND, NULL_KIND, NUMBER_KIND, STRING_KIND, OBJECT_KIND = 4, 5, 10, 15, 20
ARRAY_KIND, ID_KIND, BOOLEAN_KIND, DATE_KIND = 25, 35, 40, 45

NULL: BsonValue = (NULL_KIND, 0)
EMPTY_ARRAY_IN_A_SORT: BsonValue = (0, 0)  # less than null, as MongoDB documents for sorts only

_TYPE_NAMES = {
    NULL_KIND: "null",
    STRING_KIND: "string",
    OBJECT_KIND: "object",
    ARRAY_KIND: "array",
    ID_KIND: "objectId",
    BOOLEAN_KIND: "bool",
    DATE_KIND: "date",
}
_TYPE_NUMBERS = dict(enumerate(("double", "string", "object", "array", "binData"), 1))
_TYPE_NUMBERS |= dict(enumerate(("objectId", "bool", "date", "null", "regex"), 7))
_TYPE_NUMBERS |= {13: "javascript", 16: "int", 17: "timestamp", 18: "long", 19: "decimal"}


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
    """MongoDB compares objects member by member, in their order: kind, then name, then value."""
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
    first, *rest = name.split(".")
    steps = tuple(rest)
    if not steps:
        return lambda fields: [fields.get(first)]
    return lambda fields: list(_resolve(fields.get(first), steps))


def _resolve(value: BsonValue | None, steps: tuple[str, ...]) -> Iterator[BsonValue | None]:
    """Every value at the end of a path. An array inside it is entered both by index and element by element."""
    if not steps:
        yield value
    elif value is not None and value[0] == OBJECT_KIND:
        yield from _resolve(_member(value, steps[0]), steps[1:])
    elif value is not None and value[0] == ARRAY_KIND:
        yield from _resolve_in_array(value, steps)
    else:
        yield None


def _resolve_in_array(array: BsonValue, steps: tuple[str, ...]) -> Iterator[BsonValue | None]:
    for element in array[1]:
        if element[0] == OBJECT_KIND:
            yield from _resolve(element, steps)
    if steps[0].isdecimal() and int(steps[0]) < len(array[1]):
        yield from _resolve(array[1][int(steps[0])], steps[1:])


def _member(value: BsonValue, name: str) -> BsonValue | None:
    return next((each for _, member, each in value[1] if member == name), None)


def has_type(types: Any) -> Callable[[list[BsonValue | None]], bool]:
    """A test that a value, or an element of an array, is of one type or of one of several."""
    if types == []:
        raise ServerCrash("$type must match at least one type")
    wanted = set().union(*(_read_type(each) for each in (types if isinstance(types, list) else [types])))
    return lambda found: any(
        _type_name(value) in wanted or (value[0] == ARRAY_KIND and any(_type_name(each) in wanted for each in value[1]))
        for value in found
        if value is not None
    )


def _read_type(name: Any) -> set[str]:
    word = _TYPE_NUMBERS.get(int(name), name) if isinstance(name, int | Decimal) and name == int(name) else name
    if word == "number":
        return {"int", "double"}
    if not isinstance(word, str) or word not in _TYPE_NUMBERS.values():
        raise ServerCrash(f"unknown type name: {name}")
    return {word}


def _type_name(value: BsonValue) -> str:
    """A whole number counts as an int, any other as a double."""
    return _TYPE_NAMES.get(value[0]) or ("int" if isinstance(value[1], int) else "double")
