"""What the made-up rows are made of: money, creditors, dates."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from ..dates import write_date
from ..object_ids import random_id

BEGINNING = datetime(2025, 1, 1, tzinfo=UTC)
SPAN_DAYS = 180
NAMES = (
    "Åkerströms Bygg AB",
    "Läkargruppen i Örebro AB",
    "Norrsken Energi AB",
    "Example Creditor AB",
    "Vårdhuset Ängen AB",
)


@dataclass(frozen=True, slots=True)
class Creditor:
    """One who is paid."""

    id: str
    name: str


def make_creditors(random: Random) -> list[Creditor]:
    """The creditors of one sandbox."""
    return [Creditor(random_id(random, BEGINNING.timestamp() - 10_000 * n), name) for n, name in enumerate(NAMES, 1)]


def as_number(ore: int, *, whole_as_int: bool) -> int | Decimal:
    """An amount in kronor with a float's digits: 60.5 and 1064.0, or the integer 1064, as the API mixes them."""
    if whole_as_int and ore % 100 == 0:
        return ore // 100
    digits = f"{ore // 100}.{ore % 100:02}"
    return Decimal(digits[:-1] if ore % 10 == 0 else digits)


def on_day(number: int) -> datetime:
    """Midnight of a day, counted from the beginning."""
    return BEGINNING + timedelta(days=number)


def write_day(moment: datetime) -> str:
    """The date of the midnight before a moment."""
    return write_date(moment.replace(hour=0, minute=0, second=0))
