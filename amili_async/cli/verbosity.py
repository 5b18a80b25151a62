"""The option `--verbose`, which every command has, before its name and after it."""

import inspect
import os
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, TypeAlias

import typer

from amili_async.cli.exit_codes import USAGE, print_error

VerboseOption: TypeAlias = Annotated[
    int,
    typer.Option("--verbose", "-v", count=True, metavar="", help="Log each call on stderr; -vv each attempt."),
]


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
