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
from typing import Annotated, Any, Generic, NewType, TypeVar, Union

import msgspec
import msgspec.inspect
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
    projection: tuple[str, ...] | None = None
    """The API's names of the fields that are requested; `None` for all."""
    alias: Any = None
    """The generic alias that the caller gave, of which *record* is the class; `None` for a plain type."""

    @property
    def converts(self) -> bool:
        """Whether decoded records have to be converted into the caller's type."""
        return self.wire is not (self.alias or self.record)

    def convert(self, decoded: Any) -> tuple[T, ...]:
        """Convert decoded records into the caller's; raises `msgspec.ValidationError` for one that does not fit."""
        record: Any = self.record
        names = tuple(zip(self.wire.__struct_encode_fields__, record.__struct_encode_fields__, strict=True))
        documents = msgspec.to_builtins(decoded, builtin_types=(datetime, Decimal))  # leaves out UNSET: absent fields
        renamed = [{theirs: row[ours] for ours, theirs in names if ours in row} for row in documents]
        target: Any = tuple.__class_getitem__((self.alias or record, ...))
        converted: tuple[T, ...] = msgspec.convert(renamed, target)
        return converted


def own_record_type(record: type[T]) -> RecordType[T]:
    """The record type of a record of ours, which JSON is decoded into as it is declared: nothing has to be resolved."""
    return RecordType(record=record, wire=record)


def record_type_of(record: Any, *, is_projected: bool = False, name: str = "into") -> RecordType[Any]:
    """The record type of a record of ours, a caller's struct (whose fields are the projection), or `dict`."""
    target = _behind_aliases(record)
    if target is dict or typing.get_origin(target) is dict:
        return RecordType(record=dict, wire=dict, projection=None)
    if not _is_struct(target):
        raise ConfigurationError(f"{name} must be a msgspec.Struct type or dict")
    return _record_type_of_struct(target, is_projected)


@lru_cache(maxsize=256)  # resolving the type hints of a struct costs as much CPU as decoding several pages
def _record_type_of_struct(target: Any, is_projected: bool) -> RecordType[Any]:  # noqa: FBT001
    record = typing.get_origin(target) or target
    try:
        wire = _wire_struct(target, {}, is_outermost=True)
        msgspec.json.Decoder(wire)
        msgspec.convert((), list[target])  # msgspec looks at a type when it is first used
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
    alias = None if record is target else target
    return RecordType(record=record, wire=wire, projection=names if is_projected else None, alias=alias)


def _behind_aliases(type_: Any) -> Any:
    """The type that `NewType` and `type X = …` give another name."""
    while True:
        named = typing.get_origin(type_) or type_
        if isinstance(named, NewType):
            type_ = named.__supertype__
        elif type(named).__name__ == "TypeAliasType":  # of `typing` in Python 3.12, or of typing_extensions
            arguments = typing.get_args(type_)
            type_ = named.__value__[arguments] if arguments else named.__value__
        else:
            return type_


def _is_struct(type_: Any) -> bool:
    named = typing.get_origin(type_) or type_
    return isinstance(named, type) and issubclass(named, Struct)


def _wire_struct(record: Any, seen: dict[Any, Any], *, is_outermost: bool = False) -> Any:
    """The struct that JSON can be decoded into, which is *record* itself if that is possible."""
    if record in seen:
        return seen[record]
    seen[record] = record  # a struct that refers to itself is decoded as it is declared
    struct = typing.get_origin(record) or record
    if struct.__struct_config__.array_like:
        raise TypeError(f"{struct.__name__} is declared with array_like=True, but the API sends objects")
    fields: list[Any] = []
    is_same = True
    for field in msgspec.structs.fields(record):
        # Only a document of the API has `_id`; an `id` inside a nested object is a field of that name.
        name = SHORT_NAMES.get(field.encode_name, field.encode_name) if is_outermost else field.encode_name
        type_ = _wire_type(field.type, seen)
        is_same &= name == field.encode_name and type_ is field.type
        if field.required:
            fields.append((field.name, type_, msgspec.field(name=name)))
        else:  # an absent field stays absent, so that the conversion puts the caller's default there
            fields.append((field.name, type_ | UnsetType, msgspec.field(name=name, default=UNSET)))
    if not is_same:
        seen[record] = msgspec.defstruct(struct.__name__, fields, frozen=True, gc=False, kw_only=True)
    return seen[record]


def _wire_type(declared: Any, seen: dict[Any, Any]) -> Any:
    """The type with `Timestamp` for each plain `datetime` and a wire struct for each struct; itself if unchanged.

    Raises `TypeError` for a type that no JSON of the API can be decoded into: the server would be blamed for it.
    """
    type_ = _behind_aliases(declared)
    if type_ is datetime:
        return Timestamp
    if type_ is date:
        raise TypeError("the API's dates have a time of day: make them datetime")
    if type_ is msgspec.Raw:
        raise TypeError("msgspec.Raw is JSON that is not decoded: use Any")
    if _is_struct(type_):
        wire: Any = _wire_struct(type_, seen)
        return declared if wire is type_ else wire
    if isinstance(type_, type) and not typing.get_args(type_):
        _check_class(type_, seen)
        return declared
    parts = typing.get_args(type_)
    if typing.get_origin(type_) is typing.Literal:
        return declared
    changed = tuple(part if part in (NoneType, ...) else _wire_type(part, seen) for part in parts)
    if all(new is old for new, old in zip(changed, parts, strict=True)):
        return declared
    if (origin := typing.get_origin(type_)) is Annotated:
        return changed[0]  # the constraints of the annotation are checked by the conversion
    return Union[changed] if origin in (Union, UnionType) else origin[changed]  # noqa: UP007 - built at run time


def _check_class(type_: type, seen: dict[Any, Any]) -> None:
    if type_ in seen or type_ is UnsetType:
        return
    seen[type_] = type_
    if isinstance(msgspec.inspect.type_info(type_), msgspec.inspect.CustomType):
        raise TypeError(f"{type_.__name__} has no representation in JSON: use Any, and convert the records yourself")
    # Dataclasses, TypedDict and NamedTuple are decoded by msgspec itself, to which Eve's dates are no dates.
    for part in typing.get_type_hints(type_).values() if hasattr(type_, "__annotations__") else ():
        if _wire_type(part, seen) is not part:
            raise TypeError(f"{type_.__name__} holds dates: make it a msgspec.Struct")
