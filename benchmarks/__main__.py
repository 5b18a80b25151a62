"""`python -m benchmarks [NAME]` runs one benchmark or all, and prints ratios of medians next to their goals."""

import argparse
import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.harness.figures import draw
from benchmarks.harness.heap import MALLOC_SETTINGS, is_malloc_tuned
from benchmarks.harness.report import Report, print_goals

try:
    from benchmarks import (
        decode,
        export,
        extract,
        growth,
        imports,
        memory,
        overhead,
        prefetch,
        processes,
        rate_limiter,
        stream,
        transport,
        web_app,
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
    "prefetch": prefetch.measure,
    "rate-limiter": rate_limiter.measure,
    "processes": processes.measure,
    "web-app": web_app.measure,
    "memory": memory.measure,
    "growth": growth.measure,
    "imports": imports.measure,
}
DISTRIBUTIONS = (
    *("amili-async", "aiohttp", "msgspec", "tenacity", "pyarrow", "requests", "httpx", "pydantic", "dlt"),
    *("pyrate-limiter", "limits", "aiolimiter", "redis", "uvloop"),
)
METHOD = """\
Not covered: production data and its mix of dates, TLS, compression, packet loss, the API's own rate limit and latency.
Server and client are two processes on one machine. Each result is a ratio of medians over rounds in random order, each
run in its own process. Ratios are comparable between machines, milliseconds are not. Timings are taken with glibc's
heap trimming off, since it alone changes the time of one loop by a factor of two; memory with default settings."""


class Results(Struct, frozen=True, kw_only=True):
    """The file that `--json` writes."""

    machine: str
    """Processor, cores, system and Python version."""
    versions: dict[str, str]
    """Installed versions, by distribution name."""
    is_quick: bool
    """Whether this was a quick run, whose results are not judged."""
    reports: dict[str, Report]
    """Results, by name of the benchmark."""


def main() -> None:
    """Run one benchmark, or all."""
    if not is_malloc_tuned():
        # glibc reads these variables at process start only.
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], os.environ | MALLOC_SETTINGS)  # noqa: S606 - this module
    options = _read_options()
    versions = _find_versions()
    machine = f"{_find_processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    print(f"{machine}; load average {os.getloadavg()[0]:.1f} (other load distorts even ratios)")
    print(", ".join(f"{name} {number}" for name, number in versions.items()))
    print(METHOD)
    reports = {
        name: measure(quick=options.quick) for name, measure in BENCHMARKS.items() if options.name in (name, "all")
    }
    if len(reports) > 1:
        print("\nAll goals")
        for report in reports.values():
            print_goals(report.goals, is_quick=options.quick)
    results = Results(machine=machine, versions=versions, is_quick=options.quick, reports=reports)
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    if options.plot is not None:
        for path in draw(list(reports.values()), options.plot):
            print(f"figure written: {path}")


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("name", nargs="?", choices=[*BENCHMARKS, "all"], default="all")
    parser.add_argument(
        "--quick", action="store_true", help="few and small runs: checks that the benchmarks work, gives no verdicts"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results to FILE")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw the figures into DIR, as SVG and PNG")
    return parser.parse_args()


def _find_versions() -> dict[str, str]:
    versions = {}
    for name in DISTRIBUTIONS:
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
