"""The command line as a program of its own."""

import sys

AMILI = (sys.executable, "-m", "amili_async")
"""Runs `amili`."""
HASTY_AMILI = (
    *(sys.executable, "-c"),
    "from amili_async.reconciliation import run; run.RECHECK_DELAY = 0; from amili_async.cli import main; main()",
)
"""The same, without the wait before a payout is compared again."""
IN_ONE_PROCESS = (
    *(sys.executable, "-c"),
    """
import json, sys
from amili_async.cli import main
codes = []
for sys.argv[1:] in json.loads(sys.argv[1]):
    try:
        main()
    except SystemExit as end:
        codes.append(end.code)
sys.exit(max(codes))
""",
)
"""Runs commands one after another, whose arguments are a list in JSON, and exits with the highest of their codes."""
