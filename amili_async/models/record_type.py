"""Record types: what JSON is decoded into, what the caller gets, and the projection that follows from it.

A caller's struct may use plain `datetime`, for which msgspec rejects RFC 1123, and the short names `id`, `created`,
`updated` and `etag`. Such a struct has a wire type: a generated struct that JSON can be decoded into, whose instances
are then converted. A struct that uses neither is decoded directly, and so are the records of this package.
"""

import typing
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, TypeVar, Union

import msgspec
from msgspec import UNSET, Struct, UnsetType

from amili_async.errors import ConfigurationError
from amili_async.models.timestamps import Timestamp

T = TypeVar("T")

SHORT_NAMES = {"id": "_id", "created": "_created", "updated": "_updated", "etag": "_etag"}
"""Python name to the API's, for the four fields that Eve adds."""


class RecordType(Struct, Generic[T], frozen=True, kw_only=True):
    """How records of one type are requested and decoded."""

    record: type[T]
    """What the caller gets."""
    wire: Any
    """What JSON is decoded into."""
    projection: tuple[str, ...] | None
    """The API's names of the fields that are requested; `None` for all."""

    @property
    def converts(self) -> bool:
        """Whether decoded records have to be converted into the caller's type."""
        return self.wire is not self.record

    def convert(self, decoded: Any) -> tuple[T, ...]:
        """Convert decoded records into the caller's; raises `msgspec.ValidationError` for one that does not fit."""
        record: Any = self.record
        names = tuple(zip(self.wire.__struct_encode_fields__, record.__struct_encode_fields__, strict=True))
        documents = msgspec.to_builtins(decoded, builtin_types=(datetime, Decimal))  # leaves out UNSET: absent fields
        renamed = [{theirs: row[ours] for ours, theirs in names if ours in row} for row in documents]
        return msgspec.convert(renamed, tuple[record, ...])


def record_type_of(record: Any, *, is_projected: bool = False) -> RecordType[Any]:
    """The record type of a record of ours, a caller's struct (whose fields are the projection), or `dict`."""
    if record is dict or typing.get_origin(record) is dict:
        return RecordType(record=dict, wire=dict, projection=None)
    if not (isinstance(record, type) and issubclass(record, Struct)):
        raise ConfigurationError("into must be a msgspec.Struct type or dict")
    return _record_type_of_struct(record, is_projected)


@lru_cache(maxsize=256)  # resolving the type hints of a struct costs as much CPU as decoding several pages
def _record_type_of_struct(record: type[Struct], is_projected: bool) -> RecordType[Any]:  # noqa: FBT001
    try:
        wire = _wire_struct(record, {}, is_outermost=True)
        msgspec.json.Decoder(wire)
    except (TypeError, ValueError, NameError) as error:
        raise ConfigurationError(f"{record.__name__} cannot be read from the API's JSON: {error}") from None
    names = tuple(field.encode_name for field in msgspec.structs.fields(wire))
    if not names:
        raise ConfigurationError(f"{record.__name__} has no fields: give it at least one, or use into=dict")
    # Eve adds these four to every document, whatever the projection.
    if record.__struct_config__.forbid_unknown_fields:
        raise ConfigurationError(
            f"{record.__name__} forbids unknown fields, but the API always sends _id, _created, _updated and _etag: "
            "declare it without forbid_unknown_fields"
        )
    return RecordType(record=record, wire=wire, projection=names if is_projected else None)


def _wire_struct(record: type[Struct], seen: dict[type, Any], *, is_outermost: bool = False) -> Any:
    """The struct that JSON can be decoded into, which is *record* itself if that is possible."""
    if record in seen:
        return seen[record]
    seen[record] = record  # a struct that refers to itself is decoded as it is declared
    hints = typing.get_type_hints(record, include_extras=True)
    fields: list[Any] = []
    is_same = True
    for field in msgspec.structs.fields(record):
        # Only a document of the API has `_id`; an `id` inside a nested object is a field of that name.
        name = SHORT_NAMES.get(field.encode_name, field.encode_name) if is_outermost else field.encode_name
        type_ = _wire_type(hints.get(field.name, field.type), seen)
        is_same &= name == field.encode_name and type_ is hints.get(field.name, field.type)
        if field.required:
            fields.append((field.name, type_, msgspec.field(name=name)))
        else:  # an absent field stays absent, so that the conversion puts the caller's default there
            fields.append((field.name, type_ | UnsetType, msgspec.field(name=name, default=UNSET)))
    if not is_same:
        seen[record] = msgspec.defstruct(record.__name__, fields, frozen=True, gc=False, kw_only=True)
    return seen[record]


def _wire_type(type_: Any, seen: dict[type, Any]) -> Any:
    """The type with `Timestamp` for each plain `datetime` and a wire struct for each struct; itself if unchanged."""
    if type_ is datetime:
        return Timestamp
    if type_ is date:
        raise TypeError("the API's dates have a time of day: make them datetime")
    if isinstance(type_, type) and not typing.get_args(type_) and issubclass(type_, Struct):
        return _wire_struct(type_, seen)
    parts = typing.get_args(type_)
    changed = tuple(part if part in (NoneType, ...) else _wire_type(part, seen) for part in parts)
    if all(new is old for new, old in zip(changed, parts, strict=True)):
        return type_
    if (origin := typing.get_origin(type_)) is Annotated:
        return changed[0]  # the constraints of the annotation are checked by the conversion
    return Union[changed] if origin in (Union, UnionType) else origin[changed]  # noqa: UP007 - built at run time
