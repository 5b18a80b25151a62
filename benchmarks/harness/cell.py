"""`python -m benchmarks.harness.cell CONTENDER URL SETTING`: runs a contender once, alone in a process, and prints its cost."""

import asyncio
import gc
import importlib
import inspect
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from benchmarks.harness.cores import CLIENT, stay_on
from benchmarks.harness.heap import read_memory


class Cost(Struct, frozen=True, kw_only=True):
    """What a run took."""

    wall: float
    """Seconds that passed."""
    cpu: float
    """Seconds of this process alone, all its threads together."""
    growth: float = 0.0
    """Bytes of memory at most, beyond what the process had when everything was imported."""
    brought: int = 0
    """How many records, or pages, it says that it fetched."""


class Stopwatch:
    """Runs from its making on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> Cost:
        """What was taken so far."""
        return Cost(wall=time.perf_counter() - self._wall, cpu=time.process_time() - self._cpu)


class Setting(Struct, frozen=True, kw_only=True):
    """How a contender is run."""

    options: dict[str, int | str | bool] = {}
    """Arguments of its `fetch_all`."""
    is_pinned: bool = True
    """Whether on one core."""
    collects: bool = True
    """Whether Python's cyclic garbage collector is on."""


def run(contender: str, url: str, setting: Setting) -> Cost:
    """Import it, and only then begin to measure."""
    if setting.is_pinned:
        stay_on(CLIENT)
    module = importlib.import_module(f"benchmarks.contenders.{contender}")
    if hasattr(module, "prepare"):
        module.prepare()
    if not setting.collects:
        gc.disable()
    with suppress(OSError):  # the most so far, from here on; elsewhere than on Linux the imports count
        Path("/proc/self/clear_refs").write_text("5")
    before, _ = read_memory()
    watch = Stopwatch()
    if inspect.iscoroutinefunction(module.fetch_all):
        brought = asyncio.run(module.fetch_all(url, **setting.options))
    else:
        brought = module.fetch_all(url, **setting.options)
    cost = watch.read()
    _, peak = read_memory()
    return replace(cost, growth=peak - before, brought=brought)


if __name__ == "__main__":
    cost = run(sys.argv[1], sys.argv[2], msgspec.json.decode(sys.argv[3], type=Setting))
    print(msgspec.json.encode(cost).decode())
