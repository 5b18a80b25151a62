"""How the database holds values: which are equal, and which comes first.

A held value is a pair (kind, content). Pairs compare as MongoDB orders values of all kinds, and are equal where it
says so: 1 equals 1.0, true equals neither. A missing field is None, which is not the held null.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, TypeAlias

from .errors import Broken

Held: TypeAlias = tuple[int, Any]

NAN_KIND, NULL_KIND, NUMBER_KIND, STRING_KIND, OBJECT_KIND = 4, 5, 10, 15, 20
ARRAY_KIND, ID_KIND, BOOLEAN_KIND, DATE_KIND = 25, 35, 40, 45

NULL: Held = (NULL_KIND, 0)
EMPTY_ARRAY_IN_A_SORT: Held = (0, 0)


class Fields(Protocol):
    """A row as the database sees it."""

    def get(self, name: str, /) -> Held | None:
        """The value of a field; None where it is missing."""


class ObjectId(str):
    """Twenty-four lower-case hex digits that stand for an id, never equal to the same text in a text field."""

    __slots__ = ()


def hold(value: Any) -> Held:
    """Hold a JSON value in which ids and dates are already ObjectId and datetime."""
    return _HOLDERS[type(value)](value)


def hold_members(members: Mapping[str, Any]) -> tuple[tuple[int, str, Held], ...]:
    """The members of an object in their order, as MongoDB compares them: kind, then name, then value."""
    return tuple((held[0], name, held) for name, held in ((name, hold(value)) for name, value in members.items()))


def _hold_float(value: float) -> Held:
    if math.isfinite(value):
        return NUMBER_KIND, Decimal(repr(value))
    return (NAN_KIND, 0) if math.isnan(value) else (NUMBER_KIND, value)


_HOLDERS: Mapping[type, Callable[[Any], Held]] = {
    type(None): lambda _: NULL,
    bool: lambda value: (BOOLEAN_KIND, value),
    int: lambda value: (NUMBER_KIND, value),
    Decimal: lambda value: (NUMBER_KIND, value),
    float: _hold_float,
    ObjectId: lambda value: (ID_KIND, str(value)),
    str: lambda value: (STRING_KIND, value),
    datetime: lambda value: (DATE_KIND, value),
    dict: lambda value: (OBJECT_KIND, hold_members(value)),
    list: lambda value: (ARRAY_KIND, tuple(hold(element) for element in value)),
}


def reach(held: Held | None, steps: tuple[str, ...]) -> Iterator[Held | None]:
    """Every value that a dotted name leads to; arrays on the way are entered both by index and element by element."""
    if not steps:
        yield held
    elif held is not None and held[0] == OBJECT_KIND:
        yield from reach(_member(held, steps[0]), steps[1:])
    elif held is not None and held[0] == ARRAY_KIND:
        yield from _reach_into_array(held, steps)
    else:
        yield None


def _reach_into_array(array: Held, steps: tuple[str, ...]) -> Iterator[Held | None]:
    for element in array[1]:
        if element[0] == OBJECT_KIND:
            yield from reach(element, steps)
    if steps[0].isdecimal() and int(steps[0]) < len(array[1]):
        yield from reach(array[1][int(steps[0])], steps[1:])


def _member(held: Held, name: str) -> Held | None:
    return next((value for _, member, value in held[1] if member == name), None)


def reader(name: str) -> Callable[[Fields], list[Held | None]]:
    """What reads all values of a field, given by its dotted name, out of a row."""
    first, *rest = name.split(".")
    steps = tuple(rest)
    if not steps:
        return lambda fields: [fields.get(first)]
    return lambda fields: list(reach(fields.get(first), steps))


_WORDS = {
    NULL_KIND: "null",
    STRING_KIND: "string",
    OBJECT_KIND: "object",
    ARRAY_KIND: "array",
    ID_KIND: "objectId",
    BOOLEAN_KIND: "bool",
    DATE_KIND: "date",
}
_NUMBERS = dict(enumerate(("double", "string", "object", "array", "binData"), 1))
_NUMBERS |= dict(enumerate(("objectId", "bool", "date", "null", "regex"), 7))
_NUMBERS |= {13: "javascript", 16: "int", 17: "timestamp", 18: "long", 19: "decimal"}


def has_type(types: Any) -> Callable[[list[Held | None]], bool]:
    """The test that a value, or an element of an array, is of a type or of one of several."""
    wanted = set().union(*(_read_type(each) for each in (types if isinstance(types, list) else [types])))
    return lambda found: any(
        _word_for(held) in wanted or (held[0] == ARRAY_KIND and any(_word_for(each) in wanted for each in held[1]))
        for held in found
        if held is not None
    )


def _read_type(name: Any) -> set[str]:
    word = _NUMBERS.get(int(name), name) if isinstance(name, int | Decimal) and name == int(name) else name
    if word == "number":
        return {"int", "double"}
    if not isinstance(word, str) or word not in _NUMBERS.values():
        raise Broken("unknown type name")
    return {word}


def _word_for(held: Held) -> str:
    """A whole number counts as an int, any other as a double."""
    return _WORDS.get(held[0]) or ("int" if isinstance(held[1], int) else "double")
