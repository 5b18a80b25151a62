"""The commands, assembled."""

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from amili_async.cli.commands.demo import show_demo
from amili_async.cli.commands.export import export_records
from amili_async.cli.commands.get import get_record
from amili_async.cli.commands.list import list_records
from amili_async.cli.commands.pay import register_payments
from amili_async.cli.commands.reconcile import reconcile_payouts
from amili_async.cli.commands.sandbox import serve_sandbox
from amili_async.cli.exit_codes import EXIT_CODES
from amili_async.version import VERSION

ENVIRONMENT = (
    "Environment: AMILI_TOKEN, or AMILI_API_CODE with AMILI_PRIVATE_KEY_FILE, for credentials; AMILI_BASE_URL for "
    "another API than Amili's own sandbox. `--sandbox` needs none of them: it uses generated records in this process."
)

app = typer.Typer(
    help="The finance side of the Amili API: payouts, payout specifications and creditor payments.",
    epilog=f"{ENVIRONMENT}\n\n{EXIT_CODES}\n\nStart here:  amili demo",
    no_args_is_help=True,
    add_completion=False,
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
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Read the options before the command's name."""


EXAMPLES: Mapping[Callable[..., None], str] = {
    show_demo: "amili demo",
    list_records: """amili list payouts --where '{"finance_category": "capital"}' --sort -payout_date""",
    get_record: "amili get payouts 6776478033d4049c0400dd72 --sandbox",
    export_records: "amili export specifications -o specifications.parquet --resume --since",
    reconcile_payouts: "amili reconcile --html report.html",
    register_payments: "amili pay july.csv --dry-run",
    serve_sandbox: "amili sandbox --port 8080",
}
for command, example in EXAMPLES.items():
    app.command(command.__module__.rpartition(".")[2], epilog=f"Example:  {example}")(command)
