"""The rows of the resources: selected and sorted for a list, and changed outside the API as other users change them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any

import msgspec

from .dates import at_epoch, write_date
from .errors import ServerCrash
from .filters import compile_where, parse_where
from .object_ids import ObjectIdFactory
from .rows import Document, StoredRow
from .sort import SortOrder, parse_sort, sort_key

_MAX_CACHED_SELECTIONS = 256


class Collection:
    """The rows of one resource in stored order. *load* makes them for the first request.

    Invariant: a cached selection lives until the next change, so pages of an unchanged list cost one sort.
    """

    def __init__(self, load: Callable[[], Sequence[Document]]) -> None:
        self._load = load
        self._rows: dict[str, StoredRow] | None = None
        self._orders: dict[SortOrder, list[StoredRow]] = {}
        self._selections: dict[tuple[str, str], Sequence[StoredRow]] = {}

    @property
    def rows(self) -> dict[str, StoredRow]:
        """Every row by its id, in stored order."""
        if self._rows is None:
            self._rows = {document["_id"]: StoredRow(document) for document in self._load()}
        return self._rows

    def select(self, where: str | None, sort: str | None) -> Sequence[StoredRow]:
        """The rows of a list, by its parameters `where` and `sort`."""
        parameters = (where or "", sort or "")
        selection = self._selections.get(parameters)
        if selection is None:
            if len(self._selections) >= _MAX_CACHED_SELECTIONS:
                self._selections.clear()
            selection = self._selections[parameters] = self._select(*parameters)
        return selection

    def _select(self, where: str, sort: str) -> Sequence[StoredRow]:
        order = parse_sort(sort)
        condition = parse_where(where) if where else {}
        if not isinstance(condition, dict):
            raise ServerCrash("a filter must be an object")
        matches = compile_where(condition)
        rows = self._sorted(order)
        return [row for row in rows if matches(row)] if condition else rows

    def _sorted(self, order: SortOrder) -> list[StoredRow]:
        rows = self._orders.get(order)
        if rows is None:
            rows = list(self.rows.values())
            for name, direction in reversed(order):  # a stable sort leaves ties in stored order
                rows.sort(key=sort_key(name, direction), reverse=direction < 0)
            self._orders[order] = rows
        return rows

    def put(self, document: Document) -> None:
        """Store a document, after all others or in the place of the one with its id."""
        self.rows[document["_id"]] = StoredRow(document)
        self._clear_caches()

    def remove(self, row_id: str) -> None:
        """Delete a row; KeyError where there is none."""
        del self.rows[row_id]
        self._clear_caches()

    def _clear_caches(self) -> None:
        self._orders.clear()
        self._selections.clear()


class RowWriter:
    """Inserts, updates and deletes rows of the given resources outside the API."""

    def __init__(self, collections: Mapping[str, Collection], ids: ObjectIdFactory, clock: Callable[[], float]) -> None:
        self._collections = collections
        self._ids = ids
        self._clock = clock

    def make_id(self) -> str:
        """An id created now."""
        return self._ids.make(self._clock())

    def rows(self, resource: str) -> list[Document]:
        """Copies of all rows in stored order."""
        return [deepcopy(row.document) for row in self._collections[resource].rows.values()]

    def insert(self, resource: str, document: Document) -> str:
        """Store a document; `_id`, `_created`, `_updated` and `_etag` are made unless they are given."""
        now = write_date(at_epoch(self._clock()))
        given = _as_json(document)
        row = {"_id": given.get("_id") or self.make_id(), "_created": now, "_updated": now, "_etag": "", **given}
        if row["_id"] in self._collections[resource].rows:
            raise ValueError(f"{resource} already has a row with _id {row['_id']}; use update()")
        self._store(resource, row, given)
        return str(row["_id"])

    def update(self, resource: str, row_id: str, changes: Document) -> None:
        """Change fields of a row in its place."""
        now = write_date(at_epoch(self._clock()))
        given = _as_json(changes)
        row = {**self._collections[resource].rows[row_id].document, "_updated": now, **given, "_id": row_id}
        self._store(resource, row, given)

    def delete(self, resource: str, row_id: str) -> None:
        """Delete a row; KeyError where there is none."""
        self._collections[resource].remove(row_id)

    def _store(self, resource: str, row: Document, given: Document) -> None:
        self._collections[resource].put(row if "_etag" in given else {**row, "_etag": etag_of(row)})


def etag_of(document: Document) -> str:
    """The tag of this version of a document."""
    content = msgspec.json.encode({name: value for name, value in document.items() if name != "_etag"})
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def _as_json(document: Document) -> Document:
    """A copy in which dates are text in the API's format."""
    return {name: _value_as_json(value) for name, value in document.items()}


def _value_as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return write_date(value)
    if isinstance(value, dict):
        return _as_json(value)
    return [_value_as_json(each) for each in value] if isinstance(value, list | tuple) else value
