"""What streams and extractions share: their records as Arrow tables, for Polars, pandas, DuckDB and databases."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from amili_async._wire.iteration import Iteration

if TYPE_CHECKING:
    from pyarrow import RecordBatch, Table

T = TypeVar("T")


class Tabular(ABC, Generic[T]):
    """Records that can be read as Arrow tables, which requires pyarrow: `pip install "amili-async[parquet]"`."""

    @property
    @abstractmethod
    def record(self) -> type[T]:
        """The type of its records."""

    @abstractmethod
    def _chunks(self, *, opens_fully: bool = False) -> AsyncGenerator[Any, None]:
        """Pages or batches, each with its `items`."""

    def arrow_batches(self, fields: Sequence[str] | None = None) -> AsyncGenerator["RecordBatch", None]:
        """The same records as `pyarrow.RecordBatch`es, one for each page, all with the schema of `export.arrow_schema`.

        *fields* are the API's names in the order of the columns, by default all fields of the record type; dicts
        require them. Raises `UnreadableResponse` for a value that its column cannot hold.
        """
        return self._encode(fields, opens_fully=False)

    async def to_arrow(self, fields: Sequence[str] | None = None) -> "Table":
        """All records in one `pyarrow.Table`, fetched as fast as concurrency and rate limit allow.

        Polars, pandas and DuckDB take it: `polars.from_arrow(table)`, `table.to_pandas()`, `duckdb.sql("FROM table")`.
        """
        from amili_async.export.arrow import read_table

        return await read_table(self._encode(fields, opens_fully=True), self.record, fields)

    def _encode(self, fields: Sequence[str] | None, *, opens_fully: bool) -> AsyncGenerator["RecordBatch", None]:
        # An optional library is imported where it is needed, and the modules that build arrays import it.
        from amili_async.export.arrow import batch_encoder

        encode = batch_encoder(self.record, fields)
        return Iteration(
            self._chunks(opens_fully=opens_fully), lambda chunk: (encode(chunk.items),) if chunk.items else ()
        )
