"""The format `.parquet`: money as `decimal128`, dates as instants in UTC, categories as dictionaries.

Invariant: the bytes of a file depend on its rows alone, not on the frames in which they arrived. Row groups always have
the same size, and each is put together before it is written. Memory holds one of them, however many there are.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from amili_async.export.columns import Scalar, find_columns
from amili_async.export.formats.arrow import PRECISION, SCALE, build_array, load_arrow, merge_tables, type_of
from amili_async.export.formats.merge import OTHER_COLUMNS, WITHOUT_ID
from amili_async.export.records import to_columns
from amili_async.export.spool import Frame, Frames

ROW_GROUP = 16_384
"""Rows per row group."""
READ_BATCH = 4_096
"""Rows of an older file that are read at a time."""
MIN_SCALE = 2
"""Decimals of money, if no amount has more."""
_UNIQUE = frozenset({"_id", "_etag", "invoice_number", "reference_number", "creditor_payment_reference"})
"""Fields with almost as many values as rows: a dictionary of them would only add bytes."""


class Parquet:
    """A column for each of *fields*, or of the record type's; absent and `null` are both null.

    Money has as many decimals as the amount with the most of them, and at least two; those in nested objects have 18.
    """

    def __init__(self, fields: Sequence[str] | None = None, record: Any = None) -> None:
        load_arrow()
        self._columns = find_columns(None if fields is None else tuple(fields), record)
        self._names = list(self._columns)

    def encode(self, records: Sequence[Any]) -> bytes:
        values = to_columns(records, self._names)
        arrays = [
            build_array(*column, of_column) for column, of_column in zip(self._columns.items(), values, strict=True)
        ]
        return bytes(load_arrow().RecordBatch.from_arrays(arrays, schema=self._spool_schema).serialize())

    def write(self, file: BinaryIO, frames: Frames) -> int:
        # Almost no amount has more than two decimals, so the first pass is usually the only one. The scale is part of
        # the schema, which precedes all rows, so an amount that does not fit needs the file written again.
        with suppress(load_arrow().ArrowInvalid):
            return self._write(file, frames(), dict.fromkeys(self._names_of(Scalar.MONEY), MIN_SCALE))
        file.seek(0)
        file.truncate()
        return self._write(file, frames(), self._measure_scales(frames()))

    def _write(self, file: BinaryIO, frames: Iterable[Frame], scales: dict[str, int]) -> int:
        """Write the file with money of these decimals; `ArrowInvalid` if an amount has more."""
        from pyarrow import parquet

        schema = self._file_schema(scales)
        rows = 0
        with parquet.ParquetWriter(
            file, schema, compression="zstd", use_dictionary=self._repetitive_names(), write_page_index=True
        ) as writer:
            for table in self._regroup(frames):
                rows += table.num_rows
                writer.write_table(_convert(table, schema), row_group_size=ROW_GROUP)
                # Arrow's pool keeps freed memory, by which the process would grow with each row group.
                load_arrow().default_memory_pool().release_unused()
        return rows

    def merge(self, path: Path, frames: Iterator[Frame], removed: frozenset[str]) -> Iterator[Frame]:
        tables = (load_arrow().Table.from_batches([self._open(frame)]) for frame in frames)
        for table in merge_tables(self._read(path), tables, removed=removed):
            for batch in table.combine_chunks().to_batches():
                yield Frame(batch.num_rows, bytes(batch.serialize()))

    def read_ids(self, path: Path) -> Iterator[str]:
        for batch in _read_batches(path, columns=["_id"]):
            yield from batch.column(0).to_pylist()

    def find_mismatch(self, path: Path) -> str | None:
        from pyarrow import ArrowException, parquet

        if "_id" not in self._names:
            return WITHOUT_ID
        with suppress(ArrowException):
            return None if parquet.read_schema(path).names == self._names else OTHER_COLUMNS
        return "it is not a Parquet file"

    @cached_property
    def _spool_schema(self) -> Any:
        """Of rows that wait in the spool."""
        return load_arrow().schema([(name, type_of(kind)) for name, kind in self._columns.items()])

    def _file_schema(self, scales: dict[str, int]) -> Any:
        pa = load_arrow()
        categories = dict.fromkeys(self._names_of(Scalar.CATEGORY), pa.dictionary(pa.int32(), pa.string()))
        money = {name: pa.decimal128(PRECISION, scale) for name, scale in scales.items()}
        return pa.schema(
            [(field.name, (categories | money).get(field.name, field.type)) for field in self._spool_schema]
        )

    def _names_of(self, kind: Scalar) -> list[str]:
        return [name for name, each in self._columns.items() if each is kind]

    def _repetitive_names(self) -> list[str]:
        return [name for name, kind in self._columns.items() if isinstance(kind, Scalar) and name not in _UNIQUE]

    def _open(self, frame: Frame) -> Any:
        """The rows of a frame as a batch, which refers to the bytes of the frame."""
        pa = load_arrow()
        return pa.ipc.read_record_batch(pa.py_buffer(frame.payload), self._spool_schema)

    def _measure_scales(self, frames: Iterable[Frame]) -> dict[str, int]:
        """The decimals that each column of money needs; zeros at the end do not count."""
        pa = load_arrow()
        scales = dict.fromkeys(self._names_of(Scalar.MONEY), MIN_SCALE)
        for frame in frames:
            batch = self._open(frame)
            for name, scale in scales.items():
                column = batch[name]
                while scale < SCALE and not _fits(column, pa.decimal128(PRECISION, scale)):
                    scale += 1
                scales[name] = scale
        return scales

    def _regroup(self, frames: Iterable[Frame]) -> Iterator[Any]:
        """The same rows in tables of one batch and of the size of a row group, except for the last one."""
        pa = load_arrow()
        waiting: list[Any] = []
        rows = 0
        for frame in frames:
            waiting.append(self._open(frame))
            rows += frame.rows
            while rows >= ROW_GROUP:
                table = pa.Table.from_batches(waiting)
                waiting, rows = table.slice(ROW_GROUP).to_batches(), rows - ROW_GROUP
                # A slice refers to its frames and keeps their bytes alive; the copy does not.
                table = table.slice(0, ROW_GROUP).combine_chunks()
                yield table
        if rows:
            yield pa.Table.from_batches(waiting).combine_chunks()

    def _read(self, path: Path) -> Iterator[Any]:
        """An older file in the types of rows that wait in the spool."""
        for batch in _read_batches(path):
            yield load_arrow().Table.from_batches([batch]).cast(self._spool_schema)


def _read_batches(path: Path, *, columns: list[str] | None = None) -> Iterator[Any]:
    from pyarrow import parquet

    # Without pre_buffer and threads Arrow does not read ahead, and memory holds one batch.
    with parquet.ParquetFile(path, pre_buffer=False) as file:
        if file.num_row_groups:  # without any, some versions of pyarrow fail in iter_batches
            yield from file.iter_batches(batch_size=READ_BATCH, columns=columns, use_threads=False)


def _convert(table: Any, schema: Any) -> Any:
    """The table in the types of the file; a category has one dictionary per row group, in the order of its rows."""
    pa = load_arrow()
    columns = []
    for column, field in zip(table.columns, schema, strict=True):
        if pa.types.is_dictionary(field.type):
            columns.append(column.dictionary_encode())
        else:
            columns.append(column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _fits(column: Any, type_: Any) -> bool:
    # The cast is exact: Arrow raises rather than drop a digit other than zero.
    try:
        column.cast(type_)
    except load_arrow().ArrowInvalid:
        return False
    return True
