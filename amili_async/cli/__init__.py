"""The command line `amili`; it needs the extra `amili-async[cli]` and names it where a package is missing."""

import io
import os
import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command that `sys.argv` names and exit with its code."""
    prepare_streams()
    missing = [name for name in ("jinja2", "rich", "typer") if find_spec(name) is None]
    if missing:
        sys.stderr.write(f"amili: {', '.join(missing)} not installed: pip install 'amili-async[cli]'\n")
        sys.exit(2)
    from amili_async.cli.app import app

    app(prog_name="amili")


def prepare_streams() -> None:
    """Let no letter and no closed stream fail a command that may have registered a payment."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            # The lowest free descriptor is the closed one, so no file or socket takes its number. It is opened for
            # writing, stdin too, so that a command that reads it raises instead of finding an empty input.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
