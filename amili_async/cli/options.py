"""Arguments and options that several commands share, and how their values are parsed."""

from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import msgspec
import typer

from amili_async.errors import ConfigurationError
from amili_async.filters import check_name
from amili_async.models.kinds import KINDS

ResourceName: TypeAlias = Annotated[
    str, typer.Argument(metavar="RESOURCE", help="payouts, specifications or payments.")
]
WhereOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="JSON", help="""Filter in the API's own JSON; dates may be ISO: {"_created": {"$gte": "2025-06-01"}}."""
    ),
]
SortOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="FIELDS", help="Sort by these fields, '-' for descending: -payout_date,amount.")
]
FieldsOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="FIELDS", help="Only these fields, in this order: _id,amount,currency.")
]
SandboxOption: TypeAlias = Annotated[
    bool, typer.Option("--sandbox", help="Use generated records in this process; needs no credentials.")
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="JSON, one document per line, exact digits.")]
OutputOption: TypeAlias = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="File to write: .ndjson, .jsonl, .csv or .parquet.")
]


def parse_where_option(text: str | None) -> dict[str, Any] | None:
    """Parse a filter; ISO dates become dates, because the API expects another form and silently matches nothing."""
    if text is None:
        return None
    try:
        where = msgspec.json.Decoder(float_hook=Decimal).decode(text)
    # A deep text exhausts the stack and a huge exponent overflows Decimal; neither error may quote the filter.
    except (msgspec.DecodeError, ValueError, RecursionError, ArithmeticError):
        raise ConfigurationError("--where is not valid JSON") from None
    if not isinstance(where, dict):
        raise ConfigurationError("""--where must be a JSON object, such as {"currency": "SEK"}""")
    return {name: _parse_dates(name, value) for name, value in where.items()}


def parse_fields_option(text: str | None) -> tuple[str, ...] | None:
    """The API's names of the fields, each once."""
    if text is None:
        return None
    return tuple(dict.fromkeys(check_name(name.strip()) for name in text.split(",")))


def _parse_dates(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _parse_dates(name if key.startswith("$") else key, part) for key, part in value.items()}
    if isinstance(value, list):
        return [_parse_dates(name, part) for part in value]
    is_date = not name.startswith("$") and KINDS.get(check_name(name)) == "a date"
    # Any other text is passed on: the library's own check names the field and explains the forms of a date.
    return _parse_iso(name, value) if is_date and isinstance(value, str) else value


def _parse_iso(name: str, text: str) -> Any:
    with suppress(ValueError):
        return date.fromisoformat(text)
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ConfigurationError(f"--where: a time in {name} has no zone; write it such as 2025-06-01T08:00:00Z")
        return moment
    return text
