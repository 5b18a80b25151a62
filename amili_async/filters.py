"""A filter in the API's own JSON: checked, and combinable with others.

The law: a comparison that the server would answer with silence (no rows, no error) or with a 500 is refused, with a
`ConfigurationError` that names the field. No text made here shows a value that is being compared with.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias

from msgspec import Struct

from amili_async.errors import ConfigurationError
from amili_async.models.fields import KINDS, check_id, check_text, format_date, is_like_a_date, is_object_id, parse_date
from amili_async.models.record_type import SHORT_NAMES

_ORDERINGS = frozenset({"$gt", "$gte", "$lt", "$lte"})
_COMPARISONS = _ORDERINGS | {"$eq", "$ne"}
_LISTS = frozenset({"$in", "$nin", "$all"})
_OTHERS = frozenset({"$exists", "$not", "$size", "$type", "$mod", "$elemMatch"})
_COMBINATIONS = frozenset({"$and", "$or", "$nor"})
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*", re.ASCII)


class Condition(Struct, frozen=True):
    """A filter that can be combined with others by `&`, `|` and `~`."""

    document: Mapping[str, Any]
    """The filter in the API's own JSON, checked."""

    def __and__(self, other: "Condition | Mapping[str, Any]") -> "Condition":
        return _combine("$and", self, other)

    def __rand__(self, other: Mapping[str, Any]) -> "Condition":
        return _combine("$and", other, self)

    def __or__(self, other: "Condition | Mapping[str, Any]") -> "Condition":
        return _combine("$or", self, other)

    def __ror__(self, other: Mapping[str, Any]) -> "Condition":
        return _combine("$or", other, self)

    def __invert__(self) -> "Condition":
        return Condition({"$nor": [self.document]})

    def __bool__(self) -> bool:
        raise ConfigurationError(
            "a condition is neither true nor false: combine conditions with & | ~ (in parentheses), not and/or/not, "
            "and write a range as field(...).between(start, end)"
        )

    def __repr__(self) -> str:
        return f"Condition({describe(self.document)})"

    __rich_repr__ = None  # type: ignore[assignment]  # rich would show what repr hides


Where: TypeAlias = Condition | Mapping[str, Any] | None


def _combine(combination: str, *conditions: Condition | Mapping[str, Any]) -> Condition:
    parts: list[Any] = []
    for condition in conditions:
        if not isinstance(condition, (Condition, Mapping)):
            raise ConfigurationError("a condition can only be combined with another condition, or with a mapping")
        document = filter_document(condition)
        inner = document.get(combination) if len(document) == 1 else None
        parts += inner if isinstance(inner, list) else [document]
    return Condition({combination: parts})


def filter_document(where: Where) -> Mapping[str, Any]:
    """The checked filter as the API's JSON; empty for no filter."""
    if where is None:
        return {}
    if isinstance(where, Condition):
        where = where.document  # checked again: a caller can make a Condition without field(...)
    if not isinstance(where, Mapping):
        raise ConfigurationError("a filter is made with field(...) or is a mapping, such as {'creditor': '…'}")
    return check_where(where)


def check_name(name: object) -> str:
    """Return the API's name of a field; `ConfigurationError` for what cannot be one."""
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ConfigurationError("a field's name is letters, digits and underscores, with dots between parts")
    return SHORT_NAMES.get(name, str(name))


def check_where(where: Mapping[str, Any]) -> dict[str, Any]:
    """Check a filter in the API's JSON and bring its values into the form in which they match."""
    checked: dict[str, Any] = {}
    for key, value in where.items():
        if key in _COMBINATIONS:
            checked[key] = [check_where(part) for part in _alternatives(key, value)]
        elif isinstance(key, str) and key.startswith("$"):
            raise ConfigurationError(
                f"{_quote(key)} cannot stand at the top of a filter: only {_join(_COMBINATIONS)} can"
            )
        else:
            name = check_name(key)
            if name in checked:
                raise ConfigurationError(f"{name} stands twice in one filter: combine the two conditions with &")
            checked[name] = _check_operand(name, value)
    return checked


def _alternatives(combination: str, value: object) -> Sequence[Mapping[str, Any]]:
    if isinstance(value, (list, tuple)) and value and all(isinstance(part, (Mapping, Condition)) for part in value):
        return [part.document if isinstance(part, Condition) else part for part in value]
    raise ConfigurationError(f"{combination} needs a list of at least one filter")


def _check_operand(name: str, value: object) -> Any:
    """What a field is compared with: a value, or operators each with their own."""
    if not isinstance(value, Mapping):
        return _check_value(name, value)
    if not value:
        raise ConfigurationError(f"{name} is compared with an empty object, which matches nothing")
    return {operator: _check_operator(name, operator, part) for operator, part in value.items()}


