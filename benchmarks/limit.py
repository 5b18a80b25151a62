"""What the request budget makes of a limit of 100 a minute and ten a second, however the server counts."""

import asyncio
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from benchmarks.cell import Cost, Stopwatch
from benchmarks.limit_run import PATIENCE, WORKERS, Typical, find_blind_optimum, run_once, run_seeds
from benchmarks.limit_servers import (
    SERVERS,
    AlignedWindows,
    EveCounter,
    Server,
    SlidingWindows,
    TokenBucket,
    ToldAlignedWindows,
    WeightedCounter,
)
from benchmarks.limiters import ours, paced, unlimited
from benchmarks.report import Curve, Judged, Report, print_judged
from benchmarks.rounds import Measure, print_table, run_rounds

WALL_GOAL = 1.03
REFUSALS: dict[type[Server], int] = {
    SlidingWindows: 0,
    AlignedWindows: 0,
    ToldAlignedWindows: 0,
    TokenBucket: 5,
    WeightedCounter: 5,
    EveCounter: 0,
}
"""The most answers with 429 that it may bring."""
COST_GOAL = 0.4
LIBRARIES = {"aiolimiter": "leaky", "pyrate_limiter": "pyrate", "limits": "moving_window"}
"""Each with the module that uses it; those that are not installed are left out."""
BURST = 100
"""Turns taken in a row while the cost is measured; none of them waits."""
POINTS = 150


def measure(*, quick: bool) -> Report:
    """Simulations and costs; fewer pages, seeds and rounds if *quick*."""
    others = {
        library: import_module(f"benchmarks.limiters.{name}")
        for library, name in LIBRARIES.items()
        if find_spec(library)
    }
    pages, seeds = (200, 2) if quick else (1_000, 10)
    judged = [
        *_compare_waits([ours, unlimited, paced, *_simulated(others)], pages=pages, seeds=seeds),
        *_compare_costs([others[name] for name in ("pyrate_limiter", "limits") if name in others], quick=quick),
    ]
    print_judged(judged, is_quick=quick)
    return Report(judged=tuple(judged), curves=tuple(_draw_curves(pages)))


def _simulated(others: dict[str, ModuleType]) -> list[ModuleType]:
    return [module for library, module in others.items() if library != "limits"]


def _compare_waits(limiters: list[ModuleType], *, pages: int, seeds: int) -> Iterable[Judged]:
    print(f"\nLimit: {pages:,} pages, {WORKERS} workers, virtual time, means of {seeds} seeds: the time as a multiple")
    print("of what a client would take that sees into the server, and the answers with 429 that it cost;")
    print("limits is not among them: it reads the system's clock")
    for server in SERVERS:
        results = {limiter: run_seeds(server, limiter, pages=pages, seeds=seeds) for limiter in limiters}
        print(f"  {server.label}")
        for limiter, result in results.items():
            print(f"    {limiter.LABEL:<36} {_describe(result, seeds)}")
        if server in REFUSALS:
            yield from _judge(server, results[ours], blind=find_blind_optimum(server, pages=pages, seeds=seeds))


def _judge(server: type[Server], result: Typical, *, blind: float) -> Iterable[Judged]:
    if server is AlignedWindows:
        print(f"    {'the least without a 429 if told nothing':<36} {blind:6.3f}x")
    yield Judged(what=f"{server.label}: time against its optimum", result=result.ratio, goal=WALL_GOAL)
    yield Judged(what=f"{server.label}: answers with 429", result=result.refused, goal=REFUSALS[server], unit="")


def _describe(result: Typical, seeds: int) -> str:
    if result.unended == seeds:
        return f"never ends (given up on at {PATIENCE}x)"
    ratio = f"{result.ratio:6.3f}x  {result.refused:8,.1f} 429s, {result.most_refused:,} at the most"
    return ratio + (f"  ({result.unended} of {seeds} never end)" if result.unended else "")


def _compare_costs(others: list[ModuleType], *, quick: bool) -> Iterable[Judged]:
    bursts, rounds = (5, 3) if quick else (30, 15)
    contenders = [ours, *others]
    medians = run_rounds({module.LABEL: _taking_turns(module, bursts) for module in contenders}, rounds=rounds)
    title = (
        f"One turn in both windows, taken and settled, {bursts * BURST:,} times, none waits (CPU, medians of {rounds})"
    )
    print_table(title, medians, baseline=ours.LABEL, by="cpu")
    print(f"  ours: {medians[ours.LABEL].cpu / bursts / BURST * 1e6:.2f} µs per turn")
    for module in others:
        ratio = medians[ours.LABEL].cpu / medians[module.LABEL].cpu
        yield Judged(what=f"a turn of ours against one of {module.LABEL}", result=ratio, goal=COST_GOAL)


def _taking_turns(module: ModuleType, bursts: int) -> Measure:
    async def take_turns() -> Cost:
        limiters = [module.make(per_second=BURST, per_minute=10 * BURST) for _ in range(bursts)]
        watch = Stopwatch()
        for limiter in limiters:
            for _ in range(BURST):
                await limiter.acquire()
                limiter.on_response(None)
        return watch.read()

    return lambda: asyncio.run(take_turns())


def _draw_curves(pages: int) -> Iterable[Curve]:
    """Pages over seconds on three of the servers, with the first seed."""
    for server in (SlidingWindows, TokenBucket, EveCounter):
        for limiter in (ours, paced, unlimited):
            fetched_at = run_once(server, limiter, pages=pages, seed=0).fetched_at
            step = max(1, len(fetched_at) // POINTS)
            points = [(at, float(number)) for number, at in enumerate(fetched_at, start=1)]
            label = f"{server.label}: {limiter.LABEL}"
            yield Curve(figure="limiter", label=label, points=((0.0, 0.0), *points[::step], points[-1]))
