"""Dates in the API's format (RFC 1123, GMT), written strictly and read as liberally as Eve 2.3 reads them."""

import re
import time
from datetime import UTC, datetime
from functools import lru_cache

# Tables instead of strftime and strptime, which follow the locale of the process.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
_RFC_1123 = re.compile(
    rf"(?:{'|'.join(_DAYS)}),\s+([12]\d|3[01]|0[1-9]|[1-9])\s+({'|'.join(_MONTHS)})\s+(\d{{4}})"
    r"\s+([01]\d|2[0-3]|\d):([0-5]\d|\d):([0-5]\d|\d)\s+GMT",
    re.IGNORECASE,
)


@lru_cache(maxsize=20_000)
def read_date(text: str) -> datetime | None:
    """The moment in a text, or None where it is not a date."""
    match = _RFC_1123.fullmatch(text)
    if match is None:
        return None
    day, month, year, hour, minute, second = match.groups()
    # The weekday is ignored: Eve 2.3 reads with strptime, which accepts any.
    try:
        return datetime(
            int(year), _MONTH_NUMBERS[month.lower()], int(day), int(hour), int(minute), int(second), tzinfo=UTC
        )
    except ValueError:
        return None


@lru_cache(maxsize=20_000)
def write_date(moment: datetime) -> str:
    """The text of a moment, with the correct weekday and whole seconds."""
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02} {_MONTHS[moment.month - 1]} {moment.year:04} "
        f"{moment.hour:02}:{moment.minute:02}:{moment.second:02} GMT"
    )


def system_time() -> float:
    """Epoch seconds. It looks `time.time` up for each call, so that a test may freeze time."""
    return time.time()


def at_epoch(seconds: float) -> datetime:
    """The moment so many seconds after 1970, truncated to whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC)