def _check_operator(name: str, operator: object, value: object) -> Any:
    if operator in _ORDERINGS and (value is None or isinstance(value, (bool, list, tuple))):
        raise ConfigurationError(f"{name}: {operator} needs a date, a number or a text")
    if operator in _COMPARISONS:
        return _check_value(name, value)
    if operator in _LISTS:
        values = listed(value, what=f"{name}: {operator}")
        if any(part is None for part in values):
            raise ConfigurationError(f"{name}: the API cannot find null in a list; compare with None beside it")
        return [_check_value(name, part) for part in values]
    if operator not in _OTHERS:
        known = _join(_COMPARISONS | _LISTS | _OTHERS)
        raise ConfigurationError(f"{name}: {_quote(operator)} is no operator that the API knows: {known}")
    if operator in {"$not", "$elemMatch"}:
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{name}: {operator} needs operators, such as {{'$gt': 1}}")
        is_filter = operator == "$elemMatch" and value and not any(str(key).startswith("$") for key in value)
        return check_where(value) if is_filter else _check_operand(name, value)
    if operator == "$exists" and not isinstance(value, bool):
        raise ConfigurationError(f"{name}: $exists needs True or False")
    return _check_plain(name, value)


def _check_value(name: str, value: object) -> Any:
    """Bring one value into its wire form and refuse what could never match the field."""
    value = value.value if isinstance(value, Enum) else value
    if isinstance(value, bool):
        _refuse(name, "true or false")
        return value
    if isinstance(value, date):
        _refuse(name, "a date")
        return _write_date(name, value)
    if isinstance(value, (int, float, Decimal)):
        _refuse(name, "a number")
        return _check_number(name, value)
    if isinstance(value, str):
        return _check_text(name, str(value))
    if isinstance(value, (list, tuple)):
        if name in KINDS and name != "invoice_numbers":
            raise ConfigurationError(f"{name} holds no list: to find any of several values, use is_in() or $in")
        return [_check_value(name, part) for part in value]
    return _check_plain(name, value)


def _refuse(name: str, what: str) -> None:
    kind = KINDS.get(name, what)
    if kind != what:
        raise ConfigurationError(f"{name} holds {kind}: compared with {what} it matches nothing")


def _write_date(name: str, moment: date) -> str:
    try:
        return format_date(moment)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from None


def _check_number(name: str, value: int | float | Decimal) -> int | float | Decimal:
    is_nan = value.is_nan() if isinstance(value, Decimal) else isinstance(value, float) and math.isnan(value)
    if is_nan or not -(2**63) <= value < 2**63:
        raise ConfigurationError(f"{name} is compared with NaN, or with a number that is too large for the API")
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
        return format_date(moment)  # with the right weekday: the API knows no others
    _refuse(name, "text")
    if kind == "text" and (is_object_id(text) or is_like_a_date(text)):
        raise ConfigurationError(
            f"{name} holds text, but the API takes 24 hexadecimal digits for an id and RFC 1123 for a date: "
            "such a value cannot be found"
        )
    return check_text(text, what=name)


def _check_plain(name: str, value: object) -> Any:
    """Values that no rule of ours is about: plain JSON, for `$type`, `$mod` and `$size`."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return check_text(str(value), what=name)
    if isinstance(value, (int, float, Decimal)):
        return _check_number(name, value)
    if isinstance(value, (list, tuple)):
        return [_check_plain(name, part) for part in value]
    raise ConfigurationError(f"{name} is compared with a {type(value).__name__}, which has no form in the API's JSON")


def listed(values: object, *, what: str) -> list[Any]:
    """The values as a list; a single text or mapping is refused, since it was hardly meant as a list."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise ConfigurationError(f"{what} needs a list, not a single value")
    return list(values)


def describe(document: object) -> str:
    """A filter in words, each value as `…`."""
    if not isinstance(document, Mapping):
        return "…"
    return ", ".join(f"{name} {_describe_operand(value)}" for name, value in document.items())


def _describe_operand(value: object) -> str:
    if isinstance(value, Mapping):
        return f"({describe(value)})"
    if isinstance(value, list) and value and all(isinstance(part, Mapping) for part in value):
        return "[" + "; ".join(describe(part) for part in value) + "]"
    return "…"


def _quote(operator: object) -> str:
    return repr(operator) if isinstance(operator, str) and operator.startswith("$") else "a field"


def _join(names: Iterable[str]) -> str:
    return " ".join(sorted(names))
