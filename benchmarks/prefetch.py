"""What ordered delivery costs: the prefetch window of a stream against workers that keep no order, in virtual time."""

import asyncio
import heapq
import random
from collections.abc import Callable, Sequence
from statistics import fmean

from amili_async._paging.offset import PAGES_AHEAD_PER_REQUEST, OffsetPager, PagingOptions
from amili_async._paging.prefetch import PrefetchWindow
from amili_async.pages import Page
from benchmarks.harness.report import GoalResult, Report, print_goals
from tests.support.clocks import JumpingLoop

CONCURRENCY = 10
MEAN_LATENCY = 0.050
"""Seconds."""
LATENCIES: dict[str, Callable[[random.Random], float]] = {
    "constant": lambda _: MEAN_LATENCY,
    "uniform, 25-75 ms": lambda rng: rng.uniform(0.5 * MEAN_LATENCY, 1.5 * MEAN_LATENCY),
    "lognormal, sigma 0.5": lambda rng: MEAN_LATENCY * rng.lognormvariate(0.0, 0.5),
    "exponential": lambda rng: rng.expovariate(1 / MEAN_LATENCY),
    "5 % ten times slower": lambda rng: MEAN_LATENCY * (10 if rng.random() < 0.05 else 1),
}
GOALS = {"lognormal, sigma 0.5": 1.02, "exponential": 1.05, "5 % ten times slower": 1.3}
"""Largest acceptable ratio, by distribution; those not listed have no goal."""


def measure(*, quick: bool) -> Report:
    """Means over several seeds; over fewer if *quick*."""
    pages, seeds = 1_000, 2 if quick else 10
    print(f"\nPrefetch: {pages:,} pages, {CONCURRENCY} requests in flight, virtual time, means of {seeds} seeds.")
    print(
        f"Duration of a stream with a window of {PAGES_AHEAD_PER_REQUEST} x {CONCURRENCY} pages, as a multiple of the"
    )
    print("duration with workers that keep no order.")
    print(f"  {'latency':<24} {'ordered':>9}  {'max. pages buffered':>19}")
    goals = []
    for name, draw in LATENCIES.items():
        ratios, buffered = [], 0
        for seed in range(seeds):
            rng = random.Random(seed)
            latencies = [draw(rng) for _ in range(pages)]
            seconds, most = _fetch_in_order(latencies)
            ratios.append(seconds / _fetch_unordered(latencies))
            buffered = max(buffered, most)
        print(f"  {name:<24} {fmean(ratios):8.3f}x  {buffered:>19}")
        if name in GOALS:
            goals.append(GoalResult(name=f"ordered vs. unordered, {name}", result=fmean(ratios), goal=GOALS[name]))
    print_goals(goals, is_quick=quick)
    return Report(goals=tuple(goals))


def _fetch_unordered(latencies: Sequence[float]) -> float:
    """Seconds until workers have fetched every page; they start after the first page, which contains the total."""
    free_at = [latencies[0]] * CONCURRENCY
    for latency in latencies[1:]:
        heapq.heapreplace(free_at, free_at[0] + latency)
    return max(free_at)


def _fetch_in_order(latencies: Sequence[float]) -> tuple[float, int]:
    """Seconds until an idle consumer has received the last page, and the largest number of buffered pages."""
    arrived = consumed = most = 0

    async def fetch(number: int) -> Page[dict[str, int]]:
        nonlocal arrived, most
        await asyncio.sleep(latencies[number - 1])
        arrived += 1
        most = max(most, arrived - consumed)
        return Page(items=({"_id": number},), number=number, max_results=1, total=len(latencies))

    async def decode(page: Page[dict[str, int]], _: int) -> Page[dict[str, int]]:
        return page

    async def consume() -> float:
        nonlocal consumed
        window = PrefetchWindow(fetch, concurrency=CONCURRENCY)
        options = PagingOptions(page_size=1, concurrency=CONCURRENCY, opens_fully=True)
        pager = OffsetPager(window, decode, options=options, on_drift=_fail_on_drift)
        async for page in pager.pages():
            consumed += len(page.items)
        if consumed != len(latencies):
            raise SystemExit(f"received {consumed} pages; expected {len(latencies)}")
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(consume()), most


def _fail_on_drift(page: int, reason: str) -> None:
    raise SystemExit(f"page {page} drifted although the data does not change: {reason}")
