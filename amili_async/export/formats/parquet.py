"""The format `.parquet`: money as `decimal128`, dates as instants in UTC, categories as dictionaries.

Invariant: the bytes of a file depend on its rows alone, not on the frames in which they arrived. Row groups always have
the same size, and each is put together before it is written. Memory holds one of them, however many there are.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from amili_async.export.columns import Scalar, find_columns
from amili_async.export.formats.arrow import BatchBuilder, load_arrow, merge_tables, schema_of, type_of
from amili_async.export.formats.merge import OTHER_COLUMNS, WITHOUT_ID
from amili_async.export.formats.writing import AddFrame, FileWriter
from amili_async.export.spool import Frame

ROW_GROUP = 16_384
"""Rows per row group."""
READ_BATCH = 4_096
"""Rows of an older file that are read at a time."""
_UNIQUE = frozenset({"_id", "_etag", "invoice_number", "reference_number", "creditor_payment_reference"})
"""Fields with almost as many values as rows: a dictionary of them would only add bytes."""


class Parquet(FileWriter):
    """A column for each of *fields*, or of the record type's; absent and `null` are both null.

    Money is `decimal128(24, 6)` in every file, nested money too: an amount with more than six decimals is rounded, half
    to even, and counted.
    """

    def __init__(self, fields: Sequence[str] | None = None, record: Any = None) -> None:
        self._columns = find_columns(None if fields is None else tuple(fields), record)
        self._batches = BatchBuilder(self._columns, type_of)
        self.metadata: dict[str, str] = {}
        """What `write` adds to the metadata of the file."""

    @property
    def rounded(self) -> int:
        return self._batches.rounded

    def encode(self, records: Sequence[Any]) -> bytes:
        return bytes(self._batches.build(records).serialize())

    @contextmanager
    def open(self, file: BinaryIO) -> Iterator[AddFrame]:
        from pyarrow import parquet

        # A column of texts costs less with a dictionary, unless almost every row has another text.
        repetitive = [name for name, kind in self._columns.items() if isinstance(kind, Scalar) and name not in _UNIQUE]
        with parquet.ParquetWriter(
            file, self._file_schema, compression="zstd", use_dictionary=repetitive, write_page_index=True
        ) as writer:
            groups = _RowGroups(writer, self._file_schema)
            yield lambda frame: groups.add(self._open(frame))
            groups.finish()
            if self.metadata:
                writer.add_key_value_metadata(self.metadata)

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

        if "_id" not in self._columns:
            return WITHOUT_ID
        with suppress(ArrowException):
            return None if parquet.read_schema(path).equals(self._file_schema) else OTHER_COLUMNS
        return "it is not a Parquet file"

    @cached_property
    def _file_schema(self) -> Any:
        return schema_of(self._columns)

    def _open(self, frame: Frame) -> Any:
        """The rows of a frame as a batch, which refers to the bytes of the frame."""
        pa = load_arrow()
        return pa.ipc.read_record_batch(pa.py_buffer(frame.payload), self._batches.schema)

    def _read(self, path: Path) -> Iterator[Any]:
        """An older file in the types of rows that wait in the spool."""
        for batch in _read_batches(path):
            yield load_arrow().Table.from_batches([batch]).cast(self._batches.schema)


class _RowGroups:
    """Writes rows in groups of the same size, except for the last one."""

    def __init__(self, writer: Any, schema: Any) -> None:
        self._writer, self._schema = writer, schema
        self._waiting: list[Any] = []
        self._rows = 0

    def add(self, batch: Any) -> None:
        self._waiting.append(batch)
        self._rows += batch.num_rows
        while self._rows >= ROW_GROUP:
            table = load_arrow().Table.from_batches(self._waiting)
            self._waiting, self._rows = table.slice(ROW_GROUP).to_batches(), self._rows - ROW_GROUP
            # A slice refers to its frames and keeps their bytes alive; the copy does not.
            table = table.slice(0, ROW_GROUP).combine_chunks()
            self._write(table)

    def finish(self) -> None:
        if self._rows:
            self._write(load_arrow().Table.from_batches(self._waiting).combine_chunks())

    def _write(self, table: Any) -> None:
        # By the cast a category has one dictionary per row group, in the order of its rows.
        self._writer.write_table(table.cast(self._schema), row_group_size=ROW_GROUP)
        # Arrow's pool keeps freed memory, by which the process would grow with each row group.
        load_arrow().default_memory_pool().release_unused()


def read_metadata(path: Path) -> dict[str, str]:
    """The texts in the metadata of a file; `ValueError` or `OSError` if it is no Parquet file."""
    from pyarrow import parquet

    found = parquet.read_metadata(path).metadata or {}
    return {name.decode(): value.decode() for name, value in found.items()}


def _read_batches(path: Path, *, columns: list[str] | None = None) -> Iterator[Any]:
    from pyarrow import parquet

    # Without pre_buffer and threads Arrow does not read ahead, and memory holds one batch.
    with parquet.ParquetFile(path, pre_buffer=False) as file:
        if file.num_row_groups:  # without any, some versions of pyarrow fail in iter_batches
            yield from file.iter_batches(batch_size=READ_BATCH, columns=columns, use_threads=False)
