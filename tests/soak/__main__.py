"""`python3 -m tests.soak`: one client over an unsteady server for minutes, or many thousand corrupted responses."""

import argparse

from tests.soak import fuzz, run


def main() -> None:
    """Run one of the two; a failure ends the process with a message and exit code 1."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.soak")
    parser.add_argument("name", nargs="?", choices=["soak", "fuzz"], default="soak")
    parser.add_argument("--minutes", type=float, default=run.MINUTES, help=f"how long to soak: {run.MINUTES:g}")
    parser.add_argument("--cases", type=int, default=fuzz.CASES, help=f"responses to corrupt: {fuzz.CASES:,}")
    options = parser.parse_args()
    if options.name == "soak":
        run.soak(options.minutes)
    else:
        fuzz.fuzz(options.cases)


if __name__ == "__main__":
    main()
