"""The format `.parquet`: money as `decimal128`, dates as instants in UTC, vocabularies as dictionaries.

The law: the bytes of a file depend on its rows alone, not on the frames in which they came: row groups are always of
the same size, and each is put together before it is written. Memory holds one of them, however many there are.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from amili_async.errors import ConfigurationError
from amili_async.export.columns import Scalar, find_columns
from amili_async.export.formats.arrow import (
    PRECISION,
    SCALE,
    build_arrays,
    find_alike,
    load_arrow,
    merge_tables,
    type_of,
)
from amili_async.export.formats.merge import Frames
from amili_async.export.records import to_columns
from amili_async.export.spool import Frame

ROW_GROUP = 16_384
"""Rows per row group."""
BATCH = 4_096
"""Rows of an older file that are read at a time."""
LEAST_SCALE = 2
"""Decimals of money, if no amount has more."""
_UNIQUE = frozenset({"_id", "_etag", "invoice_number", "reference_number", "creditor_payment_reference"})
"""Fields whose values hardly ever come twice, so that a dictionary of them is of no use."""


class Parquet:
    """A column for each of *fields*, or of the record type's; absent and `null` are both null.

    Money has as many decimals as the amount with the most of them, and at least two; those in nested objects have 18.
    """

    def __init__(self, fields: Sequence[str] | None = None, record: Any = None) -> None:
        load_arrow()
        self._columns = find_columns(None if fields is None else tuple(fields), record)
        self._names = [column.name for column in self._columns]
        self._alike = find_alike(self._columns)

    def encode(self, records: Sequence[Any]) -> bytes:
        arrays = build_arrays(self._columns, to_columns(records, self._names), self._alike)
        return bytes(load_arrow().RecordBatch.from_arrays(arrays, schema=self._schema).serialize())

    def write(self, file: BinaryIO, frames: Frames) -> int:
        with suppress(load_arrow().ArrowInvalid):  # rarely has an amount more decimals than that
            return self._write(file, frames(), dict.fromkeys(self._names_of(Scalar.MONEY), LEAST_SCALE))
        file.seek(0)
        file.truncate()
        return self._write(file, frames(), self._measure(frames()))

    def _write(self, file: BinaryIO, frames: Iterable[Frame], scales: dict[str, int]) -> int:
        """The file with money of these decimals; `ArrowInvalid` where an amount has more."""
        from pyarrow import parquet

        schema = self._final_schema(scales)
        rows = 0
        with parquet.ParquetWriter(
            file, schema, compression="zstd", use_dictionary=self._repeating(), write_page_index=True
        ) as writer:
            for table in self._regroup(frames):
                rows += table.num_rows
                writer.write_table(_convert(table, schema), row_group_size=ROW_GROUP)
                load_arrow().default_memory_pool().release_unused()
        return rows

    def merge(self, path: Path, frames: Iterator[Frame], gone: frozenset[str]) -> Iterator[Frame]:
        tables = (load_arrow().Table.from_batches([self._open(frame)]) for frame in frames)
        for table in merge_tables(self._read(path), tables, gone=gone):
            yield from self._close(table)

    def read_ids(self, path: Path) -> Iterator[str]:
        for batch in _read_batches(path, columns=["_id"]):
            yield from batch.column(0).to_pylist()

    def check(self, path: Path) -> None:
        from pyarrow import ArrowException, parquet

        if "_id" not in self._names:
            raise ConfigurationError(f"{path} cannot be brought up to date: it has no column _id")
        try:
            names = parquet.read_schema(path).names
        except ArrowException:
            raise ConfigurationError(f"{path} cannot be brought up to date: it is not a Parquet file") from None
        if names != self._names:
            raise ConfigurationError(f"{path} cannot be brought up to date: it has other columns")

    @cached_property
    def _schema(self) -> Any:
        """Of rows that are on their way."""
        return load_arrow().schema([(column.name, type_of(column.kind)) for column in self._columns])

    def _final_schema(self, scales: dict[str, int]) -> Any:
        pa = load_arrow()
        words = dict.fromkeys(self._names_of(Scalar.CATEGORY), pa.dictionary(pa.int32(), pa.string()))
        money = {name: pa.decimal128(PRECISION, scale) for name, scale in scales.items()}
        return pa.schema([(field.name, (words | money).get(field.name, field.type)) for field in self._schema])

    def _names_of(self, leaf: Scalar) -> list[str]:
        return [column.name for column in self._columns if column.kind is leaf]

    def _repeating(self) -> list[str]:
        return [
            column.name for column in self._columns if isinstance(column.kind, Scalar) and column.name not in _UNIQUE
        ]

    def _open(self, frame: Frame) -> Any:
        """The rows of a frame as a batch."""
        pa = load_arrow()
        return pa.ipc.read_record_batch(pa.py_buffer(frame.payload), self._schema)

    def _close(self, table: Any) -> Iterator[Frame]:
        for batch in table.combine_chunks().to_batches():
            yield Frame(batch.num_rows, bytes(batch.serialize()))

    def _measure(self, frames: Iterable[Frame]) -> dict[str, int]:
        """The decimals that each column of money needs; zeros at the end do not count."""
        pa = load_arrow()
        scales = dict.fromkeys(self._names_of(Scalar.MONEY), LEAST_SCALE)
        for frame in frames:
            batch = self._open(frame)
            for name, scale in scales.items():
                column = batch[name]
                while scale < SCALE and not _fits(column, pa.decimal128(PRECISION, scale)):
                    scale += 1
                scales[name] = scale
        return scales

    def _regroup(self, frames: Iterable[Frame]) -> Iterator[Any]:
        """The same rows in tables of one batch and one size, the last one aside."""
        pa = load_arrow()
        waiting: list[Any] = []
        rows = 0
        for frame in frames:
            waiting.append(self._open(frame))
            rows += frame.rows
            while rows >= ROW_GROUP:
                table = pa.Table.from_batches(waiting)
                waiting, rows = table.slice(ROW_GROUP).to_batches(), rows - ROW_GROUP
                table = table.slice(0, ROW_GROUP).combine_chunks()  # lets go of the frames
                yield table
        if rows:
            yield pa.Table.from_batches(waiting).combine_chunks()

    def _read(self, path: Path) -> Iterator[Any]:
        """An older file in the form of rows that are on their way."""
        for batch in _read_batches(path):
            yield load_arrow().Table.from_batches([batch]).cast(self._schema)


def _read_batches(path: Path, *, columns: list[str] | None = None) -> Iterator[Any]:
    from pyarrow import parquet

    with parquet.ParquetFile(path, pre_buffer=False) as file:
        if file.num_row_groups:  # without any, some versions fail
            yield from file.iter_batches(batch_size=BATCH, columns=columns, use_threads=False)


def _convert(table: Any, schema: Any) -> Any:
    """The types of the finished file; a vocabulary has one dictionary per row group, in the order of its rows."""
    pa = load_arrow()
    columns = []
    for column, field in zip(table.columns, schema, strict=True):
        if pa.types.is_dictionary(field.type):
            columns.append(column.dictionary_encode())
        else:
            columns.append(column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _fits(column: Any, type_: Any) -> bool:
    try:
        column.cast(type_)
    except load_arrow().ArrowInvalid:
        return False
    return True
