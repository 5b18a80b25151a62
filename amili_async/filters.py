"""A filter in the API's own JSON: checked, and combinable with others.

The law: a comparison that the server would answer with silence (no rows, no error) or with a 500 is refused, with a
`ConfigurationError` that names the field. No text made here shows a value that is being compared with.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias

from msgspec import Struct

from amili_async.errors import ConfigurationError
from amili_async.models.fields import check_id, format_date, is_object_id, parse_date
from amili_async.models.shape import SHORT_NAMES

_COMPARISONS = frozenset({"$eq", "$ne", "$gt", "$gte", "$lt", "$lte"})
_LISTS = frozenset({"$in", "$nin", "$all"})
_OTHERS = frozenset({"$exists", "$not", "$size", "$type", "$mod", "$elemMatch"})
_COMBINATIONS = frozenset({"$and", "$or", "$nor"})
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*", re.ASCII)

_NAMES_OF_KIND = {
    "an id": "_id creditor payout account case references.case references.debt_collection references.enforcement",
    "a date": "_created _updated payout_date booking_date state_date bank_transaction_date client_registration_date "
    "finance_period_start_date finance_period_end_date",
    "a number": "amount vat_amount total_amount settled_amount finance_period_day",
    "text": "_etag currency payout_reference finance_category finance_interval creditor_name article state "
    "payout_interval reference_number invoice_number invoice_numbers origin status status_reason_locale "
    "creditor_payment_reference case_invoice_number case_reference_number",
}
KINDS = {name: kind for kind, names in _NAMES_OF_KIND.items() for name in names.split()}
"""What the documented fields hold; a value of another kind matches nothing, and the API does not say so."""


class Condition(Struct, frozen=True):
    """A filter that can be combined with others by `&`, `|` and `~`."""

    document: Mapping[str, Any]
    """The filter in the API's own JSON, checked."""

    def __and__(self, other: "Condition") -> "Condition":
        return Condition({"$and": [*_parts(self, "$and"), *_parts(other, "$and")]})

    def __or__(self, other: "Condition") -> "Condition":
        return Condition({"$or": [*_parts(self, "$or"), *_parts(other, "$or")]})

    def __invert__(self) -> "Condition":
        return Condition({"$nor": [self.document]})

    def __bool__(self) -> bool:
        raise ConfigurationError(
            "a condition is neither true nor false: combine conditions with & | ~ (in parentheses), not and/or/not, "
            "and write a range as field(...).between(start, end)"
        )

    def __repr__(self) -> str:
        return f"Condition({describe(self.document)})"


Where: TypeAlias = Condition | Mapping[str, Any] | None


def _parts(condition: object, combination: str) -> list[Any]:
    if not isinstance(condition, Condition):
        raise ConfigurationError("a condition can only be combined with another condition")
    parts = condition.document.get(combination) if len(condition.document) == 1 else None
    return list(parts) if parts is not None else [condition.document]


def filter_document(where: Where) -> Mapping[str, Any]:
    """The checked filter as the API's JSON; empty for no filter."""
    if where is None:
        return {}
    if isinstance(where, Condition):
        return where.document
    if not isinstance(where, Mapping):
        raise ConfigurationError("a filter is made with field(...) or is a mapping, such as {'creditor': '…'}")
    return check_where(where)


def check_name(name: object) -> str:
    """Return the API's name of a field; `ConfigurationError` for what cannot be one."""
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ConfigurationError("a field's name is letters, digits and underscores, with dots between parts")
    return SHORT_NAMES.get(name, name)


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
    if operator in _COMPARISONS:
        return _check_value(name, value)
    if operator in _LISTS:
        return [_check_value(name, part) for part in listed(value)]
    if operator not in _OTHERS:
        known = _join(_COMPARISONS | _LISTS | _OTHERS)
        raise ConfigurationError(f"{name}: {_quote(operator)} is no operator that the API knows: {known}")
    if operator in {"$not", "$elemMatch"}:
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{name}: {operator} needs operators, such as {{'$gt': 1}}")
        return check_where(value) if _holds_fields(value) else _check_operand(name, value)
    if operator == "$exists" and not isinstance(value, bool):
        raise ConfigurationError(f"{name}: $exists needs True or False")
    return _check_plain(name, value)


def _holds_fields(value: Mapping[Any, Any]) -> bool:
    return bool(value) and not any(isinstance(key, str) and key.startswith("$") for key in value)


def _check_value(name: str, value: object) -> Any:
    """Bring one value into its wire form and refuse what could never match the field."""
    value = value.value if isinstance(value, Enum) else value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, date):
        _refuse(name, "a date", "an id", "a number", "text")
        return format_date(value)
    if isinstance(value, (int, float, Decimal)):
        _refuse(name, "a number", "an id", "a date", "text")
        return _check_number(name, value)
    if isinstance(value, str):
        return _check_text(name, value)
    return _check_plain(name, value)


def _refuse(name: str, what: str, *unfit: str) -> None:
    kind = KINDS.get(name)
    if kind in unfit:
        raise ConfigurationError(f"{name} holds {kind}: compared with {what} it matches nothing")


def _check_number(name: str, value: int | float | Decimal) -> int | float | Decimal:
    if isinstance(value, int):
        return value
    if not (value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)):
        raise ConfigurationError(f"{name} is compared with NaN or an infinite number, which JSON does not have")
    return value


def _check_text(name: str, text: str) -> str:
    if KINDS.get(name) == "an id":
        return check_id(text, what=name)
    _refuse(name, "text", "a number")
    if KINDS.get(name) == "text" and is_object_id(text):
        raise ConfigurationError(
            f"{name} holds text, but the API takes 24 hexadecimal digits for an id: such a value cannot be found"
        )
    if KINDS.get(name) == "a date":
        try:
            parse_date(text)
        except ValueError:
            raise ConfigurationError(
                f"{name} holds a date: compare it with an aware datetime, or with text in RFC 1123 form "
                "('Fri, 13 Jun 2025 08:00:00 GMT'); any other text matches nothing"
            ) from None
    return text


def _check_plain(name: str, value: object) -> Any:
    """Values that no rule of ours is about: lists and objects of plain JSON, for `$type`, `$mod`, whole arrays."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float, Decimal)):
        return _check_number(name, value)
    if isinstance(value, (list, tuple)):
        return [_check_value(name, part) for part in value]
    raise ConfigurationError(f"{name} is compared with a {type(value).__name__}, which has no form in the API's JSON")


def listed(values: object) -> list[Any]:
    """The values as a list; a single text or mapping is refused, since it was hardly meant as a list."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise ConfigurationError("a list of values is needed, not a single one")
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
