"""What an extraction will cost, before it is begun."""

from datetime import UTC, datetime, timedelta
from math import ceil

from msgspec import Struct

from amili_async._wire.context import ClientContext


class Plan(Struct, frozen=True, kw_only=True):
    """What an extraction will cost, if nothing changes meanwhile and nobody else uses the key."""

    rows: int
    """How many records match."""
    requests: int
    """At least: the pages, what shows that the server honours ranges, and a count; without tokens and retries."""
    seconds: float | None
    """Until the last request can be sent, by the request budget; `None` where a budget of yours cannot tell."""
    finish: datetime | None
    """The earliest moment by this machine's clock, in UTC; what the server takes to answer comes on top."""


def make_plan(rows: int, connection: ClientContext) -> Plan:
    """The plan for so many records."""
    pages = max(1, ceil(rows / connection.page_size))
    requests = pages + (0 if rows == 0 else 2 if pages == 1 else 1)
    seconds = connection.forecast(requests)
    now = datetime.fromtimestamp(connection.clock.wall(), UTC)
    return Plan(
        rows=rows,
        requests=requests,
        seconds=seconds,
        finish=None if seconds is None else now + timedelta(seconds=seconds),
    )
