"""Which columns a file has, and what each holds: derived from the record type, or from the documented names.

Undocumented names, and values that may have any type, become text: a string unchanged, anything else as JSON.
"""

import typing
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAlias, Union

import msgspec
from msgspec import Struct, UnsetType

from amili_async.errors import ConfigurationError
from amili_async.models import Case, Creditor, CreditorPayment, Payout, PayoutSpecification, Timestamp
from amili_async.models.kinds import CATEGORICAL_FIELDS


class Scalar(StrEnum):
    """What a value without parts can be.

    A text is JSON where the API sent something else, and a category is one of a few texts.
    """

    TEXT = "text"
    CATEGORY = "category"
    MONEY = "money"
    TIMESTAMP = "timestamp"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    """Only a struct of the caller's can declare it."""


class ListOf(Struct, frozen=True):
    """A list."""

    of: "ColumnKind"
    """What is in it."""


class MapOf(Struct, frozen=True):
    """An object with any names."""

    of: "ColumnKind"
    """What its values are."""


class StructOf(Struct, frozen=True):
    """An object of known fields."""

    of: tuple[tuple[str, "ColumnKind"], ...]
    """The API's name of each, and what it is."""


ColumnKind: TypeAlias = Scalar | ListOf | MapOf | StructOf


_SCALARS: Mapping[Any, Scalar] = {
    str: Scalar.TEXT,
    Decimal: Scalar.MONEY,
    datetime: Scalar.TIMESTAMP,
    Timestamp: Scalar.TIMESTAMP,  # a type of its own at run time, a `datetime` to a type checker only
    bool: Scalar.BOOL,
    int: Scalar.INT,
    float: Scalar.FLOAT,
}


def fields_of(record: type[Any]) -> tuple[str, ...]:
    """The API's names of a record type's fields, in the order in which it declares them."""
    if not issubclass(record, Struct):
        raise ConfigurationError(
            "a table of records that are not structs requires fields: a dict does not define its columns"
        )
    return tuple(field.encode_name for field in msgspec.structs.fields(record))


@lru_cache(maxsize=64)
def find_columns(fields: tuple[str, ...] | None, record: Any) -> Mapping[str, ColumnKind]:
    """The columns of a table of *fields*, or of all that the record type has: each name, and what it holds."""
    if fields is None:
        fields = () if record is None else fields_of(record)
    known = (record,) if record is not None and issubclass(record, Struct) else ()
    # The first type that has the name decides: a caller's own declaration outranks the documented one.
    sources = [_hints(source) for source in (*known, Payout, PayoutSpecification, CreditorPayment, Creditor, Case)]
    return {name: _find_kind(name, sources) for name in fields}


def _find_kind(name: str, sources: Sequence[Mapping[str, Any]]) -> ColumnKind:
    first, *rest = name.split(".")
    for hints in sources:
        if first not in hints:
            continue
        type_ = hints[first]
        for part in rest:
            type_ = _enter(type_, part)
        kind = _read_kind(type_)
        return Scalar.CATEGORY if kind is Scalar.TEXT and name in CATEGORICAL_FIELDS else kind
    return Scalar.TEXT


def _enter(type_: Any, part: str) -> Any:
    """The type of a named value within an object."""
    type_ = _strip(type_)
    if isinstance(type_, type) and issubclass(type_, Struct):
        return _hints(type_).get(part, Any)
    return typing.get_args(type_)[1] if typing.get_origin(type_) is dict else Any


def _read_kind(type_: Any) -> ColumnKind:
    type_ = _strip(type_)
    if type_ in _SCALARS:
        return _SCALARS[type_]
    if isinstance(type_, type) and issubclass(type_, StrEnum):
        return Scalar.CATEGORY
    if isinstance(type_, type) and issubclass(type_, Struct):
        return StructOf(tuple((name, _read_kind(hint)) for name, hint in _hints(type_).items()))
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin in (list, tuple, set, frozenset):
        return ListOf(_read_kind(arguments[0]))
    return MapOf(_read_kind(arguments[1])) if origin is dict else Scalar.TEXT


def _strip(type_: Any) -> Any:
    """The type without `None`, `UNSET` and annotations; `Any` if several are left."""
    if typing.get_origin(type_) is Annotated:
        return _strip(typing.get_args(type_)[0])
    if typing.get_origin(type_) in (Union, UnionType):
        left = [part for part in typing.get_args(type_) if part not in (NoneType, UnsetType)]
        return _strip(left[0]) if len(left) == 1 else Any
    return type_


def _hints(record: type[Struct]) -> dict[str, Any]:
    """The API's name of each field to its type."""
    hints = typing.get_type_hints(record, include_extras=True)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(record)}
