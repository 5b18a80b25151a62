"""Records as plain values under the API's names, one by one or as columns; a date is always a `datetime`."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import UNSET
from msgspec.structs import astuple

from amili_async.errors import ExportFailed, UnreadableResponse
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


def to_columns(records: Sequence[Any], names: Sequence[str]) -> list[Sequence[Any]]:
    """The values of each field, dotted ones too; `None` where it is absent."""
    types = set(map(type, records))
    record: Any = types.pop() if len(types) == 1 else dict
    if not issubclass(record, msgspec.Struct):
        documents = [as_document(one) for one in records]
        return [[pick(document, name) for document in documents] for name in names]
    places, unset = _places_of(record), _unset_names_of(record)
    values = list(zip(*map(astuple, records), strict=True))
    columns: list[Sequence[Any]] = []
    for name in names:
        if name in unset:
            columns.append([None if value is UNSET else value for value in values[places[name]]])
        elif name in places:
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


@lru_cache(maxsize=256)
def _unset_names_of(record: Any) -> frozenset[str]:
    """The API's names of the fields that a caller's own struct leaves `UNSET` where they are absent."""
    return frozenset(field.encode_name for field in msgspec.structs.fields(record) if field.default is UNSET)


def _read_date(value: Any) -> Any:
    try:
        return parse_date(value)
    except (TypeError, ValueError):
        return value


class UnencodableValue(Exception):
    """A format cannot hold the value of a field."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")


_FAILURES = (UnencodableValue, TypeError, ValueError, OverflowError, RecursionError, UnreadableResponse)


class Encodes(Protocol):
    """What turns records into bytes; `UnencodableValue`, `TypeError` or `ValueError` where it cannot."""

    def encode(self, records: Sequence[Any]) -> bytes: ...


def encode(format: Encodes, records: Sequence[Any], *, path: Path) -> bytes:  # noqa: A002 - that is what it is
    """The bytes of all records, or `ExportFailed` that names the first one that does not fit."""
    with suppress(*_FAILURES):
        return format.encode(records)
    for record in records:
        _check_alone(format, record, path)
    raise ExportFailed(f"{path}: these records cannot be put into it together", path=path)


def _check_alone(format: Encodes, record: Any, path: Path) -> None:  # noqa: A002 - as above
    try:
        format.encode((record,))
    except _FAILURES as error:
        reason = f": {error}" if isinstance(error, UnencodableValue) else ""  # all others may quote the record
    else:
        return
    id = id_of(record)  # noqa: A001 - that is its name
    named = "a record" if id is None else f"record {id}"
    raise ExportFailed(f"{path}: {named} cannot be put into it{reason}", path=path, record_id=id)
