"""Whether glibc gives the memory of each page back to the kernel, which it does or not by what else is allocated."""

import os

STEADY = {"MALLOC_TRIM_THRESHOLD_": "67108864", "MALLOC_MMAP_THRESHOLD_": "33554432"}
"""Switches that off. Without them the same loop can differ by half, so whatever is timed against another has them."""


def is_steady() -> bool:
    """Whether this process was started with them."""
    return STEADY.items() <= os.environ.items()


def as_users_have_it() -> dict[str, str]:
    """The environment without them: nobody sets them, and they change how much memory a process keeps."""
    return {name: value for name, value in os.environ.items() if name not in STEADY}
