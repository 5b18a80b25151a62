"""What a posted payment must hold, as a schema of Eve would say it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from .bson_values import ObjectId
from .dates import read_date, write_date
from .filters import cast_text

Issues: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRule:
    """What one field must hold. *read* turns a posted value into the stored one, or into None where it does not fit."""

    kind: str
    read: Callable[[Any], Any]
    required: bool = False
    readonly: bool = False
    allowed: tuple[str, ...] = ()


def _read_id(value: Any) -> Any:
    typed = cast_text(value) if isinstance(value, str) else None
    return str(typed) if isinstance(typed, ObjectId) else None


def _read_moment(value: Any) -> Any:
    moment = read_date(value) if isinstance(value, str) else None
    return write_date(moment) if moment else None


def _read_number(value: Any) -> Any:
    """A text that holds a number is taken for it, as Eve does."""
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_float=Decimal)
        except ValueError:
            return None
    return value if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else None


def _read_text(value: Any) -> Any:
    return value if isinstance(value, str) else None


_ID = FieldRule(kind="objectid", read=_read_id)
_TEXT = FieldRule(kind="string", read=_read_text)

RULES: Mapping[str, FieldRule] = {
    "_id": _ID,
    "account": _ID,  # read-only on the reference page, whose own example sends it and gets a 201
    "creditor": FieldRule(kind="objectid", read=_read_id, required=True),
    "case": _ID,
    "invoice_number": _TEXT,
    "currency": FieldRule(kind="string", read=_read_text, required=True, allowed=("SEK",)),
    "amount": FieldRule(kind="number", read=_read_number, required=True),
    "bank_transaction_date": FieldRule(kind="datetime", read=_read_moment, required=True),
    "client_registration_date": FieldRule(kind="datetime", read=_read_moment),
    "creditor_payment_reference": _TEXT,
    "file_import_report": FieldRule(kind="objectid", read=_read_id, readonly=True),
    "origin": FieldRule(kind="string", read=_read_text, required=True, allowed=("creditor_system",)),
}
_EITHER = ("case", "invoice_number")


def find_issues(posted: Mapping[str, Any]) -> Issues:
    """What is wrong with a posted payment: field -> one text, or a list of several."""
    found = {name: [*_own_issues(name, value), *_exclusion(name, posted)] for name, value in posted.items()}
    for name in _missing(posted):
        found[name] = ["required field"]
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in sorted(found.items()) if texts}


def as_stored(posted: Mapping[str, Any]) -> dict[str, Any]:
    """A payment without issues, its values in the form in which they are kept."""
    return {name: RULES[name].read(value) for name, value in posted.items()}


def _own_issues(name: str, value: Any) -> list[str]:
    rule = RULES.get(name)
    if rule is None:
        return ["unknown field"]
    if rule.readonly:
        return ["field is read-only"]
    if value is None or (rule.kind in ("datetime", "objectid") and value == ""):
        return ["null value not allowed"]
    if rule.read(value) is None:
        return [f"must be of {rule.kind} type"]
    return [f"unallowed value {value}"] if rule.allowed and value not in rule.allowed else []


def _exclusion(name: str, posted: Mapping[str, Any]) -> list[str]:
    if name not in _EITHER or not all(each in posted for each in _EITHER):
        return []
    other = _EITHER[1 - _EITHER.index(name)]
    return [f"'{other}' must not be present with '{name}'"]


def _missing(posted: Mapping[str, Any]) -> list[str]:
    required = [name for name, rule in RULES.items() if rule.required]
    if not any(name in posted and not _own_issues(name, posted[name]) for name in _EITHER):
        required += _EITHER  # one that does not fit does not make up for the other, as in Eve
    return [name for name in required if name not in posted]
