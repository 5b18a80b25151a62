"""Values into Arrow arrays, exact or not at all.

While an export is under way money has room for 18 decimals and text is plain; the finished file has the scale that is
needed, and vocabularies as dictionaries. pyarrow is imported here and in `parquet`, when a Parquet file is written.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, DefaultContext, Inexact
from functools import lru_cache
from itertools import chain
from types import NoneType
from typing import Any

from amili_async.errors import ConfigurationError
from amili_async.export.columns import Column, Kind, ListOf, MapOf, Scalar, StructOf
from amili_async.export.formats.ndjson import encoder
from amili_async.export.records import UnencodableValue, to_columns

PRECISION = 38
"""Digits of money in all."""
SCALE = 18
"""Digits of money after the point, at most."""

_REASONS: Mapping[Kind, str] = {
    Scalar.MONEY: f"has more than {SCALE} decimals, more than {PRECISION - SCALE} digits before them, or is no number",
    Scalar.TIMESTAMP: "is no date that the file can hold",
    Scalar.INT: "is no whole number of 64 bits",
    Scalar.BOOL: "is neither true nor false",
}
_FAILURES = (TypeError, ValueError, ArithmeticError, AttributeError)
_EXACT = Context(prec=2000, traps=[*(signal for signal, is_on in DefaultContext.traps.items() if is_on), Inexact])


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=4096)  # the rows of a page share few dates
def _microseconds(moment: datetime | None) -> int | None:
    """Microseconds since 1970."""
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)


def load_arrow() -> Any:
    """pyarrow; `ConfigurationError` where it is not installed."""
    try:
        import pyarrow
    except ImportError:
        raise ConfigurationError("a .parquet file needs pyarrow: pip install 'amili-async[parquet]'") from None
    return pyarrow


@lru_cache(maxsize=64)
def type_of(kind: Kind) -> Any:
    """The Arrow type of values that are on their way."""
    pa = load_arrow()
    if isinstance(kind, ListOf):
        return pa.list_(type_of(kind.of))
    if isinstance(kind, MapOf):
        return pa.map_(pa.string(), type_of(kind.of))
    if isinstance(kind, StructOf):
        return pa.struct([(name, type_of(part)) for name, part in kind.of])
    leaves = {
        Scalar.MONEY: pa.decimal128(PRECISION, SCALE),
        Scalar.TIMESTAMP: pa.timestamp("us", tz="UTC"),
        Scalar.BOOL: pa.bool_(),
        Scalar.INT: pa.int64(),
        Scalar.FLOAT: pa.float64(),
    }
    return leaves.get(kind, pa.string())


def find_alike(columns: Sequence[Column]) -> Mapping[Kind, Sequence[int]]:
    """The places of the columns that are made of values in the same way, by what they hold."""
    alike: dict[Kind, list[int]] = {}
    for place, column in enumerate(columns):
        alike.setdefault(Scalar.TEXT if column.kind is Scalar.CATEGORY else column.kind, []).append(place)
    return alike


def build_arrays(
    columns: Sequence[Column], values: Sequence[Sequence[Any]], alike: Mapping[Kind, Sequence[int]]
) -> list[Any]:
    """The values of each column as an array; `UnencodableValue` where one does not fit its column's kind.

    Columns that are *alike* become one array, cut up again: making one costs as much as a hundred values.
    """
    arrays: list[Any] = [None] * len(columns)
    try:
        for kind, places in alike.items():
            rows = len(values[places[0]])
            joined = _build(kind, [value for place in places for value in values[place]])
            for number, place in enumerate(places):
                arrays[place] = joined.slice(number * rows, rows)
    except _FAILURES:
        return [_build_alone(column, of_column) for column, of_column in zip(columns, values, strict=True)]
    return arrays


def _build_alone(column: Column, values: Sequence[Any]) -> Any:
    try:
        return _build(column.kind, values)
    except _FAILURES:
        raise UnencodableValue(column.name, _REASONS.get(column.kind, "holds what the file cannot")) from None


def _build(kind: Kind, values: Sequence[Any]) -> Any:
    pa = load_arrow()
    if isinstance(kind, (ListOf, MapOf)) and kind.of is Scalar.TEXT:
        with suppress(TypeError, ValueError):  # there is something else among it
            return pa.array(_check_objects(values) if isinstance(kind, MapOf) else values, type_of(kind))
    if isinstance(kind, ListOf):
        parts = list(chain.from_iterable([value for value in values if value is not None]))
        return pa.ListArray.from_arrays(_offsets(values), _build(kind.of, parts), type=type_of(kind))
    if isinstance(kind, MapOf):
        objects = [value for value in values if value is not None]
        names = list(chain.from_iterable(objects))
        parts = list(chain.from_iterable(map(dict.values, objects)))
        return pa.MapArray.from_arrays(_offsets(values), pa.array(names, pa.string()), _build(kind.of, parts))
    if isinstance(kind, StructOf):
        return _build_struct(kind, values)
    if kind is Scalar.TIMESTAMP:
        values = list(map(_microseconds, values))
    try:
        return pa.array(values, type_of(kind))
    except (TypeError, ValueError):
        return pa.array([_tidy(kind, value) for value in values], type_of(kind))


def _check_objects(values: Sequence[Any]) -> Sequence[Any]:
    """The values; `TypeError` where one is no object: Arrow would take pairs for one."""
    if not set(map(type, values)) <= {dict, NoneType}:
        raise TypeError
    return values


def _build_struct(kind: StructOf, values: Sequence[Any]) -> Any:
    pa = load_arrow()
    present = [value for value in values if value is not None]
    columns = to_columns(present, [name for name, _ in kind.of])
    if len(present) < len(values):
        places = [iter(column) for column in columns]
        columns = [[None if value is None else next(place) for value in values] for place in places]
    arrays = [_build(part, column) for (_, part), column in zip(kind.of, columns, strict=True)]
    missing = pa.array([value is None for value in values], pa.bool_())
    return pa.StructArray.from_arrays(arrays, fields=list(type_of(kind)), mask=missing)


def _offsets(values: Sequence[Any]) -> Any:
    """Where the parts of each value begin; null where the value is."""
    offsets: list[int | None] = []
    count = 0
    for value in values:
        if value is None:
            offsets.append(None)
        else:
            offsets.append(count)
            count += len(value)
    return load_arrow().array([*offsets, count], load_arrow().int32())


def _tidy(kind: Kind, value: Any) -> Any:
    """Text is made of what is no text, and money loses the zeros at its end."""
    if kind in (Scalar.TEXT, Scalar.CATEGORY) and value is not None and not isinstance(value, str):
        return encoder.encode(value).decode()
    return _EXACT.normalize(value) if kind is Scalar.MONEY and isinstance(value, Decimal) else value


def merge_tables(old: Iterator[Any], new: Iterator[Any], *, gone: frozenset[str]) -> Iterator[Any]:
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
