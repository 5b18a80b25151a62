"""CPU affinity: client and server run on different cores, so that neither takes CPU time from the other."""

import os

CLIENT_CORE, SERVER_CORE = 0, 1
"""Indexes into the cores that this process may use."""


def pin_to_core(index: int) -> None:
    """Run on one core from now on; no effect with a single core, or where the system has no CPU affinity."""
    if not hasattr(os, "sched_setaffinity"):  # macOS and Windows
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > max(CLIENT_CORE, SERVER_CORE):
        os.sched_setaffinity(0, {cores[index]})
