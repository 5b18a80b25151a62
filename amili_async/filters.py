"""The rules that a filter is checked by, in the API's own JSON.

Invariant: a comparison that the server would answer with no rows and no error, or with a 500, raises
`ConfigurationError`, which names the field. No text made here shows a value that a field is compared with.

The rules are those of Eve, on which the API is built, and of MongoDB below it.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any

from msgspec import Struct

from amili_async._wire.tasks import hide_contents
from amili_async.errors import ConfigurationError
from amili_async.models.fields import check_id, check_text, is_object_id
from amili_async.models.kinds import KINDS
from amili_async.models.record_type import SHORT_NAMES
from amili_async.models.timestamps import format_date, is_like_a_date, parse_date

_ORDERINGS = frozenset({"$gt", "$gte", "$lt", "$lte"})
_COMPARISONS = _ORDERINGS | {"$eq", "$ne"}
_LISTS = frozenset({"$in", "$nin", "$all"})
_OTHERS = frozenset({"$exists", "$not", "$size", "$type", "$mod", "$elemMatch"})
_COMBINATIONS = frozenset({"$and", "$or", "$nor"})
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*", re.ASCII)


@hide_contents
class CheckedFilter(Struct, frozen=True):
    """A filter that was checked; the base of `Condition`, which adds the operators."""

    document: Mapping[str, Any]
    """The filter in the API's own JSON."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({describe(self.document)})"


def check_name(name: object) -> str:
    """Return the API's name of a field; raises `ConfigurationError` for what cannot be one."""
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ConfigurationError("a field name must be letters, digits and underscores, with dots between parts")
    return SHORT_NAMES.get(name, str(name))


def check_where(where: Mapping[str, Any]) -> dict[str, Any]:
    """Check a filter in the API's JSON, and return it with its values in the form in which the server matches them."""
    checked: dict[str, Any] = {}
    for key, value in where.items():
        if key in _COMBINATIONS:
            checked[key] = [check_where(part) for part in _alternatives(key, value)]
        elif isinstance(key, str) and key.startswith("$"):
            raise ConfigurationError(f"{key!r} cannot be used at the top of a filter: only {_join(_COMBINATIONS)} can")
        else:
            name = check_name(key)
            if name in checked:
                raise ConfigurationError(f"{name} appears twice in one filter: combine the two conditions with &")
            checked[name] = _check_operand(name, value)
    return checked


def _alternatives(combination: str, value: object) -> Sequence[Mapping[str, Any]]:
    if isinstance(value, (list, tuple)) and value and all(isinstance(part, (Mapping, CheckedFilter)) for part in value):
        return [part.document if isinstance(part, CheckedFilter) else part for part in value]
    raise ConfigurationError(f"{combination} needs a list of at least one filter")


def _check_operand(name: str, value: object) -> Any:
    """Check what a field is compared with: a value, or a mapping of operators to values."""
    if not isinstance(value, Mapping):
        return _check_value(name, value)
    if not value:
        raise ConfigurationError(f"{name} cannot be compared with an empty object: it matches nothing")
    return {operator: _check_operator(name, operator, part) for operator, part in value.items()}


def _check_operator(name: str, operator: object, value: object) -> Any:
    # MongoDB compares only values of one type: an order between a date and null, true or a list matches no row.
    if operator in _ORDERINGS and (value is None or isinstance(value, (bool, list, tuple))):
        raise ConfigurationError(f"{name}: {operator} needs a date, a number or a text")
    if operator in _COMPARISONS:
        return _check_value(name, value)
    if operator in _LISTS:
        values = listed(value, what=f"{name}: {operator}")
        if any(part is None for part in values):  # Eve makes a new ObjectId of it, which equals no stored id
            raise ConfigurationError(
                f"{name}: null in a list matches nothing; combine the list with a comparison with None"
            )
        return [_check_value(name, part) for part in values]
    if operator not in _OTHERS:
        if not (isinstance(operator, str) and operator.startswith("$")):
            raise ConfigurationError(f"{name}: an object must hold operators; write nested fields with dots ('a.b')")
        known = _join(_COMPARISONS | _LISTS | _OTHERS)
        raise ConfigurationError(f"{name}: unknown operator {operator!r}; the API accepts {known}")
    if operator in {"$not", "$elemMatch"}:
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{name}: {operator} needs operators, such as {{'$gt': 1}}")
        # $elemMatch takes either operators (for a list of values) or a filter (for a list of objects).
        is_filter = operator == "$elemMatch" and value and not any(str(key).startswith("$") for key in value)
        return check_where(value) if is_filter else _check_operand(name, value)
    if operator == "$exists" and not isinstance(value, bool):
        raise ConfigurationError(f"{name}: $exists needs True or False")
    return _check_plain(name, value)


