"""How close to the limit processes with one API key are, with one rate limiter for all of them and without."""

import asyncio
import shutil
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.util import find_spec
from math import inf
from statistics import median

from msgspec.structs import replace

from amili_async import Priority, RateLimit
from amili_async.shared import RedisRateLimiter
from benchmarks.harness.report import Curve, GoalResult, Report, print_goals
from benchmarks.sharing.faults import make_faults
from benchmarks.sharing.fleet import FleetResult, Run, open_redis, run_fleet
from benchmarks.sharing.limiters import LABELS
from benchmarks.sharing.once import measure_once
from benchmarks.simulation.processes import SharedRun, run_processes
from benchmarks.simulation.servers import (
    SERVERS,
    AlignedWindowServerWithQuota,
    EveCounterServer,
    SlidingWindowServer,
    TokenBucketServer,
)

SPLITS: dict[str, Sequence[int]] = {
    "1 process": (150,),
    "2 processes": (75, 75),
    "4 processes": (38, 38, 37, 37),
    "8 processes": (19,) * 6 + (18, 18),
    "4, one busy": (150, 0, 0, 0),
    "4, one busier": (120, 10, 10, 10),
}
"""Requests of each process; 150 in all, for which the limit demands 64 seconds."""
COMPARED = ("4 processes", "4, one busy")
"""What the other limiters are measured with."""
AT_ONCE = 4
"""Runs at the same time: each waits most of its time, and has a server, a Redis and processes of its own."""
MAX_POINTS = 150
"""Points per curve of the figure."""


def measure(*, quick: bool) -> Report:
    """Run simulations for two minutes, and if Redis is installed processes for ten, or some of each if *quick*."""
    goals = list(_simulate(quick=quick))
    curves: list[Curve] = []
    if shutil.which("redis-server") is None:
        print("  redis-server is not installed: no processes are run")
    else:
        goals += asyncio.run(_compare_costs(quick=quick))
        goals += asyncio.run(measure_once(quick=quick))
        results = _run_all(_choose_quick_runs() if quick else _choose_runs())
        goals += [goal for run, result in results for goal in _judge(run, result)]
        curves = list(_make_curves(results))
    print_goals(goals, is_quick=quick)
    return Report(goals=tuple(goals), curves=tuple(curves))


def _simulate(*, quick: bool) -> Iterable[GoalResult]:
    """Virtual time: each way a server may count, with one process and eight."""
    servers = (SlidingWindowServer, TokenBucketServer) if quick else SERVERS
    pages, seeds, most = (60, 1, 2) if quick else (400, 5, 8)
    print(f"\nOne rate limiter for all processes: {pages} pages, virtual time, means of {seeds} seeds")
    for server in servers:
        runs = {count: run_processes(server, processes=count, pages=pages, seeds=seeds) for count in (1, most)}
        for count, run in runs.items():
            print(f"  {server.label:<46} {count:2} processes {_describe(run)}")
        one, many = runs[1], runs[most]
        name = f"{server.label}: {most} processes"
        yield GoalResult(name=f"{name}, duration vs. one process", result=many.ratio / one.ratio, goal=1.01)
        if server in {SlidingWindowServer, EveCounterServer}:
            yield GoalResult(name=f"{name}, 429 responses", result=many.rate_limited, goal=0, unit="")
        if server is SlidingWindowServer:
            yield GoalResult(name="exchanges per request, one process", result=one.exchanges, goal=1.3, unit="")
            yield GoalResult(name=f"exchanges per request, {most} processes", result=many.exchanges, goal=4.5, unit="")
        if server is TokenBucketServer:
            yield GoalResult(name=f"{name}, 429 responses", result=many.rate_limited, goal=4, unit="")
        if server is AlignedWindowServerWithQuota:
            yield GoalResult(name=f"{name}, duration vs. optimum", result=many.ratio, goal=1.09)
    if not quick:
        run = run_processes(SlidingWindowServer, processes=16, pages=pages, seeds=seeds)
        yield GoalResult(name="sliding windows: 16 processes, duration vs. optimum", result=run.ratio, goal=1.015)


def _describe(run: SharedRun) -> str:
    return f"{run.ratio:6.3f}x  {run.rate_limited:5.1f} 429s  {run.exchanges:5.2f} exchanges per request"


async def _compare_costs(*, quick: bool) -> list[GoalResult]:
    """What an uncontended permit costs, and the script in Redis, as multiples of a PING."""
    rounds = 20 if quick else 400
    with open_redis() as redis:
        limit = RateLimit(per_minute=1_000_000, per_second=10_000)
        limiters = [RedisRateLimiter.from_url(redis.url, "cost", limit=limit) for _ in range(8)]
        for limiter in limiters:
            await limiter.open()
            for _ in range(12):
                await limiter.acquire(Priority.SINGLE)
                limiter.on_response()
        pings, permits = [], []
        client = limiters[0]._redis
        for _ in range(rounds):
            began = time.perf_counter()
            await client.ping()
            pinged = time.perf_counter()
            await limiters[0].acquire(Priority.SINGLE)
            permits.append(time.perf_counter() - pinged)
            pings.append(pinged - began)
            limiters[0].release_unused()
        script = (await client.info("commandstats"))["cmdstat_evalsha"]["usec_per_call"] / 1e6
        for limiter in limiters:
            await limiter.aclose()
    ping = median(pings)
    print(
        f"\nCost: PING {ping * 1e3:.2f} ms, a permit {median(permits) * 1e3:.2f} ms, the script {script * 1e3:.2f} ms"
    )
    return [
        GoalResult(name="an uncontended permit vs. a PING", result=median(permits) / ping, goal=3.0),
        GoalResult(name="the script with 8 processes vs. a PING", result=script / ping, goal=2.0),
    ]


