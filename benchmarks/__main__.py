"""`python -m benchmarks [NAME] [--quick]`: prints ratios of medians beside the goals; says what it does not show."""

import argparse
import os
import platform
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version

from benchmarks import decode, export, extract, fuzz, limit, memory, order, soak, stream
from benchmarks.heap import STEADY, is_steady

BENCHMARKS: dict[str, Callable[..., object]] = {
    "decode": decode.measure,
    "stream": stream.measure,
    "extract": extract.measure,
    "export": export.measure,
    "order": order.measure,
    "limit": limit.measure,
    "memory": memory.measure,
    "fuzz": fuzz.measure,
    "soak": soak.measure,
}
VERSIONS = ("amili-async", "aiohttp", "msgspec", "tenacity", "pyarrow")


def main() -> None:
    """Run one benchmark, or all."""
    if not is_steady():
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], os.environ | STEADY)  # noqa: S606 - itself
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("name", nargs="?", choices=[*BENCHMARKS, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="small and few: shows that it runs, not how fast")
    parser.add_argument("--minutes", type=float, help=f"how long to soak: {soak.MINUTES:g} unless --quick")
    options = parser.parse_args()
    measures: dict[str, Callable[..., object]] = {**BENCHMARKS, "soak": partial(soak.measure, minutes=options.minutes)}
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    print(f"Python {platform.python_version()}, {versions}; server and client on the same machine, loopback.")
    print(
        f"{os.cpu_count()} cores; load before the start {os.getloadavg()[0]:.1f}: a busy machine falsifies even ratios."
    )
    print("Made-up rows, no TLS, no packet loss: the ratios carry over, the milliseconds do not.")
    for name, measure in measures.items():
        if options.name in (name, "all"):
            measure(quick=options.quick)


if __name__ == "__main__":
    main()
