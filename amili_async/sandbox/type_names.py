"""The kinds of value that `$type` names, by word or by number."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from .bson_values import (
    ARRAY_KIND,
    BOOLEAN_KIND,
    DATE_KIND,
    ID_KIND,
    NULL_KIND,
    OBJECT_KIND,
    STRING_KIND,
    Held,
)
from .errors import Broken

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
