"""Whether a Parquet file holds each row exactly once, in order, and to what its money adds up; read piece by piece."""

from decimal import Decimal
from pathlib import Path

import pyarrow.compute
import pyarrow.parquet
from msgspec import Struct

from benchmarks.workload.rows import MONEY, Rows


class Contents(Struct, frozen=True):
    """What is in a file."""

    rows: int
    """How many."""
    fault: str
    """The first row that is not the one expected there; empty where all are."""
    sums: dict[str, Decimal]
    """By column, exact."""


def read_contents(path: Path, rows: Rows) -> Contents:
    """Compare the ids of the file with those of *rows*, which ascend strictly."""
    sums = dict.fromkeys(MONEY, Decimal())
    number, fault = 0, ""
    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["_id", *MONEY]):
            for record_id in batch.column("_id").to_pylist():
                if not fault and (number >= rows.count or record_id != rows.id_of(number)):
                    fault = f"row {number} is {record_id}"
                number += 1
            for name in MONEY:
                sums[name] += pyarrow.compute.sum(batch.column(name)).as_py() or Decimal()
    if not fault and number < rows.count:
        fault = f"the last {rows.count - number} rows are missing"
    return Contents(rows=number, fault=fault, sums=sums)
