"""`python -m benchmarks [decode|stream] [--quick]`: prints ratios of medians; says what it does not show."""

import argparse
import platform
from importlib.metadata import version

from benchmarks import decode, stream

BENCHMARKS = {"decode": decode.measure, "stream": stream.measure}


def main() -> None:
    """Run one benchmark, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("name", nargs="?", choices=[*BENCHMARKS, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="small and few: shows that it runs, not how fast")
    options = parser.parse_args()
    versions = ", ".join(f"{name} {version(name)}" for name in ("amili-async", "aiohttp", "msgspec", "tenacity"))
    print(f"Python {platform.python_version()}, {versions}; server and client on the same machine, loopback.")
    print("Made-up rows, no TLS, no packet loss: the ratios carry over, the milliseconds do not.")
    for name, measure in BENCHMARKS.items():
        if options.name in (name, "all"):
            measure(quick=options.quick)


if __name__ == "__main__":
    main()
