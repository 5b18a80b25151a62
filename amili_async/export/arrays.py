"""Values into Arrow arrays, exact or not at all.

While an export is under way money has room for 18 decimals and text is plain; the finished file has the scale that is
needed, and vocabularies as dictionaries. pyarrow is imported here and in `parquet`, when a Parquet file is written.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, DefaultContext, Inexact
from functools import lru_cache
from itertools import chain
from types import NoneType
from typing import Any

from msgspec import UNSET

from amili_async.errors import ConfigurationError
from amili_async.export.columns import Column, Kind, Leaf, Mapped, Named, Several
from amili_async.export.documents import columns_of
from amili_async.export.lines import encoder
from amili_async.export.misfits import Misfit
from amili_async.models.memo import Memo

PRECISION = 38
"""Digits of money in all."""
SCALE = 18
"""Digits of money after the point, at most."""

_REASONS: Mapping[Kind, str] = {
    Leaf.MONEY: f"has more than {SCALE} decimals, more than {PRECISION - SCALE} digits before them, or is no number",
    Leaf.MOMENT: "is no date that the file can hold",
    Leaf.COUNT: "is no whole number of 64 bits",
    Leaf.TRUTH: "is neither true nor false",
}
_FAILURES = (TypeError, ValueError, ArithmeticError, AttributeError)
_EXACT = Context(prec=2000, traps=[*(signal for signal, is_on in DefaultContext.traps.items() if is_on), Inexact])


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_seen_moments: Memo[datetime | None, int | None] = Memo(
    lambda moment: None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)
)
"""Microseconds since 1970."""


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
    if isinstance(kind, Several):
        return pa.list_(type_of(kind.of))
    if isinstance(kind, Mapped):
        return pa.map_(pa.string(), type_of(kind.of))
    if isinstance(kind, Named):
        return pa.struct([(name, type_of(part)) for name, part in kind.of])
    leaves = {
        Leaf.MONEY: pa.decimal128(PRECISION, SCALE),
        Leaf.MOMENT: pa.timestamp("us", tz="UTC"),
        Leaf.TRUTH: pa.bool_(),
        Leaf.COUNT: pa.int64(),
        Leaf.FLOAT: pa.float64(),
    }
    return leaves.get(kind, pa.string())


def find_alike(columns: Sequence[Column]) -> Mapping[Kind, Sequence[int]]:
    """The places of the columns that are made of values in the same way, by what they hold."""
    alike: dict[Kind, list[int]] = {}
    for place, column in enumerate(columns):
        alike.setdefault(Leaf.TEXT if column.kind is Leaf.WORD else column.kind, []).append(place)
    return alike


def build_arrays(
    columns: Sequence[Column], values: Sequence[Sequence[Any]], alike: Mapping[Kind, Sequence[int]]
) -> list[Any]:
    """The values of each column, which may be UNSET, as an array; `Misfit` where one does not fit its column's kind.

    Columns that are *alike* become one array, cut up again: making one costs as much as a hundred values.
    """
    arrays: list[Any] = [None] * len(columns)
    try:
        for kind, places in alike.items():
            rows = len(values[places[0]])
            joined = _build(kind, [None if value is UNSET else value for place in places for value in values[place]])
            for number, place in enumerate(places):
                arrays[place] = joined.slice(number * rows, rows)
    except _FAILURES:
        return [_build_alone(column, of_column) for column, of_column in zip(columns, values, strict=True)]
    return arrays


def _build_alone(column: Column, values: Sequence[Any]) -> Any:
    try:
        return _build(column.kind, [None if value is UNSET else value for value in values])
    except _FAILURES:
        raise Misfit(column.name, _REASONS.get(column.kind, "holds what the file cannot")) from None


def _build(kind: Kind, values: Sequence[Any]) -> Any:
    pa = load_arrow()
    if isinstance(kind, (Several, Mapped)) and kind.of is Leaf.TEXT:
        with suppress(TypeError, ValueError):  # there is something else among it
            return pa.array(_check_objects(values) if isinstance(kind, Mapped) else values, type_of(kind))
    if isinstance(kind, Several):
        parts = list(chain.from_iterable([value for value in values if value is not None]))
        return pa.ListArray.from_arrays(_offsets(values), _build(kind.of, parts), type=type_of(kind))
    if isinstance(kind, Mapped):
        objects = [value for value in values if value is not None]
        names = list(chain.from_iterable(objects))
        parts = list(chain.from_iterable(map(dict.values, objects)))
        return pa.MapArray.from_arrays(_offsets(values), pa.array(names, pa.string()), _build(kind.of, parts))
    if isinstance(kind, Named):
        return _build_struct(kind, values)
    if kind is Leaf.MOMENT:
        values = list(map(_seen_moments.__getitem__, values))
    try:
        return pa.array(values, type_of(kind))
    except (TypeError, ValueError):
        return pa.array([_tidy(kind, value) for value in values], type_of(kind))


def _check_objects(values: Sequence[Any]) -> Sequence[Any]:
    """The values; `TypeError` where one is no object: Arrow would take pairs for one."""
    if not set(map(type, values)) <= {dict, NoneType}:
        raise TypeError
    return values


def _build_struct(kind: Named, values: Sequence[Any]) -> Any:
    pa = load_arrow()
    present = [value for value in values if value is not None]
    columns = columns_of(present, [name for name, _ in kind.of])
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
    if kind in (Leaf.TEXT, Leaf.WORD) and value is not None and not isinstance(value, str):
        return encoder.encode(value).decode()
    return _EXACT.normalize(value) if kind is Leaf.MONEY and isinstance(value, Decimal) else value
