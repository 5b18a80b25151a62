"""The rows of the resources: selected and sorted for a list, and changed outside the API as other users change them."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cached_property, lru_cache
from random import Random
from typing import Any

import msgspec

from .answers import ServerCrash
from .bson_values import at_epoch, write_date
from .filters import compile_where, parse_where
from .paging import SortOrder, parse_sort, sort_key
from .rows import Document, StoredRow

_MAX_CACHED_SELECTIONS = 256
_SCALARS = frozenset({str, int, float, Decimal, bool, type(None)})


class Collection:
    """The rows of one resource in stored order. *load* returns those that the first request finds, by their ids.

    Invariant: a cached selection lives until the next change, so pages of an unchanged list cost one sort.
    """

    def __init__(self, load: Callable[[], Mapping[str, StoredRow]]) -> None:
        self._load = load
        self.select = lru_cache(_MAX_CACHED_SELECTIONS)(self._select)
        self._sorted = lru_cache(_MAX_CACHED_SELECTIONS)(self._sort)

    @cached_property
    def rows(self) -> dict[str, StoredRow]:
        """Every row by its id, in stored order."""
        return dict(self._load())

    def _select(self, where: str | None, sort: str | None) -> list[StoredRow]:
        """The rows of a list, by its parameters `where` and `sort`."""
        order = parse_sort(sort)
        condition = parse_where(where) if where else {}
        if not isinstance(condition, dict):
            raise ServerCrash("a filter must be an object")
        matches = compile_where(condition)
        rows = self._sorted(order)
        return [row for row in rows if matches(row)] if condition else rows

    def _sort(self, order: SortOrder) -> list[StoredRow]:
        rows = list(self.rows.values())
        for name, direction in reversed(order):  # a stable sort leaves ties in stored order
            rows.sort(key=sort_key(name, direction), reverse=direction < 0)
        return rows

    def put(self, document: Document) -> None:
        """Store a document, after all others or in the place of the one with its id."""
        self.rows[document["_id"]] = StoredRow(document)
        self._clear_caches()

    def remove(self, row_id: str) -> None:
        del self.rows[row_id]
        self._clear_caches()

    def _clear_caches(self) -> None:
        self.select.cache_clear()
        self._sorted.cache_clear()


class ObjectIdFactory:
    """Makes ids as MongoDB does: the second of creation, a fixed part, a counter. Later ids are larger."""

    def __init__(self, random: Random) -> None:
        self._fixed = random.getrandbits(40)
        self._count = random.getrandbits(16)

    def make(self, epoch_seconds: float) -> str:
        self._count = (self._count + 1) % 2**24
        return f"{int(epoch_seconds):08x}{self._fixed:010x}{self._count:06x}"


class RowWriter:
    """Reads and changes the rows of the given resources outside the API; a base class of the sandbox."""

    def __init__(self, collections: Mapping[str, Collection], ids: ObjectIdFactory, clock: Callable[[], float]) -> None:
        self._collections = collections
        self._ids = ids
        self._clock = clock

    def _make_id(self) -> str:
        return self._ids.make(self._clock())

    def rows(self, resource: str) -> list[Document]:
        """Copies of all rows as the API shows them, in stored order; numbers are int or Decimal."""
        return [as_json(row.document) for row in self._collections[resource].rows.values()]

    def insert(self, resource: str, document: Document) -> str:
        """Store a row after all others and return its id. Automatic fields are made unless they are given."""
        now, given = write_date(at_epoch(self._clock())), as_json(document)
        row = {"_id": given.get("_id") or self._make_id(), "_created": now, "_updated": now, "_etag": "", **given}
        if row["_id"] in self._collections[resource].rows:
            raise ValueError(f"{resource} already has a row with _id {row['_id']}; use update()")
        self._store(resource, row, given)
        return str(row["_id"])

    def update(self, resource: str, row_id: str, changes: Document) -> None:
        """Change fields of a row, which keeps its place, and its `_updated` and `_etag`. KeyError if there is none."""
        now, given = write_date(at_epoch(self._clock())), as_json(changes)
        row = {**self._collections[resource].rows[row_id].document, "_updated": now, **given, "_id": row_id}
        self._store(resource, row, given)

    def delete(self, resource: str, row_id: str) -> None:
        """Delete a row. KeyError if there is none."""
        self._collections[resource].remove(row_id)

    def _store(self, resource: str, row: Document, given: Document) -> None:
        self._collections[resource].put(row if "_etag" in given else {**row, "_etag": etag_of(row)})


def etag_of(document: Document) -> str:
    """The tag of this version of a document."""
    content = msgspec.json.encode({name: value for name, value in document.items() if name != "_etag"})
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def as_json(value: Any) -> Any:
    """A copy in which dates are text in the API's format."""
    if isinstance(value, datetime):
        return write_date(value)
    if isinstance(value, dict):
        return {name: each if type(each) in _SCALARS else as_json(each) for name, each in value.items()}
    return [as_json(each) for each in value] if isinstance(value, list | tuple) else value
