"""What a process holds in memory, and whether glibc gives the memory of each page back to the kernel meanwhile."""

import os
import resource
import sys
from pathlib import Path

STEADY = {"MALLOC_TRIM_THRESHOLD_": "67108864", "MALLOC_MMAP_THRESHOLD_": "33554432"}
"""Switches that off. Without them the same loop can differ by half, by what else is allocated: so whatever is timed
against another has them."""


def is_steady() -> bool:
    """Whether this process was started with them."""
    return STEADY.items() <= os.environ.items()


def as_users_have_it() -> dict[str, str]:
    """The environment without them: nobody sets them, and they change how much memory a process keeps."""
    return {name: value for name, value in os.environ.items() if name not in STEADY}


def read_memory() -> tuple[int, int]:
    """Bytes that are resident and that were at most; where there is no /proc, the latter stands for both."""
    try:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        status = Path("/proc/self/status").read_text()
        return resident, int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except FileNotFoundError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return peak, peak