def _check_value(name: str, value: object) -> Any:
    """Return one value in its wire form; raises `ConfigurationError` for what can never match the field."""
    value = value.value if isinstance(value, Enum) else value
    if isinstance(value, bool):  # before the numbers: a bool is an int
        _check_kind(name, "true or false")
        return value
    if isinstance(value, date):
        _check_kind(name, "a date")
        try:
            return format_date(value)
        except ConfigurationError as error:
            raise ConfigurationError(f"{name}: {error}") from None
    if isinstance(value, (int, float, Decimal)):
        _check_kind(name, "a number")
        return _check_number(name, value)
    if isinstance(value, str):
        return _check_text(name, str(value))
    if isinstance(value, (list, tuple)):
        if name in KINDS and name != "invoice_numbers":
            raise ConfigurationError(f"{name} is not a list: to find any of several values, use is_in() or $in")
        return [_check_value(name, part) for part in value]
    return _check_plain(name, value)


def _check_kind(name: str, what: str) -> None:
    """Raise `ConfigurationError` if a documented field holds values of another kind."""
    kind = KINDS.get(name, what)
    if kind != what:
        raise ConfigurationError(f"{name} holds {kind}: comparing it with {what} matches nothing")


def _check_number(name: str, value: int | float | Decimal) -> int | float | Decimal:
    # JSON has no NaN, and MongoDB stores whole numbers in 64 bits.
    is_nan = value.is_nan() if isinstance(value, Decimal) else isinstance(value, float) and math.isnan(value)
    if is_nan or not -(2**63) <= value < 2**63:
        raise ConfigurationError(f"{name} cannot be compared with NaN or with a number of more than 64 bits")
    # The plain types: a subclass can have its own JSON form, or none.
    return Decimal(value) if isinstance(value, Decimal) else float(value) if isinstance(value, float) else int(value)


def _check_text(name: str, text: str) -> str:
    kind = KINDS.get(name)
    if kind == "an id":
        return check_id(text, what=name)
    moment = None
    with suppress(ValueError):
        moment = parse_date(text)
    if kind == "a date":
        if moment is None:
            raise ConfigurationError(
                f"{name} holds a date: compare it with an aware datetime, or with text in RFC 1123 form "
                "('Fri, 13 Jun 2025 08:00:00 GMT'); any other text matches nothing"
            )
        return format_date(moment)  # rewritten: with a wrong weekday the server finds no row
    _check_kind(name, "text")
    # Eve turns 24 hexadecimal digits into an ObjectId and RFC 1123 text into a date, whatever the field holds.
    if kind == "text" and (is_object_id(text) or is_like_a_date(text)):
        raise ConfigurationError(
            f"{name} holds text, but the API reads 24 hexadecimal digits as an id and RFC 1123 as a date: "
            "such a text cannot be found"
        )
    return check_text(text, what=name)


def _check_plain(name: str, value: object) -> Any:
    """Check a value to which no rule of a field applies: plain JSON, as for `$type`, `$mod` and `$size`."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return check_text(str(value), what=name)
    if isinstance(value, (int, float, Decimal)):
        return _check_number(name, value)
    if isinstance(value, (list, tuple)):
        return [_check_plain(name, part) for part in value]
    raise ConfigurationError(f"{name} cannot be compared with a {type(value).__name__}: it has no JSON representation")


def listed(values: object, *, what: str) -> list[Any]:
    """The values as a list; raises `ConfigurationError` for a text or mapping, which would be split into its parts."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise ConfigurationError(f"{what} needs a list, not a single value")
    return list(values)


def describe(document: object) -> str:
    """A filter as text, with each value as `…`."""
    if not isinstance(document, Mapping):
        return "…"
    return ", ".join(f"{name} {_describe_operand(value)}" for name, value in document.items())


def _describe_operand(value: object) -> str:
    if isinstance(value, Mapping):
        return f"({describe(value)})"
    if isinstance(value, list) and value and all(isinstance(part, Mapping) for part in value):
        return "[" + "; ".join(describe(part) for part in value) + "]"
    return "…"


def _join(names: Iterable[str]) -> str:
    return " ".join(sorted(names))
