"""Records as Arrow tables without a file, in the schema that Parquet files have."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from amili_async.errors import ConfigurationError, UnreadableResponse
from amili_async.export.columns import fields_of, find_columns
from amili_async.export.formats import FAILURES, check_fields, find_unencodable
from amili_async.export.formats.arrow import BatchBuilder, load_arrow, schema_of

if TYPE_CHECKING:
    from pyarrow import RecordBatch, Schema, Table

    from amili_async.extraction import Extraction
    from amili_async.resources import Resource
    from amili_async.streams import Stream


def arrow_schema(
    records: "Resource[Any] | Extraction[Any] | Stream[Any]", fields: Sequence[str] | None = None
) -> "Schema":
    """The schema of the Arrow tables, and of the Parquet files, of these records; it does not depend on any row.

    Money is `decimal128(24, 6)`, a date a timestamp of microseconds in UTC, a category a dictionary of texts. *fields*
    are the API's names in the order of the columns, dotted ones too, by default all fields of the record type.
    """
    return _make_schema(records.record, fields)


def _make_schema(record: Any, fields: Sequence[str] | None) -> "Schema":
    return schema_of(find_columns(check_fields(fields), record))


def batch_encoder(record: Any, fields: Sequence[str] | None = None) -> "Callable[[Sequence[Any]], RecordBatch]":
    """A function that makes a record batch of records of one type.

    It raises `UnreadableResponse` for a value that its column cannot hold.
    """
    chosen = check_fields(fields)
    if issubclass(record, Struct):
        unknown = {name.partition(".")[0] for name in chosen or ()} - set(fields_of(record))
        if unknown:
            raise ConfigurationError(
                f"{record.__name__} has no field {', '.join(sorted(unknown))}: extract or stream with into=dict"
            )
    build = BatchBuilder(find_columns(chosen, record)).build

    def encode(records: Sequence[Any]) -> "RecordBatch":
        try:
            return build(records)
        except FAILURES:
            pass
        # Outside the handler of an error that may quote the record and would show in the traceback.
        name, record_id, reason = find_unencodable(build, records)
        raise UnreadableResponse(f"{name} cannot be in a table{reason}", record_id=record_id)

    return encode


async def read_table(
    batches: "AsyncGenerator[RecordBatch, None]", record: type[Any], fields: Sequence[str] | None
) -> "Table":
    """All batches as one table, each column in one piece and with one dictionary."""
    schema = _make_schema(record, fields)
    async with aclosing(batches):
        found = [batch async for batch in batches]
    return load_arrow().Table.from_batches(found, schema=schema).unify_dictionaries().combine_chunks()