def _choose_quick_runs() -> list[Run]:
    """One of each kind, with few requests."""
    runs = [Run(label="2 processes", limiter=name, split=(4, 4)) for name in ("ours", *_find_libraries())]
    fault = replace(make_faults((6, 6))[0], latency=0.02, fault_at=0.2)
    return [*runs, fault, *_choose_eve_runs((2, 2), ("ours",))]


def _choose_runs() -> list[Run]:
    """Ours with each split, the others with some; a real Eve; faults."""
    four = SPLITS["4 processes"]
    others = ("static", "default", *_find_libraries())
    return [
        *(Run(label=label, limiter="ours", split=split, max_ratio=1.03) for label, split in SPLITS.items()),
        *(Run(label=label, limiter=name, split=SPLITS[label]) for label in COMPARED for name in others),
        Run(label="4 processes", limiter="reserve", split=four),
        *_choose_eve_runs(four, ("ours", "static", "default")),
        *make_faults(four),
    ]


def _choose_eve_runs(split: Sequence[int], limiters: Iterable[str]) -> list[Run]:
    """A real Eve with its own limiter, whose counter each request renews."""
    if find_spec("eve") is None or find_spec("mongomock") is None:
        print("  Eve is not installed: pip install -e '.[dev]'")
        return []
    label = f"Eve, {len(split)} processes"
    return [
        Run(label=label, limiter=name, split=split, kind="eve", max_ratio=1.06 if name == "ours" else None)
        for name in limiters
    ]


def _find_libraries() -> list[str]:
    return [name for name, module in (("limits", "limits"), ("pyrate", "pyrate_limiter")) if find_spec(module)]


def _run_all(runs: Sequence[Run]) -> list[tuple[Run, FleetResult]]:
    """Run some at once, and print each result when it is there."""
    longest = max(run.deadline for run in runs)
    print(f"\nProcesses, real time: {len(runs)} runs, {AT_ONCE} at once, none longer than {longest:.0f} s", flush=True)
    results: dict[int, FleetResult] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = {pool.submit(run_fleet, run): number for number, run in enumerate(runs)}
        for future in as_completed(futures):
            number = futures[future]
            results[number] = future.result()
            print(f"  {_name(runs[number]):<82} {_describe_fleet(runs[number], results[number])}", flush=True)
    return [(run, results[number]) for number, run in enumerate(runs)]


def _name(run: Run) -> str:
    return f"{run.label}: {LABELS[run.limiter]}"


def _describe_fleet(run: Run, result: FleetResult) -> str:
    done = f"{len(result.answers)} of {sum(run.split)}"
    ratio = f"{result.ratio:6.3f}x" if result.ratio < inf else f"not done after {run.deadline:.0f} s: {done} answers"
    most = f"at most {result.most_in_second} in 1 s, {result.most_in_minute} in 60 s"
    return f"{ratio}  {result.rate_limited:3} 429s  {most}, silent for {result.longest_silence:.1f} s"


def _judge(run: Run, result: FleetResult) -> Iterable[GoalResult]:
    name = _name(run)
    if run.max_ratio is not None:
        yield GoalResult(name=f"{name}, duration vs. optimum", result=result.ratio, goal=run.max_ratio)
    if run.max_silence is not None:
        yield GoalResult(name=f"{name}, silence", result=result.longest_silence, goal=run.max_silence, unit=" s")
    if run.max_ratio is not None or run.max_silence is not None:
        yield GoalResult(name=f"{name}, 429 responses", result=result.rate_limited, goal=0, unit="")
    if run.max_ratio is not None and run.kind == "strict":
        yield GoalResult(name=f"{name}, most in 1 s", result=result.most_in_second, goal=10, unit="")
        yield GoalResult(name=f"{name}, most in 60 s", result=result.most_in_minute, goal=100, unit="")


def _make_curves(results: Iterable[tuple[Run, FleetResult]]) -> Iterable[Curve]:
    """Answers over time, for each split that several limiters were measured with."""
    for run, result in results:
        if run.label in COMPARED and run.limiter != "reserve" and result.answers:
            step = max(1, len(result.answers) // MAX_POINTS)
            points = [(at, float(number)) for number, at in enumerate(result.answers, start=1)]
            yield Curve(figure="processes", label=_name(run), points=((0.0, 0.0), *points[::step], points[-1]))
