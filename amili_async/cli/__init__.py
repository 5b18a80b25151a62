"""The command line `amili`; it needs the extra `amili-async[cli]` and names it where a package is missing."""

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command that `sys.argv` names and exit with its code."""
    missing = [name for name in ("jinja2", "rich", "typer") if find_spec(name) is None]
    if missing:
        sys.stderr.write(f"amili: {', '.join(missing)} not installed: pip install 'amili-async[cli]'\n")
        sys.exit(2)
    from amili_async.cli.app import app

    app(prog_name="amili")
