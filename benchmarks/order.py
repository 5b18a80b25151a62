"""What it costs that pages come in order: the walk of a stream against workers that keep no order, in virtual time."""

import asyncio
import heapq
import random
from collections.abc import Callable, Sequence
from statistics import fmean

from amili_async._paging.offset import PAGES_AHEAD_PER_REQUEST, OffsetPager, PagingOptions
from amili_async._paging.prefetch import PrefetchWindow
from amili_async.pages import Page
from benchmarks.report import Judged, Report, print_judged
from tests.support.clocks import JumpingLoop

WIDTH = 10
MEAN = 0.050
"""Seconds."""
LATENCIES: dict[str, Callable[[random.Random], float]] = {
    "constant": lambda _: MEAN,
    "uniform, 25-75 ms": lambda dice: dice.uniform(0.5 * MEAN, 1.5 * MEAN),
    "lognormal, sigma 0.5": lambda dice: MEAN * dice.lognormvariate(0.0, 0.5),
    "exponential": lambda dice: dice.expovariate(1 / MEAN),
    "5 % ten times slower": lambda dice: MEAN * (10 if dice.random() < 0.05 else 1),
}
GOALS = {"lognormal, sigma 0.5": 1.02, "exponential": 1.05, "5 % ten times slower": 1.3}


def measure(*, quick: bool) -> Report:
    """Means over the seeds; fewer of them if *quick*."""
    pages, seeds = 1_000, 2 if quick else 10
    print(f"\nOrder: {pages:,} pages, {WIDTH} requests in flight, virtual time, means of {seeds} seeds;")
    print(f"the walk of a stream, {PAGES_AHEAD_PER_REQUEST} x {WIDTH} pages ahead, against workers that keep no order")
    print(f"  {'latency':<24} {'in order':>9}  {'most pages waiting':>19}")
    judged = []
    for name, draw in LATENCIES.items():
        ratios, waiting = [], 0
        for seed in range(seeds):
            dice = random.Random(seed)
            latencies = [draw(dice) for _ in range(pages)]
            seconds, most = _walk_in_order(latencies)
            ratios.append(seconds / _run_unordered(latencies))
            waiting = max(waiting, most)
        print(f"  {name:<24} {fmean(ratios):8.3f}x  {waiting:>19}")
        if name in GOALS:
            judged.append(Judged(what=f"in order against any order, {name}", result=fmean(ratios), goal=GOALS[name]))
    print_judged(judged, is_quick=quick)
    return Report(judged=tuple(judged))


def _run_unordered(latencies: Sequence[float]) -> float:
    """Seconds until workers have fetched all; they too learn from the first page how many there are."""
    free = [latencies[0]] * WIDTH
    for latency in latencies[1:]:
        heapq.heapreplace(free, free[0] + latency)
    return max(free)


def _walk_in_order(latencies: Sequence[float]) -> tuple[float, int]:
    """Seconds until a consumer that does nothing has got the last page, and how many pages waited at the most."""
    arrived = taken = most = 0

    async def fetch(number: int) -> Page[dict[str, int]]:
        nonlocal arrived, most
        await asyncio.sleep(latencies[number - 1])
        arrived += 1
        most = max(most, arrived - taken)
        return Page(items=({"_id": number},), number=number, max_results=1, total=len(latencies))

    async def consume() -> float:
        nonlocal taken
        window = PrefetchWindow(fetch, concurrency=WIDTH)
        pace = PagingOptions(page_size=1, concurrency=WIDTH, opens_fully=True)
        walk = OffsetPager(window, lambda page, _: page, options=pace, on_drift=_refuse_drift)
        async for page in walk.pages():
            taken += len(page.items)
        if taken != len(latencies):
            raise SystemExit(f"{taken} of {len(latencies)} pages came")
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(consume()), most


def _refuse_drift(page: int, reason: str) -> None:
    raise SystemExit(f"page {page} drifted: {reason}")
