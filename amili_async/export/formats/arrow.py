"""Values into Arrow arrays, exact or not at all, and tables of them merged.

While rows wait in the spool money has room for 18 decimals and text is plain; the finished file has the scale that is
needed, and categories as dictionaries. pyarrow is imported here and in `parquet`, when a Parquet file is written.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, DefaultContext, Inexact
from functools import lru_cache
from types import NoneType
from typing import Any

import msgspec

from amili_async.errors import ConfigurationError
from amili_async.export.columns import ColumnKind, ListOf, MapOf, Scalar, StructOf
from amili_async.export.records import UnencodableValue, as_document
from amili_async.models.json import encode_json

PRECISION = 38
"""Digits of money in all: the most that `decimal128` holds."""
SCALE = 18
"""Digits of money after the point, at most."""

_REASONS: Mapping[ColumnKind, str] = {
    Scalar.MONEY: f"has more than {SCALE} decimals, more than {PRECISION - SCALE} digits before, or is not a number",
    Scalar.TIMESTAMP: "is not a date that Parquet can hold",
    Scalar.INT: "is not a 64-bit integer",
    Scalar.BOOL: "is neither true nor false",
}
_FAILURES = (TypeError, ValueError, ArithmeticError, AttributeError)
_TEXTS_BY_NAME = MapOf(Scalar.TEXT)
_EXACT_KINDS = frozenset({*Scalar, ListOf(Scalar.TEXT), _TEXTS_BY_NAME} - {Scalar.TIMESTAMP})
"""Kinds whose values Arrow takes exactly or not at all."""
# The default context has 28 digits and rounds without an error.
_EXACT = Context(prec=2000, traps=[*(signal for signal, is_on in DefaultContext.traps.items() if is_on), Inexact])
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def load_arrow() -> Any:
    """pyarrow; `ConfigurationError` if it is not installed."""
    try:
        import pyarrow
    except ImportError:
        raise ConfigurationError("a .parquet file needs pyarrow: pip install 'amili-async[parquet]'") from None
    return pyarrow


@lru_cache(maxsize=64)
def type_of(kind: ColumnKind) -> Any:
    """The Arrow type of values that wait in the spool."""
    pa = load_arrow()
    if isinstance(kind, ListOf):
        return pa.list_(type_of(kind.of))
    if isinstance(kind, MapOf):
        return pa.map_(pa.string(), type_of(kind.of))
    if isinstance(kind, StructOf):
        return pa.struct([(name, type_of(part)) for name, part in kind.of])
    scalars = {
        Scalar.MONEY: pa.decimal128(PRECISION, SCALE),
        Scalar.TIMESTAMP: pa.timestamp("us", tz="UTC"),
        Scalar.BOOL: pa.bool_(),
        Scalar.INT: pa.int64(),
        Scalar.FLOAT: pa.float64(),
    }
    return scalars.get(kind, pa.string())


def build_array(name: str, kind: ColumnKind, values: Sequence[Any]) -> Any:
    """The values of a column as an array; `UnencodableValue` if one does not fit the column's kind."""
    pa, type_ = load_arrow(), type_of(kind)
    # Arrow takes a list of pairs for an object, too; the API's objects are dicts.
    if kind in _EXACT_KINDS and (kind != _TEXTS_BY_NAME or set(map(type, values)) <= {dict, NoneType}):
        with suppress(*_FAILURES):
            return pa.array(values, type_)
    try:
        if _is_of_exact_structs(kind) and set(map(type, values)) <= {dict, NoneType}:
            # A payout's summary: `_normalize` would call msgspec once for each article of each payout, which costs five
            # times as much as all other columns together. Arrow rejects what only `_normalize` makes exact.
            with suppress(*_FAILURES):
                return pa.array(msgspec.to_builtins(values, builtin_types=(Decimal,)), type_)
        if kind is Scalar.TIMESTAMP:
            return pa.array(list(map(_to_microseconds, values)), type_)
        return pa.array([_normalize(kind, value) for value in values], type_)
    except _FAILURES:
        raise UnencodableValue(name, _REASONS.get(kind, "has a value that Parquet cannot hold")) from None


def _is_of_exact_structs(kind: ColumnKind) -> bool:
    return (
        isinstance(kind, MapOf) and isinstance(kind.of, StructOf) and _EXACT_KINDS.issuperset(dict(kind.of.of).values())
    )


@lru_cache(maxsize=4096)
def _to_microseconds(moment: datetime | None) -> int | None:
    """Microseconds since 1970; `TypeError` for a `datetime` without a time zone, which Arrow would take for UTC."""
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)


def _normalize(kind: ColumnKind, value: Any) -> Any:
    """The value in the form in which Arrow takes it exactly."""
    if value is None:
        return None
    if isinstance(kind, ListOf):
        return [_normalize(kind.of, part) for part in value]
    if isinstance(kind, MapOf):
        return [(name, _normalize(kind.of, part)) for name, part in value.items()]
    if isinstance(kind, StructOf):
        document = as_document(value)
        return {name: _normalize(part, document.get(name)) for name, part in kind.of}
    if kind is Scalar.TIMESTAMP:
        return _to_microseconds(value)
    if kind in (Scalar.TEXT, Scalar.CATEGORY) and not isinstance(value, str):
        return encode_json(value)
    # Arrow counts zeros at the end as digits, and rejects a 1 with 40 of them after the point.
    return _EXACT.normalize(value) if kind is Scalar.MONEY and isinstance(value, Decimal) else value


def merge_tables(old: Iterator[Any], new: Iterator[Any], *, removed: frozenset[str]) -> Iterator[Any]:
    """Merge two sequences of tables that ascend by `_id` into one, without the *removed* ones.

    A new row replaces the old one with its `_id`. `ValueError` if *old* does not ascend.
    """
    pa = load_arrow()
    lost, last, rest = pa.array(sorted(removed), pa.string()), "", next(new, None)
    for table in old:
        last = _check_ascending(table["_id"], after=last)
        newer = []
        # The rows of each new table up to the last `_id` of the old one; a slice copies nothing.
        while rest is not None and (count := sum(row_id <= last for row_id in rest["_id"].to_pylist())):
            newer.append(rest.slice(0, count))
            rest = rest.slice(count) if count < rest.num_rows else next(new, None)
        if newer:
            replacing = pa.concat_tables(newer)
            table = pa.concat_tables([_leave_out(table, replacing["_id"]), replacing]).sort_by("_id")
        yield _leave_out(table, lost)
    while rest is not None:
        yield _leave_out(rest, lost)
        rest = next(new, None)


def _check_ascending(ids: Any, *, after: str) -> str:
    """The last of the ids; `ValueError` if they do not ascend: the file was sorted otherwise since its export."""
    from pyarrow import compute

    if ids[0].as_py() <= after or compute.any(compute.greater_equal(ids[:-1], ids[1:])).as_py():
        raise ValueError("the rows do not ascend by _id")
    return str(ids[-1].as_py())


def _leave_out(table: Any, ids: Any) -> Any:
    from pyarrow import compute

    if not len(ids):
        return table
    return table.filter(compute.invert(compute.is_in(table["_id"], value_set=ids)))
