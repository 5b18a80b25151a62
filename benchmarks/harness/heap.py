"""Process memory, and the glibc settings that keep timings repeatable.

asyncio allocates 256 KB for each read and shrinks it to what arrived. With pages of some 90 KB glibc then returns the
top of the heap to the kernel again and again; how often depends on what else is allocated, and changes the time of one
and the same loop by a factor of two.
"""

import os
import resource
import sys
from pathlib import Path

MALLOC_SETTINGS = {"MALLOC_TRIM_THRESHOLD_": "67108864", "MALLOC_MMAP_THRESHOLD_": "33554432"}
"""Environment variables that turn heap trimming off. Every process whose time is compared runs with them."""


def is_malloc_tuned() -> bool:
    """Whether this process was started with `MALLOC_SETTINGS`."""
    return MALLOC_SETTINGS.items() <= os.environ.items()


def untuned_environment() -> dict[str, str]:
    """The environment without `MALLOC_SETTINGS`, as users have it; memory is measured in it."""
    return {name: value for name, value in os.environ.items() if name not in MALLOC_SETTINGS}


def read_memory() -> tuple[int, int]:
    """Bytes: current and peak resident memory; without /proc the peak is returned for both."""
    try:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        status = Path("/proc/self/status").read_text()
        return resident, int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except FileNotFoundError:
        # ru_maxrss is in bytes on macOS and in kilobytes elsewhere: getrusage(2).
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return peak, peak
