"""How fast the rate limiter is under 100 requests per minute and 10 per second, for each way a server may count."""

import asyncio
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from benchmarks.harness.cell import Cost, Stopwatch
from benchmarks.harness.report import Curve, GoalResult, Report, print_goals
from benchmarks.harness.rounds import Measure, print_table, run_rounds
from benchmarks.limiters import evenly_spaced, ours, unlimited
from benchmarks.simulation.client import (
    MAX_RATIO,
    WORKERS,
    RunMeans,
    find_optimum_without_quota,
    run_once,
    run_seeds,
)
from benchmarks.simulation.servers import (
    SERVERS,
    AlignedWindowServer,
    AlignedWindowServerWithQuota,
    EveCounterServer,
    ServerModel,
    SlidingWindowServer,
    SlidingWindowServerWithTightestQuota,
    TokenBucketServer,
    WeightedCounterServer,
)

TIME_GOAL = 1.03
MAX_RATE_LIMITED: dict[type[ServerModel], int] = {
    SlidingWindowServer: 0,
    SlidingWindowServerWithTightestQuota: 0,
    AlignedWindowServer: 0,
    AlignedWindowServerWithQuota: 0,
    TokenBucketServer: 12,
    WeightedCounterServer: 5,
    EveCounterServer: 0,
}
"""Largest acceptable number of 429 responses; models not listed have no goal."""
COST_GOAL = 0.4
LIBRARIES = {"aiolimiter": "leaky_bucket", "pyrate_limiter": "request_log", "limits": "moving_window"}
"""Library and the module that uses it; libraries that are not installed are left out."""
BURST_SIZE = 100
"""Permits acquired in a row while the cost is measured; none of them waits."""
MAX_POINTS = 150
"""Points per curve of the figure."""


def measure(*, quick: bool) -> Report:
    """Run simulations and measure costs; with fewer pages, seeds and rounds if *quick*."""
    others = {
        library: import_module(f"benchmarks.limiters.{name}")
        for library, name in LIBRARIES.items()
        if find_spec(library)
    }
    simulated = [module for library, module in others.items() if library != "limits"]
    pages, seeds = (200, 2) if quick else (1_000, 10)
    goals = [
        *_compare_times([ours, unlimited, evenly_spaced, *simulated], pages=pages, seeds=seeds),
        *_compare_costs([others[name] for name in ("pyrate_limiter", "limits") if name in others], quick=quick),
    ]
    print_goals(goals, is_quick=quick)
    return Report(goals=tuple(goals), curves=tuple(_make_curves(pages)))


def _compare_times(limiters: list[ModuleType], *, pages: int, seeds: int) -> Iterable[GoalResult]:
    print(f"\nRate limiter: {pages:,} pages, {WORKERS} workers, virtual time, means of {seeds} seeds. Duration as a")
    print("multiple of the optimum (a client that knows the server's state), and number of 429 responses. The library")
    print("limits is not simulated: it reads the system's clock.")
    for server in SERVERS:
        means = {limiter: run_seeds(server, limiter, pages=pages, seeds=seeds) for limiter in limiters}
        print(f"  {server.label}")
        for limiter, mean in means.items():
            print(f"    {limiter.LABEL:<36} {_describe(mean, seeds)}")
        if server is AlignedWindowServer:
            least = find_optimum_without_quota(server, pages=pages, seeds=seeds)
            print(f"    {'minimum without headers and 429s':<36} {least:6.3f}x")
        if server in MAX_RATE_LIMITED:
            yield from _judge(server, means[ours])


def _judge(server: type[ServerModel], means: RunMeans) -> Iterable[GoalResult]:
    limit = MAX_RATE_LIMITED[server]
    yield GoalResult(name=f"{server.label}: duration vs. optimum", result=means.ratio, goal=TIME_GOAL)
    yield GoalResult(name=f"{server.label}: 429 responses", result=means.rate_limited, goal=limit, unit="")


def _describe(means: RunMeans, seeds: int) -> str:
    if means.unfinished == seeds:
        return f"never finishes (stopped at {MAX_RATIO}x)"
    text = f"{means.ratio:6.3f}x  {means.rate_limited:8,.1f} 429s, at most {means.max_rate_limited:,}"
    return text + (f"  ({means.unfinished} of {seeds} never finish)" if means.unfinished else "")


def _compare_costs(others: list[ModuleType], *, quick: bool) -> Iterable[GoalResult]:
    bursts, rounds = (5, 3) if quick else (30, 15)
    permits = bursts * BURST_SIZE
    medians = run_rounds({module.LABEL: _acquiring(module, bursts) for module in (ours, *others)}, rounds=rounds)
    title = f"Acquire and return {permits:,} permits, both windows, without waiting (CPU, medians of {rounds})"
    print_table(title, medians, baseline=ours.LABEL, by="cpu")
    print(f"  amili_async: {medians[ours.LABEL].cpu / permits * 1e6:.2f} µs per permit")
    for module in others:
        ratio = medians[ours.LABEL].cpu / medians[module.LABEL].cpu
        yield GoalResult(name=f"CPU per permit vs. {module.LABEL}", result=ratio, goal=COST_GOAL)


def _acquiring(module: ModuleType, bursts: int) -> Measure:
    async def acquire_all() -> Cost:
        limiters = [module.make(per_second=BURST_SIZE, per_minute=10 * BURST_SIZE) for _ in range(bursts)]
        watch = Stopwatch()
        for limiter in limiters:
            for _ in range(BURST_SIZE):
                await limiter.acquire()
                limiter.on_response(None)
        return watch.read()

    return lambda: asyncio.run(acquire_all())


def _make_curves(pages: int) -> Iterable[Curve]:
    """Pages over time for three server models, with the first seed."""
    for server in (SlidingWindowServer, TokenBucketServer, EveCounterServer):
        for limiter in (ours, evenly_spaced, unlimited):
            fetched_at = run_once(server, limiter, pages=pages, seed=0).fetched_at
            step = max(1, len(fetched_at) // MAX_POINTS)
            points = [(at, float(number)) for number, at in enumerate(fetched_at, start=1)]
            label = f"{server.label}: {limiter.LABEL}"
            yield Curve(figure="limiter", label=label, points=((0.0, 0.0), *points[::step], points[-1]))
