"""Which core a process runs on: a client and its server that share one would be measured together."""

import os

CLIENT, SERVER = 0, 1
"""Places among the cores that this process may use."""


def stay_on(place: int) -> None:
    """Run on one core from now on; does nothing where there are not two, or where the system has no such wish."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > max(CLIENT, SERVER):
        os.sched_setaffinity(0, {cores[place]})
