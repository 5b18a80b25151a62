"""Arguments and options that several commands share, and how their values are parsed."""

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches
from functools import wraps
from typing import Annotated, Any, TypeAlias

import msgspec
import typer

from amili_async.cli.console import printable
from amili_async.cli.exit_codes import PROBLEM, SUCCESS, USAGE, print_error
from amili_async.cli.resources import RESOURCES, ResourceEntry
from amili_async.errors import ConfigurationError
from amili_async.export import fields_of
from amili_async.filters import MAX_DEPTH, check_name
from amili_async.models.kinds import KINDS

ResourceName: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="RESOURCE",
        help="payouts, specifications, payments, creditors or cases.",
        autocompletion=lambda incomplete: [each.name for each in RESOURCES if each.name.startswith(incomplete)],
    ),
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
ExcelOption: TypeAlias = Annotated[
    bool,
    typer.Option("--excel", help="CSV to open in a Swedish spreadsheet; guards text, converts dates."),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="JSON, one document per line, exact digits.")]
OutputOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="A name or URL (s3://…) in .ndjson, .jsonl, .csv or .parquet, text also with .gz or .zst; - is stdout.",
    ),
]
VerboseOption: TypeAlias = Annotated[
    int,
    typer.Option("--verbose", "-v", count=True, metavar="", help="Log each call on stderr; -vv each attempt."),
]
_QUOTING = """put it in single quotes, so that the shell keeps the double ones: --where '{"currency": "SEK"}'"""


def with_verbosity(command: Callable[..., None]) -> Callable[..., None]:
    """The command with `--verbose`, which sets `AMILI_LOG`: each client that it opens reads that."""

    @wraps(command)
    def run_command(context: typer.Context, *, verbose: int, **given: Any) -> None:
        # Before the name of the command it is an option of all of them.
        count = max(verbose, context.parent.params["verbose"] if context.parent is not None else 0)
        if count and given.get("quiet"):
            print_error("--quiet and --verbose cannot be combined")
            raise typer.Exit(USAGE)
        if count:
            os.environ["AMILI_LOG"] = "info" if count == 1 else "debug"
        command(**given)

    # typer reads the parameters of a command from its signature.
    signature = inspect.signature(command)
    own = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, kind, default in (("context", typer.Context, inspect.Parameter.empty), ("verbose", VerboseOption, 0))
    ]
    run_command.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *own])  # type: ignore[attr-defined]
    run_command.__annotations__ = {**command.__annotations__, "context": typer.Context, "verbose": VerboseOption}
    return run_command


def parse_where_option(text: str | None) -> dict[str, Any] | None:
    """Parse a filter; ISO dates become dates, because the API expects another form and silently matches nothing."""
    if text is None:
        return None
    try:
        where = msgspec.json.Decoder(float_hook=Decimal).decode(text)
    # A deep text exhausts the stack and a huge exponent overflows Decimal; neither error may quote the filter.
    except (msgspec.DecodeError, ValueError, RecursionError, ArithmeticError):
        raise ConfigurationError(f"--where is not valid JSON; {_QUOTING}") from None
    if not isinstance(where, dict):
        raise ConfigurationError("""--where must be a JSON object, such as '{"currency": "SEK"}'""")
    return {name: _parse_dates(name, value, MAX_DEPTH) for name, value in where.items()}


def parse_fields_option(text: str | None) -> tuple[str, ...] | None:
    """The API's names of the fields, each once."""
    if text is None:
        return None
    return tuple(dict.fromkeys(check_name(name.strip()) for name in text.split(",")))


def warn_of_unknown_names(
    entry: ResourceEntry,
    where: Mapping[str, Any] | None = None,
    sort: str | None = None,
    fields: Sequence[str] | None = None,
) -> None:
    """Warn on stderr of names that the resource's documentation lacks: the API reports no error and matches nothing."""
    sorted_by = [name.strip().removeprefix("-") for name in sort.split(",")] if sort else []
    for option, names in (("--where", _names_in(where or {})), ("--sort", sorted_by), ("--fields", fields or ())):
        for name in dict.fromkeys(names):
            with suppress(ConfigurationError):  # what cannot be a name at all is rejected by the library
                name = check_name(name)
                if _is_documented(name, entry):
                    continue
                near = get_close_matches(name.lower(), _documented(entry), n=1)
                hint = f"did you mean {near[0]}?" if near else "the API ignores or never matches unknown names"
                print_error(f"{option}: {entry.name} have no documented field '{printable(name)}'", hint)


def check_matches(
    rows: int, entry: ResourceEntry, where: Mapping[str, Any] | None, outcome: str = "", *, options: str = "--where"
) -> int:
    """The exit code of a command that found so many records; where a filter matches none, stderr states so."""
    if rows or not where:
        return SUCCESS
    print_error(f"no {entry.name} match {options}", outcome)
    return PROBLEM


def _names_in(where: Mapping[str, Any]) -> Iterator[str]:
    for name, value in where.items():
        if not name.startswith("$"):
            yield name
        elif isinstance(value, list):
            for part in value:
                yield from _names_in(part) if isinstance(part, dict) else ()


def _documented(entry: ResourceEntry) -> list[str]:
    known = fields_of(entry.record)
    return [*known, *(name for name in KINDS if name.partition(".")[0] in known and "." in name)]


def _is_documented(name: str, entry: ResourceEntry) -> bool:
    root, dot, _ = name.partition(".")
    known = _documented(entry)
    # The parts of most objects are documented by examples only; those of `references` are documented.
    is_open = bool(dot) and KINDS.get(root) == "an object" and root != "references"
    return name in known or (is_open and root in known)


def _parse_dates(name: str, value: Any, depth: int) -> Any:
    if not depth:
        raise ConfigurationError(f"--where is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        return {key: _parse_dates(name if key.startswith("$") else key, part, depth - 1) for key, part in value.items()}
    if isinstance(value, list):
        return [_parse_dates(name, part, depth - 1) for part in value]
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
