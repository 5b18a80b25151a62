"""Single values as people read them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rich.text import Text

from amili_async.models.json import encode_json
from amili_async.models.kinds import MONEY


def show_value(name: str, value: Any) -> Text:
    """The value of a field."""
    if value is None:
        return Text("null", style="dim")
    if isinstance(value, bool):
        return Text("true" if value else "false")
    if isinstance(value, datetime):
        return Text(show_date(value))
    if isinstance(value, (int, Decimal)):
        return Text(show_money(value) if name in MONEY else f"{value}")
    if isinstance(value, dict):
        return Text(printable(encode_json(value)))
    if isinstance(value, (list, tuple)):
        return Text(", ".join(show_value(name, part).plain for part in value))
    return Text(printable(str(value)))


def show_money(amount: int | Decimal) -> str:
    """With thousands separators and at least two decimals; no digit is rounded away."""
    exact = Decimal(amount)  # `:f` below writes out an exponent, as in 1E+3
    decimals = len(f"{exact:f}".partition(".")[2].rstrip("0"))
    return f"{exact:,.{max(2, decimals)}f}"


def show_date(moment: datetime) -> str:
    """A day for midnight in UTC, else the instant."""
    moment = moment.astimezone(UTC)
    text = moment.isoformat().replace("+00:00", "Z")
    return text.removesuffix("T00:00:00Z")


def show_count(number: int, thing: str) -> str:
    """`no payouts`, `1 payout`, `1,000 payouts`."""
    return f"{f'{number:,}' if number else 'no'} {thing}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Text whose control and format characters are escaped, so that it cannot steer a terminal or reverse a line."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
