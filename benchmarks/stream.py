"""A whole stream at 50 ms latency, without a limit: concurrency against page after page."""

import asyncio
import time
from types import ModuleType

from benchmarks.contenders import ours_eight, ours_one, plain_loop
from benchmarks.rounds import Measure, print_table, run_rounds
from benchmarks.serving import serve

LATENCY = 0.05


def measure(*, quick: bool) -> dict[str, float]:
    """Median seconds by contender; fewer records and rounds if *quick*."""
    specifications, rounds = (2_000, 1) if quick else (5_000, 5)
    with serve(specifications=specifications, latency=LATENCY) as url:

        def timed(contender: ModuleType) -> Measure:
            def run() -> float:
                began = time.perf_counter()
                fetched = asyncio.run(contender.fetch_all(url))
                if fetched != specifications:
                    raise SystemExit(f"{contender.LABEL} fetched {fetched} of {specifications} records")
                return time.perf_counter() - began

            return run

        contenders = {module.LABEL: timed(module) for module in (ours_eight, ours_one, plain_loop)}
        medians = run_rounds(contenders, rounds=rounds)
    print_table(
        f"Stream of {specifications:,} specifications, {specifications // 100} pages, 50 ms latency, no limit "
        f"(wall, medians of {rounds})",
        medians,
        baseline=ours_one.LABEL,
    )
    gain = medians[ours_one.LABEL] / medians[ours_eight.LABEL]
    goal = "too few pages to judge" if quick else "goal: at least 6"
    print(f"  concurrency=8 is {gain:.2f} times as fast as concurrency=1 ({goal})")
    return medians
