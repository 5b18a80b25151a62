"""What streams and extractions share: their records as Arrow tables, for Polars, DuckDB, pandas and databases.

    lines = await amili.payout_specifications.extract().to_arrow()  # exact money, dates in UTC
    by_article = polars.from_arrow(lines).group_by("article").agg(polars.col("total_amount").sum())
    by_state = duckdb.sql("SELECT state, sum(total_amount) FROM lines GROUP BY state").arrow()
    frame = lines.to_pandas(types_mapper=pandas.ArrowDtype)
    by_currency = frame.groupby("currency", observed=True)["total_amount"].sum()

A table in Postgres takes what changed, in one transaction with the manifest from which the next load continues:

    async def load(amili, database, since):  # since: None, or what the load before returned
        lines, columns = amili.payout_specifications.extract(since=since), ("id", "total_amount", "booking_date")
        async with database.transaction():
            await database.execute("CREATE TEMP TABLE fresh (LIKE lines) ON COMMIT DROP")
            async for page in lines.batches():
                rows = [tuple(getattr(line, name) for name in columns) for line in page]
                await database.copy_records_to_table("fresh", records=rows, columns=columns)
            await database.execute(
                "INSERT INTO lines SELECT * FROM fresh ON CONFLICT (id) DO UPDATE"
                " SET total_amount = excluded.total_amount, booking_date = excluded.booking_date"
            )
            known = [row["id"] for row in await database.fetch("SELECT id FROM lines")]
            gone = await amili.payout_specifications.sweep(known)  # deleted, at a request per hundred
            await database.execute("DELETE FROM lines WHERE id = ANY($1)", list(gone))
            await database.execute("UPDATE loads SET manifest = $1", lines.manifest.to_json())
        return lines.manifest
"""

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

        Polars, pandas and DuckDB take it: `polars.from_arrow(table)`, `table.to_pandas()`, `duckdb.from_arrow(table)`.
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
