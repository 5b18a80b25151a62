"""`python -m benchmarks [decode|stream] [--quick]`: prints ratios of medians; says what it does not show."""

import argparse
import os
import platform
import sys
from importlib.metadata import version

from benchmarks import decode, stream

BENCHMARKS = {"decode": decode.measure, "stream": stream.measure}


STEADY = {"MALLOC_TRIM_THRESHOLD_": "67108864", "MALLOC_MMAP_THRESHOLD_": "33554432"}
"""glibc returns the memory of each page to the kernel and fetches it again, or not, by what else is allocated: the
same loop can differ by half. These switch that off, for all contenders."""


def main() -> None:
    """Run one benchmark, or all."""
    if not STEADY.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], os.environ | STEADY)  # noqa: S606 - itself
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
