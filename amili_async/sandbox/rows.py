"""One row: its document as the API writes it, its values as the database compares them, its bytes as they are sent."""

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec

from .bson_values import Held, ObjectId, hold
from .dates import read_date
from .errors import Broken, Refused, refuse_constant
from .filters import cast_text

Document: TypeAlias = dict[str, Any]
AUTOMATIC = ("_id", "_created", "_updated", "_etag")


class Projection(msgspec.Struct, frozen=True):
    """The fields to show, or those to hide. The automatic four are always shown."""

    shown: frozenset[str] | None = None
    hidden: frozenset[str] = frozenset()

    def apply(self, document: Document) -> Document:
        """The part of a document that is shown, its fields in their own order."""
        if self.shown is None:
            return {name: value for name, value in document.items() if name not in self.hidden}
        return _pick(document, self.shown.union(AUTOMATIC))


EVERYTHING = Projection()


def read_projection(text: str | None) -> Projection:
    """The projection in a parameter; Refused unless it is a JSON object.

    One that names any field with 1 shows what it names; any other hides what it names with 0. Hiding a part of a nested
    object does nothing.
    """
    if not text:
        return EVERYTHING
    try:
        asked = json.loads(text, parse_constant=refuse_constant)
    except ValueError as error:
        raise Refused(400) from error
    if not isinstance(asked, dict):
        raise Refused(400)
    named = {name: value for name, value in asked.items() if name.split(".")[0] not in AUTOMATIC}
    if 1 in asked.values():
        return Projection(shown=_without_collisions(name for name, value in named.items() if value))
    _without_collisions([*{name.split(".")[0] for name in named}, *(n for n in named if "." in n and named[n])])
    return Projection(hidden=frozenset(name for name, value in named.items() if not value and "." not in name))


def _without_collisions(names: Iterable[str]) -> frozenset[str]:
    """MongoDB refuses to show both a field and a part of it."""
    unique = frozenset(names)
    for name in unique:
        parts = name.split(".")
        if any(".".join(parts[:end]) in unique for end in range(1, len(parts))):
            raise Broken("path collision")
    return unique


def _pick(document: Document, names: Iterable[str]) -> Document:
    parts: dict[str, list[str]] = {}
    for name in names:
        first, _, rest = name.partition(".")
        parts.setdefault(first, []).append(rest)
    return {name: value for name, value in _picked(document, parts) if value is not _NOTHING}


_NOTHING = object()


def _picked(document: Document, parts: dict[str, list[str]]) -> Iterable[tuple[str, Any]]:
    for name, value in document.items():
        if name in parts:
            yield name, value if "" in parts[name] else _pick_inside(value, parts[name])


def _pick_inside(value: Any, names: list[str]) -> Any:
    if isinstance(value, dict):
        return _pick(value, names)
    if isinstance(value, list):
        return [part for part in (_pick_inside(each, names) for each in value) if part is not _NOTHING]
    return _NOTHING


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_IDS = frozenset({"_id", "creditor", "payout", "account", "case", "file_import_report"})
_HOLDERS_OF_IDS = frozenset({"references"})
_encoder = msgspec.json.Encoder(decimal_format="number")


class Row:
    """A stored document; never changed, only replaced."""

    __slots__ = ("_encodings", "_held", "document", "updated")

    def __init__(self, document: Document) -> None:
        self.document = document
        self.updated = _moment_of(document.get("_updated"))
        self._held: dict[str, Held | None] = {}
        self._encodings: dict[Projection, bytes] = {}

    def get(self, name: str) -> Held | None:
        """The value of a field, to match and sort by; None where it is missing."""
        try:
            return self._held[name]
        except KeyError:
            document = self.document
            held = self._held[name] = hold(_typed(name, document[name])) if name in document else None
            return held

    def encoded(self, projection: Projection = EVERYTHING) -> bytes:
        """The row as JSON; made once per projection. Broken where it holds a number that JSON cannot write."""
        encoded = self._encodings.get(projection)
        if encoded is None:
            if any(isinstance(value, float) and not math.isfinite(value) for value in self.document.values()):
                raise Broken("out of range float values are not JSON compliant")
            encoded = self._encodings[projection] = _encoder.encode(projection.apply(self.document))
        return encoded


def _moment_of(updated: object) -> datetime:
    """When a row was last changed; the epoch where it does not say, as in Eve."""
    return (read_date(updated) if isinstance(updated, str) else None) or EPOCH


def _typed(name: str, value: Any) -> Any:
    """The value as the database would hold it: some fields hold ids and dates, though all travel as text."""
    if isinstance(value, dict):
        return {each: _typed("_id" if name in _HOLDERS_OF_IDS else each, part) for each, part in value.items()}
    if isinstance(value, list):
        return [_typed(name, element) for element in value]
    if not isinstance(value, str):
        return value
    if name in _IDS:
        typed = cast_text(value)
        return typed if isinstance(typed, ObjectId) else value
    if name.endswith("_date") or name in ("_created", "_updated"):
        return read_date(value) or value
    return value
