"""Records as plain values under the API's names, one by one or as columns; a date is always a `datetime`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET
from msgspec.structs import astuple

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


def columns_of(records: Sequence[Any], names: Sequence[str]) -> list[list[Any]]:
    """The values of each field, dotted ones too; `None` where it is absent."""
    return [[None if value is UNSET else value for value in column] for column in spread(records, names)]


def spread(records: Sequence[Any], names: Sequence[str]) -> list[Sequence[Any]]:
    """The same, but what is absent may be UNSET as well."""
    types = set(map(type, records))
    record: Any = types.pop() if len(types) == 1 else dict
    if not issubclass(record, msgspec.Struct):
        documents = [as_document(one) for one in records]
        return [[pick(document, name) for document in documents] for name in names]
    places = _places_of(record)
    values = list(zip(*map(astuple, records), strict=True))
    columns: list[Sequence[Any]] = []
    for name in names:
        if name in places:
            columns.append(values[places[name]])
        else:
            columns.append([pick(as_document(one), name) if "." in name else None for one in records])
    return columns


def id_of(record: Any) -> str | None:
    """The record's `_id`, for an error that names it."""
    found = pick(as_document(record), "_id")
    return found if isinstance(found, str) else None


@lru_cache(maxsize=256)
def _places_of(record: Any) -> dict[str, int]:
    """The API's name of each field of a struct, and the place at which `astuple` has it."""
    return {name: place for place, name in enumerate(record.__struct_encode_fields__)}


def _read_date(value: Any) -> Any:
    try:
        return parse_date(value)
    except (TypeError, ValueError):
        return value
