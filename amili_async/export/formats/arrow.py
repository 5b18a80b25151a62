"""Values into Arrow arrays, exact or not at all, and tables of them merged.

Invariant: the type of a column depends on its kind alone, never on values. An amount with more than six decimals, such
as the noise of a sum of floats, is rounded to six, half to even, and counted. pyarrow is imported here and in
`parquet`, when a Parquet file is written.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation, localcontext
from functools import lru_cache
from itertools import chain
from types import NoneType
from typing import Any

import msgspec

from amili_async.errors import ConfigurationError
from amili_async.export.columns import ColumnKind, ListOf, MapOf, Scalar, StructOf
from amili_async.export.records import UnencodableValue, as_document, to_columns
from amili_async.models.json import encode_json

# The same type in every file, or readers cannot combine files. Arrow derives the type of a result from those of its
# operands and has 38 digits at most: 24 leave room to add and to multiply by a rate, and fit Python's and .NET's 28.
PRECISION = 24
"""Digits of money in all."""
SCALE = 6
"""Digits of money after the point."""

_REASONS: Mapping[ColumnKind, str] = {
    Scalar.MONEY: f"has more than {PRECISION - SCALE} digits before the point, or is not a number; .csv can hold it",
    Scalar.TIMESTAMP: "is not a date that Parquet can hold",
    Scalar.INT: "is not a 64-bit integer",
    Scalar.BOOL: "is neither true nor false",
}
_FAILURES = (TypeError, ValueError, ArithmeticError, AttributeError)
_TEXTS_BY_NAME = MapOf(Scalar.TEXT)
_EXACT_KINDS = frozenset({*Scalar, ListOf(Scalar.TEXT), _TEXTS_BY_NAME} - {Scalar.TIMESTAMP})
"""Kinds whose values Arrow takes exactly or not at all."""
_ONLY: Mapping[ColumnKind, set[type]] = {_TEXTS_BY_NAME: {dict, NoneType}, Scalar.INT: {int, NoneType}}
"""The types of values for which that holds, where it does not hold for all."""
_STEP = Decimal(1).scaleb(-SCALE)
_ROUNDING = Context(prec=PRECISION, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
_WIDE = Context(prec=2000, traps=[InvalidOperation])
_MAX_DECIMALS = 38
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def load_arrow() -> Any:
    """pyarrow; `ConfigurationError` if it is not installed."""
    try:
        import pyarrow
    except ImportError:
        raise ConfigurationError("a .parquet file needs pyarrow: pip install 'amili-async[parquet]'") from None
    return pyarrow


@lru_cache(maxsize=64)
def file_type_of(kind: ColumnKind) -> Any:
    """The Arrow type of a column of a file or a table: a category has a dictionary."""
    pa = load_arrow()
    return pa.dictionary(pa.int32(), pa.string()) if kind is Scalar.CATEGORY else type_of(kind)


def schema_of(columns: Mapping[str, ColumnKind], type_: Callable[[ColumnKind], Any] = file_type_of) -> Any:
    """The schema of columns whose types *type_* chooses."""
    return load_arrow().schema([(name, type_(kind)) for name, kind in columns.items()])


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


class BatchBuilder:
    """Makes record batches of one schema, and counts the amounts that it had to round."""

    def __init__(self, columns: Mapping[str, ColumnKind], type_: Callable[[ColumnKind], Any] = file_type_of) -> None:
        self.schema = schema_of(columns, type_)
        """Of every batch."""
        self.rounded = 0
        """How many amounts had more decimals than the schema holds."""
        self._names = tuple(columns)
        self._columns = tuple((name, kind, type_(kind)) for name, kind in columns.items())

    def build(self, records: Sequence[Any]) -> Any:
        """The records as a batch; `UnencodableValue` if a value does not fit its column's kind."""
        values = to_columns(records, self._names)
        arrays = [self._build_array(*column, values[place]) for place, column in enumerate(self._columns)]
        return load_arrow().RecordBatch.from_arrays(arrays, schema=self.schema)

    def _build_array(self, name: str, kind: ColumnKind, type_: Any, values: Sequence[Any]) -> Any:
        pa = load_arrow()
        # Arrow takes a list of pairs for an object, and drops the fraction of a float for an integer.
        if kind in _EXACT_KINDS and (kind not in _ONLY or set(map(type, values)) <= _ONLY[kind]):
            with suppress(*_FAILURES):
                if kind is not Scalar.MONEY or _is_within_arrow(values):
                    return pa.array(values, type_)
        try:
            if isinstance(kind, MapOf) and _is_typed(kind, values):
                # A payout's summary: `_normalize` would call msgspec once for each article of each payout, which costs
                # five times as much as all other columns together. Arrow rejects what only `_normalize` can write.
                with suppress(*_FAILURES):
                    objects = msgspec.to_builtins(values, builtin_types=(Decimal,))
                    structs = chain.from_iterable(map(dict.values, filter(None, objects)))
                    if _is_within_arrow(chain.from_iterable(map(dict.values, structs))):
                        return pa.array(objects, type_)
            if kind is Scalar.TIMESTAMP:
                return pa.array(list(map(_to_microseconds, values)), type_)
            return pa.array([self._normalize(kind, value) for value in values], type_)
        except _FAILURES:
            raise UnencodableValue(name, _REASONS.get(kind, "has a value that Parquet cannot hold")) from None

    def _normalize(self, kind: ColumnKind, value: Any) -> Any:
        """The value in the form in which Arrow takes it exactly, an amount rounded."""
        if value is None:
            return None
        if isinstance(kind, ListOf):
            return [self._normalize(kind.of, part) for part in value]
        if isinstance(kind, MapOf):
            return [(name, self._normalize(kind.of, part)) for name, part in value.items()]
        if isinstance(kind, StructOf):
            document = as_document(value)
            return {name: self._normalize(part, document.get(name)) for name, part in kind.of}
        if kind is Scalar.TIMESTAMP:
            return _to_microseconds(value)
        if kind in (Scalar.TEXT, Scalar.CATEGORY) and not isinstance(value, str):
            return encode_json(value)
        if kind is Scalar.INT and type(value) is not int:
            raise TypeError
        if kind is Scalar.MONEY and isinstance(value, Decimal):
            rounded = value.quantize(_STEP, context=_ROUNDING)
            self.rounded += rounded != value
            return rounded
        return value


def _is_within_arrow(numbers: Iterable[Any]) -> bool:
    """Whether no number has more decimals than Arrow can check; `TypeError` if there is another value.

    Arrow looks up the power of ten for the decimals that it would drop in a table of 39, without a check of the bounds:
    it takes 1E-45 for 0, rather than reject it.
    """
    with localcontext(_WIDE):
        # The exponent of a sum is the least one of its operands, which takes one pass in C.
        exponent = sum(filter(None, numbers), Decimal(0)).as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -_MAX_DECIMALS


def _is_typed(kind: MapOf, values: Sequence[Any]) -> bool:
    """Whether the values are objects of structs, whose fields msgspec has checked, and Arrow takes these exactly."""
    return (
        isinstance(kind.of, StructOf)
        and _EXACT_KINDS.issuperset(dict(kind.of.of).values())
        and set(map(type, values)) <= _ONLY[_TEXTS_BY_NAME]
        and dict not in {type(part) for value in values if value for part in value.values()}
    )


@lru_cache(maxsize=4096)
def _to_microseconds(moment: datetime | None) -> int | None:
    """Microseconds since 1970; `TypeError` for a `datetime` without a time zone, which Arrow would take for UTC."""
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)


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
