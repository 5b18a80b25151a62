"""Records as plain values under the API's names: one by one as documents, or together as columns.

A date is a `datetime` in either form, also where a dict holds it in the API's own text.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET
from msgspec.structs import astuple

from amili_async.models import parse_date
from amili_async.models.kinds import KINDS

# JSON allows them within a string, but readers such as Python's str.splitlines and JavaScript take them for line ends.
_LINE_SEPARATORS = [(mark.encode(), f"\\u{ord(mark):04x}".encode()) for mark in "\x85\u2028\u2029"]
_encoder = msgspec.json.Encoder(decimal_format="number")


class UnencodableValue(Exception):
    """A format cannot hold the value of a field; the text names the field and never quotes the value."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")


def as_document(record: Any) -> dict[str, Any]:
    """The record as a dict of `Decimal`s and `datetime`s; a dict keeps its fields, documented dates are parsed."""
    if isinstance(record, Mapping):
        return {name: _parse_date(value) if KINDS.get(name) == "a date" else value for name, value in record.items()}
    document: dict[str, Any] = msgspec.to_builtins(record, builtin_types=(datetime, Decimal))
    return document


def _parse_date(value: Any) -> Any:
    # What is no date stays unchanged: only a format with types of its own rejects it.
    try:
        return parse_date(value)
    except (TypeError, ValueError):
        return value


def encode_lines(values: Iterable[Any]) -> bytes:
    """JSON, a line for each value: a `Decimal` is a number with all its digits, a `datetime` ISO 8601."""
    lines = _encoder.encode_lines(values)
    for separator, escape in _LINE_SEPARATORS:
        # Almost no page has its first byte, and a search for one byte takes a hundredth of the time.
        if separator[:1] in lines:
            lines = lines.replace(separator, escape)
    return lines


def pick(document: Mapping[str, Any], name: str) -> Any:
    """The value of a field, dotted ones too; `None` where it is absent."""
    value: Any = document
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def to_columns(records: Sequence[Any], names: Sequence[str]) -> list[Sequence[Any]]:
    """The values of each field, dotted ones too; `None` where it is absent."""
    types = set(map(type, records))
    record: Any = types.pop() if len(types) == 1 else dict
    if not issubclass(record, msgspec.Struct):
        documents = [as_document(one) for one in records]
        return [[pick(document, name) for document in documents] for name in names]
    positions, unset = _positions_of(record), _unset_names_of(record)
    # Both `astuple` and `zip` run in C: looking up each field of each record takes several times as long.
    values = list(zip(*map(astuple, records), strict=True))
    columns: list[Sequence[Any]] = []
    for name in names:
        if name in unset:
            columns.append([None if value is UNSET else value for value in values[positions[name]]])
        elif name in positions:
            columns.append(values[positions[name]])
        else:
            columns.append([pick(as_document(one), name) if "." in name else None for one in records])
    return columns


@lru_cache(maxsize=256)
def _positions_of(record: Any) -> dict[str, int]:
    """The API's name of each field of a struct, and its position in `astuple`."""
    return {name: position for position, name in enumerate(record.__struct_encode_fields__)}


@lru_cache(maxsize=256)
def _unset_names_of(record: Any) -> frozenset[str]:
    """The API's names of the fields that a caller's own struct leaves `UNSET` where they are absent."""
    return frozenset(field.encode_name for field in msgspec.structs.fields(record) if field.default is UNSET)
