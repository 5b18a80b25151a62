"""The command line; it needs the extra `amili-async[cli]`, and says so where that is missing."""

import sys


def main() -> None:
    """Run the command that `sys.argv` names, and end the process with its exit code."""
    try:
        from amili_async.cli.app import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in {"typer", "rich"}:
            raise
        sys.stderr.write("amili: the command line needs two more packages: pip install 'amili-async[cli]'\n")
        sys.exit(2)
    app(prog_name="amili")
