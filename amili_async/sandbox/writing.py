"""Changes to the rows that do not come over the API: what somebody else does while a client is paging."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import datetime
from typing import Any

from .dates import at_epoch, write_date
from .object_ids import ObjectIdFactory
from .projections import Document
from .store import Collection, etag_of


class Writer:
    """Inserts, changes and deletes rows of the given resources, at once."""

    def __init__(
        self, collections: Mapping[str, Collection], mint: ObjectIdFactory, clock: Callable[[], float]
    ) -> None:
        self._collections = collections
        self._mint = mint
        self._clock = clock

    def make_id(self) -> str:
        """An id created now."""
        return self._mint.make(self._clock())

    def rows(self, resource: str) -> list[Document]:
        """Copies of all rows in stored order."""
        return [deepcopy(row.document) for row in self._collections[resource].rows.values()]

    def insert(self, resource: str, document: Document) -> str:
        """Store a document; `_id`, `_created`, `_updated` and `_etag` are made unless they are given."""
        now = write_date(at_epoch(self._clock()))
        given = _as_json(document)
        row = {"_id": given.get("_id") or self.make_id(), "_created": now, "_updated": now, "_etag": "", **given}
        if row["_id"] in self._collections[resource].rows:
            raise ValueError(f"{resource} holds a row {row['_id']} already")
        self._store(resource, row, given)
        return str(row["_id"])

    def update(self, resource: str, row_id: str, changes: Document) -> None:
        """Change fields of a row in its place."""
        now = write_date(at_epoch(self._clock()))
        given = _as_json(changes)
        row = {**self._collections[resource].rows[row_id].document, "_updated": now, **given, "_id": row_id}
        self._store(resource, row, given)

    def delete(self, resource: str, row_id: str) -> None:
        """Take a row out."""
        self._collections[resource].remove(row_id)

    def _store(self, resource: str, row: Document, given: Document) -> None:
        self._collections[resource].put(row if "_etag" in given else {**row, "_etag": etag_of(row)})


def _as_json(document: Document) -> Document:
    """A copy in which moments are written as the API writes them."""
    return {name: _value_as_json(value) for name, value in document.items()}


def _value_as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return write_date(value)
    if isinstance(value, dict):
        return _as_json(value)
    return [_value_as_json(each) for each in value] if isinstance(value, list | tuple) else value
