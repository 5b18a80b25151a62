"""`python -m benchmarks.harness.cell CONTENDER URL SETTINGS` runs one contender once and prints its cost."""

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

from benchmarks.harness.cores import CLIENT_CORE, pin_to_core
from benchmarks.harness.heap import read_memory


class Cost(Struct, frozen=True, kw_only=True):
    """What one run cost."""

    wall: float
    """Seconds of wall-clock time."""
    cpu: float
    """Seconds of CPU time of this process, all threads together."""
    memory: float = 0.0
    """Bytes: peak resident memory above the level after the imports."""
    fetched: int = 0
    """Records, or pages, that the contender reports to have fetched."""


class Stopwatch:
    """Measures time from its construction."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> Cost:
        """The time elapsed so far."""
        return Cost(wall=time.perf_counter() - self._wall, cpu=time.process_time() - self._cpu)


class CellSettings(Struct, frozen=True, kw_only=True):
    """How to run a contender."""

    options: dict[str, int | str | bool] = {}
    """Keyword arguments of its `fetch_all`."""
    is_pinned: bool = True
    """Whether to run on a single core."""
    gc_enabled: bool = True
    """Whether Python's cyclic garbage collector runs."""


def run(contender: str, url: str, settings: CellSettings) -> Cost:
    """Import and prepare the contender, then measure its `fetch_all`."""
    if settings.is_pinned:
        pin_to_core(CLIENT_CORE)
    module = importlib.import_module(f"benchmarks.contenders.{contender}")
    if hasattr(module, "prepare"):
        module.prepare()
    if not settings.gc_enabled:
        gc.disable()
    # Writing 5 resets the kernel's peak (VmHWM, see proc(5)). On other systems the peak includes the imports.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before, _ = read_memory()
    watch = Stopwatch()
    if inspect.iscoroutinefunction(module.fetch_all):
        fetched = asyncio.run(module.fetch_all(url, **settings.options))
    else:
        fetched = module.fetch_all(url, **settings.options)
    cost = watch.read()
    _, peak = read_memory()
    return replace(cost, memory=peak - before, fetched=fetched)


if __name__ == "__main__":
    cost = run(sys.argv[1], sys.argv[2], msgspec.json.decode(sys.argv[3], type=CellSettings))
    print(msgspec.json.encode(cost).decode())
