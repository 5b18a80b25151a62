"""`python -m benchmarks [NAME]`: prints ratios of medians, goals beside results, and what they do not show."""

import argparse
import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.heap import STEADY, is_steady
from benchmarks.report import Report, print_judged

try:
    from benchmarks import (
        decode,
        drawing,
        export,
        extract,
        growth,
        imports,
        limit,
        memory,
        order,
        overhead,
        stream,
        transport,
    )
except ImportError as error:
    raise SystemExit(f"{error}: pip install -e '.[bench]'") from None

BENCHMARKS: dict[str, Callable[..., Report]] = {
    "decode": decode.measure,
    "transport": transport.measure,
    "overhead": overhead.measure,
    "stream": stream.measure,
    "extract": extract.measure,
    "export": export.measure,
    "order": order.measure,
    "limit": limit.measure,
    "memory": memory.measure,
    "growth": growth.measure,
    "imports": imports.measure,
}
VERSIONS = (
    *("amili-async", "aiohttp", "msgspec", "tenacity", "pyarrow", "requests", "httpx", "pydantic", "dlt"),
    *("pyrate-limiter", "limits", "aiolimiter", "uvloop"),
)
NOT_SHOWN = """\
Not shown: production rows and their mix of dates, TLS, compression, a network that loses packets, the API's own limit
and latency. Server and client are processes on one machine; each result is a ratio of medians of rounds in random
order, each contender in a process of its own. Ratios carry over, milliseconds do not. glibc's trimming of the heap is
off in all that is timed: it alone moves the same loop by a factor of two. Memory is measured as users have it."""


class Results(Struct, frozen=True, kw_only=True):
    """What `--json` writes."""

    machine: str
    """Where it was measured."""
    versions: dict[str, str]
    """Of what was measured."""
    is_quick: bool
    """Whether too little was measured to judge."""
    reports: dict[str, Report]
    """By the name of the benchmark."""


def main() -> None:
    """Run one benchmark, or all."""
    if not is_steady():
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], os.environ | STEADY)  # noqa: S606 - itself
    options = _read_options()
    versions = _find_versions()
    machine = f"{_find_processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    print(f"{machine}; load before the start {os.getloadavg()[0]:.1f}: a busy machine falsifies even ratios.")
    print(", ".join(f"{name} {number}" for name, number in versions.items()))
    print(NOT_SHOWN)
    reports = {
        name: measure(quick=options.quick) for name, measure in BENCHMARKS.items() if options.name in (name, "all")
    }
    if len(reports) > 1:
        print("\nAll goals")
        for report in reports.values():
            print_judged(report.judged, is_quick=options.quick)
    results = Results(machine=machine, versions=versions, is_quick=options.quick, reports=reports)
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    if options.plot is not None:
        for path in drawing.draw(list(reports.values()), options.plot):
            print(f"drawn: {path}")


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("name", nargs="?", choices=[*BENCHMARKS, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="small and few: shows that it runs, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw the figures there, as SVG and PNG")
    return parser.parse_args()


def _find_versions() -> dict[str, str]:
    versions = {}
    for name in VERSIONS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _find_processor() -> str:
    try:
        described = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    return described.partition("model name\t: ")[2].partition("\n")[0] or platform.machine()


if __name__ == "__main__":
    main()
