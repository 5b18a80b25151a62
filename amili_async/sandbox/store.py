"""The rows of the three resources, found and put in order; every answer is remembered until a row changes."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any

import msgspec

from .dates import at_epoch, write_date
from .errors import Broken
from .filters import compile_where, read_where
from .object_ids import ObjectIdFactory
from .rows import Document, Row
from .sort import Order, read_sort, sort_key

_REMEMBERED = 256


class Collection:
    """One resource's rows, in the order in which they were stored. *load* is called by the first who needs them."""

    def __init__(self, load: Callable[[], Sequence[Document]]) -> None:
        self._load = load
        self._rows: dict[str, Row] | None = None
        self._orders: dict[Order, list[Row]] = {}
        self._selections: dict[tuple[str, str], Sequence[Row]] = {}

    @property
    def rows(self) -> dict[str, Row]:
        """Every row by its id, in stored order."""
        if self._rows is None:
            self._rows = {document["_id"]: Row(document) for document in self._load()}
        return self._rows

    def select(self, where: str | None, sort: str | None) -> Sequence[Row]:
        """The rows that a listing's parameters ask for, in their order."""
        asked = (where or "", sort or "")
        selection = self._selections.get(asked)
        if selection is None:
            if len(self._selections) >= _REMEMBERED:
                self._selections.clear()
            selection = self._selections[asked] = self._select(*asked)
        return selection

    def _select(self, where: str, sort: str) -> Sequence[Row]:
        order = read_sort(sort)
        condition = read_where(where) if where else {}
        if not isinstance(condition, dict):
            raise Broken("a filter is an object")
        matches = compile_where(condition)
        rows = self._ordered(order)
        return [row for row in rows if matches(row)] if condition else rows

    def _ordered(self, order: Order) -> list[Row]:
        """All rows in an order. Sorting is stable, so ties stay as they are stored."""
        ordered = self._orders.get(order)
        if ordered is None:
            ordered = list(self.rows.values())
            for name, direction in reversed(order):
                ordered.sort(key=sort_key(name, direction), reverse=direction < 0)
            self._orders[order] = ordered
        return ordered

    def put(self, document: Document) -> None:
        """Store a document, after all others or in the place of the one with its id."""
        self.rows[document["_id"]] = Row(document)
        self._forget()

    def remove(self, row_id: str) -> None:
        """Take a row out; KeyError where there is none."""
        del self.rows[row_id]
        self._forget()

    def _forget(self) -> None:
        self._orders.clear()
        self._selections.clear()


def etag_of(document: Document) -> str:
    """The tag that names this very version of a document."""
    content = msgspec.json.encode({name: value for name, value in document.items() if name != "_etag"})
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


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
