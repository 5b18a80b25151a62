"""Check that a Parquet file contains each row exactly once and in order, and sum its money columns."""

from decimal import Decimal
from pathlib import Path

import pyarrow.compute
import pyarrow.parquet
from msgspec import Struct

from benchmarks.workload.rows import MONEY, Rows


class FileContents(Struct, frozen=True):
    """What a file contains."""

    rows: int
    """Number of rows."""
    fault: str
    """The first difference from the expected rows; empty if there is none."""
    sums: dict[str, Decimal]
    """Exact sums, by column."""


def check_contents(path: Path, rows: Rows) -> FileContents:
    """Compare the ids in the file with those of *rows*, which ascend strictly; reads batch by batch."""
    sums = dict.fromkeys(MONEY, Decimal())
    number, fault = 0, ""
    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["_id", *MONEY]):
            for record_id in batch.column("_id").to_pylist():
                if not fault and (number >= rows.count or record_id != rows.id_of(number)):
                    fault = f"row {number} has the id {record_id}"
                number += 1
            for name in MONEY:
                sums[name] += pyarrow.compute.sum(batch.column(name)).as_py() or Decimal()
    if not fault and number < rows.count:
        fault = f"the last {rows.count - number} rows are missing"
    return FileContents(rows=number, fault=fault, sums=sums)
