"""One row: its document as the API writes it, its values as the database compares them, its bytes as they are sent."""

import math
from datetime import UTC, datetime
from typing import Any

import msgspec

from .bson_values import Held, ObjectId, hold
from .dates import read_date
from .errors import Broken
from .filters import cast_text
from .projections import EVERYTHING, Document, Projection

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
