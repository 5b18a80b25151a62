"""Rows for tests of extraction, created at seconds that the test chooses, so that it knows the place of each id."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from amili_async.sandbox import Sandbox

SPECIFICATIONS = "finance--payout-specifications"
BEGINNING = 1_735_689_600
"""The first second of 2025."""
DAY = 86_400


def make_id(second: int, place: int) -> str:
    """The id of the row that has that place among those of its second."""
    return f"{second:08x}{place:016x}"


def make_row(row_id: str, **fields: Any) -> dict[str, Any]:
    """A row created at the second of its id, with its own amount in öre."""
    made = datetime.fromtimestamp(int(row_id[:8], 16), UTC)
    amount = Decimal(int(row_id, 16) % 999_983) / 100
    return {"_id": row_id, "_created": made, "_updated": made, "article": "capital", "amount": amount, **fields}


def spread_evenly(count: int) -> list[str]:
    """Ids over two years."""
    return [make_id(BEGINNING - 365 * DAY + place * (700 * DAY // max(1, count)), place) for place in range(count)]


def crowd_a_month(count: int) -> list[str]:
    """Ids over two years, nineteen of twenty in one month of them."""
    few = spread_evenly(count // 20)
    many = [make_id(BEGINNING + place * (30 * DAY // count), 2**32 + place) for place in range(count - len(few))]
    return sorted(few + many)


def crowd_a_second(count: int) -> list[str]:
    """Ids of one and the same second."""
    return [make_id(BEGINNING, place) for place in range(count)]


def fill(sandbox: Sandbox, ids: Iterable[str]) -> list[str]:
    """Store rows with these ids; returns them in order."""
    stored = sorted(ids)
    for row_id in stored:
        sandbox.insert(SPECIFICATIONS, make_row(row_id))
    return stored


def count_pages(sandbox: Sandbox) -> int:
    """How many pages of specifications were requested."""
    return sum(request.path == f"/{SPECIFICATIONS}" for request in sandbox.requests)


def total_of(rows: Sequence[dict[str, Any]], name: str) -> Decimal:
    """The sum of a column, exactly."""
    return sum((Decimal(row[name]) for row in rows if row.get(name) is not None), Decimal(0))
