"""One row: its document, the values that filters and sorts compare, and its bytes under a projection."""

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeAlias

from msgspec import Struct

from .answers import HttpError, ServerCrash, answer_json, reject_constant
from .bson_values import BsonValue, ObjectId, cast_text, read_date, to_bson

Document: TypeAlias = dict[str, Any]
AUTOMATIC_FIELDS = ("_id", "_created", "_updated", "_etag")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ID_FIELDS = frozenset(
    ("_id", "creditor", "payout", "account", "case", "file_import_report", "partner", "customer", "case_registration")
)
_OBJECTS_OF_IDS = frozenset({"references"})
_ABSENT = object()


class RowProjection(Struct, frozen=True):
    """The fields to show, or those to hide. The automatic fields are always shown."""

    shown: frozenset[str] | None = None
    hidden: frozenset[str] = frozenset()

    def apply(self, document: Document) -> Document:
        """The part of a document that is shown, its fields in their own order."""
        if self.shown is None:
            return {name: value for name, value in document.items() if name not in self.hidden}
        return _pick(document, self.shown.union(AUTOMATIC_FIELDS))


def parse_projection(text: str | None) -> RowProjection:
    """The projection in a parameter; HttpError unless it is a JSON object."""
    if not text:
        return RowProjection()
    try:
        requested = json.loads(text, parse_constant=reject_constant)
    except ValueError as error:
        raise HttpError(400) from error
    if not isinstance(requested, dict):
        raise HttpError(400)
    named = {name: value for name, value in requested.items() if name.split(".")[0] not in AUTOMATIC_FIELDS}
    # Eve 2.3: one field with 1 makes it a projection of what is shown; any other hides the fields with 0.
    if 1 in requested.values():
        return RowProjection(shown=_without_collisions(name for name, value in named.items() if value))
    _without_collisions([*{name.split(".")[0] for name in named}, *(n for n in named if "." in n and named[n])])
    # Eve 2.3 ignores a 0 for a part of a nested object.
    return RowProjection(hidden=frozenset(name for name, value in named.items() if not value and "." not in name))


def _without_collisions(names: Iterable[str]) -> frozenset[str]:
    """The names; ServerCrash for a field together with a part of it, which MongoDB rejects."""
    unique = frozenset(names)
    for name in unique:
        parts = name.split(".")
        if any(".".join(parts[:end]) in unique for end in range(1, len(parts))):
            raise ServerCrash(f"path collision at {name}")
    return unique


def _pick(document: Document, names: Iterable[str]) -> Document:
    parts: dict[str, list[str]] = {}
    for name in names:
        first, _, rest = name.partition(".")
        parts.setdefault(first, []).append(rest)
    picked = (
        (name, value if "" in parts[name] else _pick_inside(value, parts[name]))
        for name, value in document.items()
        if name in parts
    )
    return {name: value for name, value in picked if value is not _ABSENT}


def _pick_inside(value: Any, names: list[str]) -> Any:
    if isinstance(value, dict):
        return _pick(value, names)
    if isinstance(value, list):
        return [part for part in (_pick_inside(each, names) for each in value) if part is not _ABSENT]
    return _ABSENT


class StoredRow:
    """A stored document; never changed, only replaced, so that its values and bytes can be cached."""

    __slots__ = ("_encodings", "_values", "document", "updated")

    def __init__(self, document: Document) -> None:
        self.document = document
        updated = document.get("_updated")
        # Where a row has no date it counts as changed at the epoch, as in Eve 2.3.
        self.updated = (read_date(updated) if isinstance(updated, str) else None) or EPOCH
        self._values: dict[str, BsonValue | None] = {}
        self._encodings: dict[RowProjection, bytes] = {}

    def get(self, name: str) -> BsonValue | None:
        """The value of a field, to match and sort by; None where it is missing."""
        if name not in self._values:
            self._values[name] = to_bson(_typed(name, self.document[name])) if name in self.document else None
        return self._values[name]

    def encoded(self, projection: RowProjection) -> bytes:
        """The row as JSON; ServerCrash where it holds NaN or an infinity."""
        encoded = self._encodings.get(projection)
        if encoded is None:
            # Eve 2.3 accepts such a number in a POST and fails only when it encodes the row for a list.
            if any(isinstance(value, float) and not math.isfinite(value) for value in self.document.values()):
                raise ServerCrash("out of range float values are not JSON compliant")
            encoded = self._encodings[projection] = answer_json(projection.apply(self.document))
        return encoded


def store_rows(documents: Iterable[Document]) -> dict[str, StoredRow]:
    """The stored rows by their ids, in the same order."""
    return {document["_id"]: StoredRow(document) for document in documents}


def _typed(name: str, value: Any) -> Any:
    """The value as the database holds it: some fields are ids and dates, though JSON has them as text."""
    if isinstance(value, dict):
        return {each: _typed("_id" if name in _OBJECTS_OF_IDS else each, part) for each, part in value.items()}
    if isinstance(value, list):
        return [_typed(name, element) for element in value]
    if not isinstance(value, str):
        return value
    if name in _ID_FIELDS:
        typed = cast_text(value)
        return typed if isinstance(typed, ObjectId) else value
    if name.endswith("_date") or name in ("_created", "_updated"):
        return read_date(value) or value
    return value
