"""The command line as a program of its own."""

import sys

AMILI = (sys.executable, "-m", "amili_async")
"""Runs `amili`."""
HASTY_AMILI = (
    *(sys.executable, "-c"),
    "from amili_async.reconciliation import run; run.RECHECK_DELAY = 0; from amili_async.cli import main; main()",
)
"""The same, without the wait before a payout is compared again."""
