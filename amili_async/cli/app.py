"""The commands, assembled."""

import os
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from amili_async.cli.commands.demo import show_demo
from amili_async.cli.commands.doctor import find_faults
from amili_async.cli.commands.export import export_records
from amili_async.cli.commands.get import get_record
from amili_async.cli.commands.list import list_records
from amili_async.cli.commands.pay import register_payments
from amili_async.cli.commands.reconcile import reconcile_payouts
from amili_async.cli.commands.sandbox import serve_sandbox
from amili_async.cli.exit_codes import EXIT_CODES
from amili_async.cli.options import VerboseOption, with_verbosity
from amili_async.version import VERSION

ENVIRONMENT = (
    "Environment: AMILI_TOKEN, or AMILI_API_CODE with AMILI_PRIVATE_KEY_FILE (or AMILI_PRIVATE_KEY), for credentials; "
    "AMILI_BASE_URL for another API than Amili's own sandbox; AMILI_TIMEOUT, AMILI_RATE_PER_MINUTE, "
    "AMILI_RATE_PER_SECOND, HTTPS_PROXY, AMILI_CA_FILE, AMILI_LOG. `--sandbox` needs none of them: it uses generated "
    "records in this process."
)


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))


def _without_types(params: Any) -> Any:
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""  # typer 0.29 and later write `--dry-run <bool>`, as if a value had to follow
    return params


app = typer.Typer(
    help="The finance side of the Amili API: payouts, payout specifications and creditor payments.",
    # Typer 0.26 joins paragraphs that only one blank line separates.
    epilog=f"{ENVIRONMENT}\n\n\n\n{EXIT_CODES}\n\n\n\nStart here:  amili demo",
    cls=_Group,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,  # typer's traceback prints the values of local variables, secrets included
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(is_requested: bool) -> None:  # noqa: FBT001 - typer passes it by position
    if is_requested:
        typer.echo(f"amili-async {VERSION}")
        raise typer.Exit


@app.callback()
def read_common_options(
    *,
    version: Annotated[  # noqa: ARG001 - its callback reads it
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    proxy: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Proxy to the API, such as http://proxy:3128; else HTTPS_PROXY names it."),
    ] = None,
    ca_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="PEM file with certificates of authorities to trust beside the system's."),
    ] = None,
    verbose: VerboseOption = 0,  # noqa: ARG001 - each command reads it
) -> None:
    """Read the options before the command's name: each sets a variable that the client reads."""
    if proxy is not None:
        os.environ |= {"HTTPS_PROXY": proxy, "https_proxy": proxy}
    if ca_file is not None:
        os.environ["AMILI_CA_FILE"] = ca_file


EXAMPLES: Mapping[Callable[..., None], str] = {
    show_demo: "amili demo",
    list_records: """amili list payouts --where '{"currency": "SEK"}'""",
    get_record: "amili get payouts 6776478033d4049c0400dd72 --sandbox",
    export_records: "amili export payouts -o payouts.parquet --resume --since",
    reconcile_payouts: "amili reconcile --html report.html",
    register_payments: "amili pay july.csv --dry-run",
    serve_sandbox: "amili sandbox --port 8080",
    find_faults: "amili doctor",
}
for command, example in EXAMPLES.items():
    add = app.command(command.__module__.rpartition(".")[2], cls=_Command, epilog=f"Example:  {example}")
    add(with_verbosity(command))
