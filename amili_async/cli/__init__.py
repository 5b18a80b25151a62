"""The command line `amili`; it needs the extra `amili-async[cli]` and names it where a package is missing."""

import sys

_PACKAGES = {"typer", "rich", "jinja2"}


def main() -> None:
    """Run the command that `sys.argv` names and exit with its code."""
    try:
        from amili_async.cli.app import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _PACKAGES:
            raise
        sys.stderr.write("amili: the command line needs more packages: pip install 'amili-async[cli]'\n")
        sys.exit(2)
    app(prog_name="amili")
