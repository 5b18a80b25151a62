"""JSON of the API: encode records in its form, decode untrusted text without quoting it in an error."""

from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from amili_async.errors import ConfigurationError, UnreadableResponse
from amili_async.models.timestamps import format_date

T = TypeVar("T")

_encoder = msgspec.json.Encoder(decimal_format="number")


def decode_json(text: str | bytes, form: type[T]) -> T | None:
    """Decode untrusted JSON to a type, or `None`. Errors are swallowed because msgspec's messages quote the input."""
    with suppress(msgspec.MsgspecError, ValueError, RecursionError):
        return msgspec.json.decode(text, type=form)
    return None


class _Versioned(msgspec.Struct):
    version: int


def decode_versioned(text: str | bytes, form: type[T], *, version: int, name: str, what: str, remedy: str) -> T:
    """The value of a document that holds the `version` of its form; `ConfigurationError` if it is of another, or none.

    The error names the document *name*, reports that it is not *what*, and ends in *remedy*.
    """
    # The version first: a later form may lack fields of this one, which must not be reported as a damaged file.
    versioned = decode_json(text, _Versioned)
    if versioned is not None and versioned.version != version:
        raise ConfigurationError(
            f"{name} has version {versioned.version}, but this release reads version {version}: {remedy}"
        )
    value = decode_json(text, form)
    if value is None:
        raise ConfigurationError(f"{name} is not {what}: {remedy}")
    return value


def to_document(record: msgspec.Struct | dict[str, Any]) -> dict[str, Any]:
    """The document in the API's form: its names, money as `Decimal`, dates as RFC 1123.

    A record of this package is written without the fields that are `None`, whether they were absent or `null`; a
    `dict` keeps its `null`s, and a struct of the caller's is written as its own msgspec options define. Raises
    `UnreadableResponse` for a `dict` that is nested too deeply for Python's recursion limit.
    """
    with suppress(RecursionError):
        document: dict[str, Any] = _format_dates(msgspec.to_builtins(record, builtin_types=(datetime, Decimal)))
        return document
    raise UnreadableResponse("a record is nested too deeply to be encoded as JSON: leave the field out by a projection")


def encode(record: msgspec.Struct | dict[str, Any]) -> bytes:
    """The document of `to_document` as JSON; a `Decimal` becomes a number with all its digits."""
    return _encoder.encode(to_document(record))


def encode_json(value: Any) -> str:
    """Compact JSON in which a `Decimal` is a number."""
    return _encoder.encode(value).decode()


def _format_dates(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_date(value)
    if isinstance(value, dict):
        return {name: _format_dates(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_format_dates(part) for part in value]
    return value
