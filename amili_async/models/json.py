"""A record back into the API's own JSON: its names, RFC 1123 dates, numbers with the digits that they came with."""

from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from amili_async.errors import UnreadableResponse
from amili_async.models.fields import format_date

T = TypeVar("T")


def decode_json(text: str | bytes, form: type[T]) -> T | None:
    """The value, or `None` where it is no JSON of that form; what is wrong with it would quote it."""
    with suppress(msgspec.MsgspecError, ValueError, RecursionError):
        return msgspec.json.decode(text, type=form)
    return None


_encoder = msgspec.json.Encoder(decimal_format="number")


def to_document(record: msgspec.Struct | dict[str, Any]) -> dict[str, Any]:
    """The document as the API would show it; absent fields stay absent, money is `Decimal`, dates are RFC 1123.

    `UnreadableResponse` for an untyped record that is nested more deeply than Python can follow.
    """
    with suppress(RecursionError):
        document: dict[str, Any] = _write_dates(msgspec.to_builtins(record, builtin_types=(datetime, Decimal)))
        return document
    raise UnreadableResponse("a record is nested too deeply to be written")


def encode(record: msgspec.Struct | dict[str, Any]) -> bytes:
    """The document as JSON bytes; `UnreadableResponse` as above."""
    return _encoder.encode(to_document(record))


def encode_json(value: Any) -> str:
    """Compact JSON in which a `Decimal` is a number."""
    return _encoder.encode(value).decode()


def _write_dates(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_date(value)
    if isinstance(value, dict):
        return {name: _write_dates(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_write_dates(part) for part in value]
    return value
