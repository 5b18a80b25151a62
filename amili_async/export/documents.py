"""A record as plain values under the API's names, with dates as `datetime` whatever the record is."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from amili_async.models import parse_date
from amili_async.models.kinds import KINDS


def as_document(record: Any) -> dict[str, Any]:
    """Absent fields stay absent, money stays `Decimal`; a dict keeps every field and its documented dates are read."""
    if isinstance(record, Mapping):
        return {name: _read_date(value) if KINDS.get(name) == "a date" else value for name, value in record.items()}
    document: dict[str, Any] = msgspec.to_builtins(record, builtin_types=(datetime, Decimal))
    return document


def pick(document: Mapping[str, Any], name: str) -> Any:
    """The value of a field, dotted ones too; `None` where it is absent."""
    value: Any = document
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _read_date(value: Any) -> Any:
    try:
        return parse_date(value)
    except (TypeError, ValueError):
        return value
