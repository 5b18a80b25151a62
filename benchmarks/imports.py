"""How long `import amili_async` takes, relative to the import of aiohttp that it contains."""

import os
import subprocess
import sys
from tempfile import TemporaryDirectory

from benchmarks.harness.cell import Cost
from benchmarks.harness.report import GoalResult, Report, print_goals
from benchmarks.harness.rounds import Measure, find_ratio, print_table, run_rounds

GOAL = 1.2
_SCRIPT = """
import time
wall, cpu = time.perf_counter(), time.process_time()
import {module}
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def measure(*, quick: bool) -> Report:
    """Each import in a new interpreter; with fewer rounds if *quick*."""
    rounds = 3 if quick else 25
    with TemporaryDirectory() as compiled:
        contenders = {module: _importing(module, compiled) for module in ("aiohttp", "amili_async")}
        for measure_once in contenders.values():
            measure_once()  # writes the .pyc files, as an installation does
        medians = run_rounds(contenders, rounds=rounds)
    print_table(f"Imports in a new interpreter (CPU, medians of {rounds})", medians, baseline="aiohttp", by="cpu")
    ratio = find_ratio(medians, "amili_async", "aiohttp", "cpu")
    goal = GoalResult(name="import amili_async vs. import aiohttp", result=ratio, goal=GOAL)
    print_goals([goal], is_quick=quick)
    return Report(goals=(goal,))


def _importing(module: str, compiled: str) -> Measure:
    environment = os.environ | {"PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", _SCRIPT.format(module=module)]

    def run() -> Cost:
        printed = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout  # noqa: S603 - our own script
        wall, cpu = map(float, printed.split())
        return Cost(wall=wall, cpu=cpu)

    return run
