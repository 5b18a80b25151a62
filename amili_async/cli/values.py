"""Single values as a person reads them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rich.text import Text

from amili_async.models.fields import MONEY
from amili_async.models.json import encode_json


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
        return Text(show_text(encode_json(value)))
    if isinstance(value, (list, tuple)):
        return Text(", ".join(show_value(name, part).plain for part in value))
    return Text(show_text(str(value)))


def show_money(amount: int | Decimal) -> str:
    """With separated thousands and two decimals; more where there are more, since none is ever rounded away."""
    exact = Decimal(amount)
    decimals = len(f"{exact:f}".partition(".")[2].rstrip("0"))
    return f"{exact:,.{max(2, decimals)}f}"


def show_date(moment: datetime) -> str:
    """A day if it is midnight in UTC, else the instant."""
    moment = moment.astimezone(UTC)
    text = moment.isoformat().replace("+00:00", "Z")
    return text.removesuffix("T00:00:00Z")


def show_text(text: str) -> str:
    """Text in which nothing can steer the terminal."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
