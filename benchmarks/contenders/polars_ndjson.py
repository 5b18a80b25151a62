"""Hand-written: ten workers of aiohttp, `polars.read_ndjson`, and then dates from text and money from floats."""

import polars

from benchmarks.contenders.aiohttp_bytes import fetch_lines
from benchmarks.workload.plain_models import DATES
from benchmarks.workload.rows import MONEY

LABEL = "aiohttp + polars.read_ndjson, made exact"


async def fetch_all(url: str) -> int:
    """Count the rows of the frame."""
    frame = polars.read_ndjson(await fetch_lines(url))
    return frame.with_columns(
        *(polars.col(name).str.to_datetime("%a, %d %b %Y %H:%M:%S GMT", time_zone="UTC") for name in DATES),
        # A float has lost the digits past the fifteenth; rounding repairs what is shorter.
        *(polars.col(name).round(6).cast(polars.Decimal(24, 6)) for name in MONEY),
    ).height
