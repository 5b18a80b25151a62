"""Records that travel: to JSON and dicts, back again, and through pydantic.

There are two forms, both under the API's names. In the API's own a date is RFC 1123 and money a number. In ISO form a
date is ISO 8601 and money a text, as msgspec, Litestar and pydantic write them. Both are exact, and either is read.
"""

import re
import typing
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, Self, TypeVar

import msgspec
from msgspec import Struct

from amili_async._wire.frames import hide_variables
from amili_async.errors import ConfigurationError
from amili_async.models.json import encode_json, to_document
from amili_async.models.record_type import record_type_of
from amili_async.models.timestamps import Timestamp, parse_date

_ISO = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})"

_SAFE_REASON = r"(Expected |Object missing required field|Invalid decimal string|JSON is malformed)"

P = TypeVar("P", bound="Portable")


class Portable(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """Base of everything that travels. Fields that are `None` are left out, and unknown ones are dropped."""

    def to_dict(self, form: Literal["api", "iso"] = "api") -> dict[str, Any]:
        """The document: with money as `Decimal` and RFC 1123 dates, or in ISO form, with texts for both.

        Numbers within the objects whose contents the API does not document stay numbers in both forms. Raises
        `ConfigurationError` for a date that the API's form cannot express: a fraction of a second.
        """
        if form == "api":
            return to_document(self)
        if form != "iso":
            raise ConfigurationError("form must be 'api' or 'iso'")
        document: dict[str, Any] = msgspec.to_builtins(self)
        exact = msgspec.to_builtins(self, builtin_types=(datetime, Decimal))
        return document | {name: exact[name] for name in _open_fields(type(self)) if name in exact}

    def to_json(self, form: Literal["api", "iso"] = "api") -> str:
        """The document of `to_dict` as JSON, numbers with all their digits."""
        return encode_json(self.to_dict(form))

    def _repr_html_(self) -> str:
        from amili_async.notebooks import html_fields, named_values

        return html_fields(type(self).__name__, named_values(self))

    @classmethod
    @hide_variables
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The record of a document in either form, or with `datetime`s, as msgpack has them.

        Raises `ConfigurationError`, which names the field and not its value, for what is no such record.
        """

        def read(wire: Any) -> Any:
            given = dict(document)
            given |= {name: _with_decimals(given[name]) for name in _open_fields(cls) if name in given}
            return msgspec.convert(given, wire, dec_hook=decode_date)

        return _read(cls, read)

    @classmethod
    @hide_variables
    def from_json(cls, text: str | bytes) -> Self:
        """The record of a JSON document in either form; raises as `from_dict` does."""
        return _read(cls, lambda wire: _decoder_of(wire).decode(text))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            lambda value: _validate(cls, value),
            ref=f"{cls.__module__}.{cls.__qualname__}:{id(cls)}",
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda record: _with_floats(record.to_dict("iso")), when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return json_schema(cls)


def json_schema(record: type[Portable]) -> dict[str, Any]:
    """The JSON schema of the ISO form, without references."""
    _, schemas = msgspec.json.schema_components((record,))
    for field in msgspec.structs.fields(record):
        if not {Timestamp, datetime}.isdisjoint((field.type, *typing.get_args(field.type))):  # msgspec has no format
            property_ = schemas[record.__name__]["properties"][field.encode_name]
            for branch in property_.get("anyOf", (property_,)):
                branch.update({"format": "date-time"} if branch["type"] == "string" else {})
    whole: dict[str, Any] = _inline(schemas[record.__name__], schemas)
    return whole


def _inline(schema: Any, schemas: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inline(part, schemas) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inline(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    return {name: _inline(part, schemas) for name, part in schema.items()}


def _read(record: type[P], read: Callable[[Any], Any]) -> P:
    """Decode into the wire type and convert; msgspec's own errors are dropped, since they may quote a value."""
    record_type = record_type_of(record)
    try:
        decoded = read(record_type.wire)
        converted: P = record_type.convert((decoded,))[0] if record_type.converts else decoded
    except (msgspec.MsgspecError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        reason, place = str(error), re.search(r" - at `\$(?:\[0\])?\.?([^`]*)`$", str(error))
    else:
        return converted
    at = f" at {place[1]}" if place and place[1] else ""
    reason = reason[: place.start()] if place else reason
    if not re.match(_SAFE_REASON, reason):
        reason = "a value does not fit its type"
    raise ConfigurationError(f"this is no {record.__name__}{at}: {reason}")


@lru_cache(maxsize=64)
def _decoder_of(wire: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(wire, dec_hook=decode_date, float_hook=Decimal)


@lru_cache(maxsize=64)
def _open_fields(record: type[Portable]) -> tuple[str, ...]:
    """The API's names of the fields that can hold values of any type."""
    return tuple(field.encode_name for field in msgspec.structs.fields(record) if _has_any(field.type))


def _with_decimals(value: Any) -> Any:
    """A value of an open field as JSON decodes it: with each float as the `Decimal` that it prints as."""
    if isinstance(value, dict):
        return {name: _with_decimals(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_decimals(part) for part in value]
    return Decimal(repr(value)) if type(value) is float else value


def _with_floats(value: Any) -> Any:
    """The reverse, for pydantic, which writes a `Decimal` as a text; a number that no float prints as stays one."""
    if isinstance(value, dict):
        return {name: _with_floats(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_floats(part) for part in value]
    if isinstance(value, Decimal) and value.is_finite() and Decimal(repr(float(value))) == value:
        return float(value)
    return value


def _has_any(type_: Any) -> bool:
    return type_ is Any or any(map(_has_any, typing.get_args(type_)))


def decode_date(_: Any, value: Any) -> datetime:
    """A date in either form; for msgspec, to which `Timestamp` is an unknown type."""
    moment = value if isinstance(value, datetime) else None
    if isinstance(value, str):
        with suppress(ValueError):  # its text quotes the value
            moment = datetime.fromisoformat(value) if re.fullmatch(_ISO, value) else parse_date(value)
    if moment is None or moment.utcoffset() is None:
        raise ValueError("Expected a date such as 2025-06-13T08:00:00Z or Fri, 13 Jun 2025 08:00:00 GMT")
    return moment.astimezone(UTC)


def _validate(record: type[P], value: Any) -> P:
    """For pydantic, which turns a `ValueError` into its own error, and nothing else."""
    if isinstance(value, record):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"{record.__name__} is read from an object")
    try:
        return record.from_dict(value)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
