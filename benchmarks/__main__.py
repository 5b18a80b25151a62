"""`python -m benchmarks [NAME] [--quick]`: prints ratios of medians beside the goals; says what it does not show."""

import argparse
import os
import platform
import sys
from importlib.metadata import version

from benchmarks import decode, export, extract, memory, stream
from benchmarks.heap import STEADY, is_steady

BENCHMARKS = {
    "decode": decode.measure,
    "stream": stream.measure,
    "extract": extract.measure,
    "export": export.measure,
    "memory": memory.measure,
}
VERSIONS = ("amili-async", "aiohttp", "msgspec", "tenacity", "pyarrow")


def main() -> None:
    """Run one benchmark, or all."""
    if not is_steady():
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], os.environ | STEADY)  # noqa: S606 - itself
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("name", nargs="?", choices=[*BENCHMARKS, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="small and few: shows that it runs, not how fast")
    options = parser.parse_args()
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    print(f"Python {platform.python_version()}, {versions}; server and client on the same machine, loopback.")
    print(
        f"{os.cpu_count()} cores; load before the start {os.getloadavg()[0]:.1f}: a busy machine falsifies even ratios."
    )
    print("Made-up rows, no TLS, no packet loss: the ratios carry over, the milliseconds do not.")
    for name, measure in BENCHMARKS.items():
        if options.name in (name, "all"):
            measure(quick=options.quick)


if __name__ == "__main__":
    main()
