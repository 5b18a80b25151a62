"""What `import amili_async` takes, beside the import of aiohttp that is a part of it."""

import os
import subprocess
import sys
from tempfile import TemporaryDirectory

from benchmarks.harness.cell import Cost
from benchmarks.harness.report import Judged, Report, print_judged
from benchmarks.harness.rounds import Measure, find_ratio, print_table, run_rounds

GOAL = 1.2
_SCRIPT = """
import time
wall, cpu = time.perf_counter(), time.process_time()
import {module}
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def measure(*, quick: bool) -> Report:
    """Each in a new interpreter; fewer rounds if *quick*."""
    rounds = 3 if quick else 25
    with TemporaryDirectory() as compiled:
        contenders = {module: _importing(module, compiled) for module in ("aiohttp", "amili_async")}
        for measure_once in contenders.values():
            measure_once()  # compiles what it imports, as an installation does
        medians = run_rounds(contenders, rounds=rounds)
    print_table(f"Imports in a new interpreter (CPU, medians of {rounds})", medians, baseline="aiohttp", by="cpu")
    ratio = find_ratio(medians, "amili_async", "aiohttp", "cpu")
    judged = Judged(what="import amili_async against import aiohttp", result=ratio, goal=GOAL)
    print_judged([judged], is_quick=quick)
    return Report(judged=(judged,))


def _importing(module: str, compiled: str) -> Measure:
    environment = os.environ | {"PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", _SCRIPT.format(module=module)]

    def run() -> Cost:
        printed = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout  # noqa: S603 - ours
        wall, cpu = map(float, printed.split())
        return Cost(wall=wall, cpu=cpu)

    return run
