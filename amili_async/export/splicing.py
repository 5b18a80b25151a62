"""Rows of Arrow tables merged into those of an older file; `merging` does the same with rows of text."""

from collections.abc import Iterator
from typing import Any

from amili_async.export.arrays import load_arrow


def splice(old: Iterator[Any], new: Iterator[Any], *, gone: frozenset[str]) -> Iterator[Any]:
    """Both sequences of tables ascend by `_id`, and so does what comes out, without the rows that are *gone*.

    A new row takes the place of an old one.
    """
    pa = load_arrow()
    fresh, lost = _Fresh(new), pa.array(sorted(gone), pa.string())
    last = ""
    for table in old:
        last = _check_ascending(table["_id"], after=last)
        newer = fresh.take_until(last)
        if newer is not None:
            table = pa.concat_tables([_leave_out(table, newer["_id"]), newer]).sort_by("_id")
        yield _leave_out(table, lost)
    while (rest := fresh.take()) is not None:
        yield _leave_out(rest, lost)


class _Fresh:
    """Tables that ascend by id, taken from bit by bit."""

    def __init__(self, tables: Iterator[Any]) -> None:
        self._tables = tables
        self._left: Any = None

    def take(self) -> Any:
        """The next rows; `None` where there are no more."""
        taken, self._left = self._left, None
        return next(self._tables, None) if taken is None else taken

    def take_until(self, last: str) -> Any:
        """All rows up to an id; `None` where there are none."""
        taken = []
        while (table := self.take()) is not None:
            ids = table["_id"].to_pylist()
            count = sum(id <= last for id in ids)  # noqa: A001 - that is its name
            if count:
                taken.append(table.slice(0, count))
            if count < len(ids):
                self._left = table.slice(count)
                break
        return load_arrow().concat_tables(taken) if taken else None


def _check_ascending(ids: Any, *, after: str) -> str:
    """The last of the ids; `ValueError` where they do not ascend."""
    from pyarrow import compute

    if ids[0].as_py() <= after or compute.any(compute.greater_equal(ids[:-1], ids[1:])).as_py():
        raise ValueError("the rows do not ascend by _id")
    return str(ids[-1].as_py())


def _leave_out(table: Any, ids: Any) -> Any:
    from pyarrow import compute

    if not len(ids):
        return table
    return table.filter(compute.invert(compute.is_in(table["_id"], value_set=ids)))
