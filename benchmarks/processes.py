"""How close to the limit processes with one API key are, with one rate limiter for all of them and without."""

import asyncio
import shutil
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from statistics import median

from amili_async import Priority, RateLimit
from amili_async.shared import RedisRateLimiter
from benchmarks.harness.report import Curve, GoalResult, Report, print_goals
from benchmarks.sharing.faults import FAULTS, FaultCase
from benchmarks.sharing.fleet import FleetResult, open_redis, run_fleet
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
AT_ONCE = 2
"""Runs at the same time: each waits most of its time, and has a server, a Redis and processes of its own."""
MAX_POINTS = 150
"""Points per curve of the figure."""


def measure(*, quick: bool) -> Report:
    """Run simulations, and if Redis is installed processes; in real time a minute or more each, unless *quick*."""
    goals = list(_simulate(quick=quick))
    curves: list[Curve] = []
    if shutil.which("redis-server") is None:
        print("  redis-server is not installed: no processes are run")
    else:
        goals += asyncio.run(_compare_costs(quick=quick))
        goals += asyncio.run(measure_once(quick=quick))
        results = _run_all(quick=quick)
        goals += _judge_runs(results)
        curves = list(_make_curves(results))
        if not quick:
            goals += [*_judge_eve(), *_judge_faults()]
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


def _run_all(*, quick: bool) -> dict[tuple[str, str], FleetResult]:
    """Processes in real time: ours with each split, the others with some."""
    libraries = [name for name, module in (("limits", "limits"), ("pyrate", "pyrate_limiter")) if find_spec(module)]
    if quick:
        cases = [("ours", "2 processes"), *((name, "2 processes") for name in libraries)]
        splits: dict[str, Sequence[int]] = {"2 processes": (4, 4)}
    else:
        others = ["static", "default", *libraries]
        cases = [("ours", split) for split in SPLITS] + [(name, split) for split in COMPARED for name in others]
        cases.append(("reserve", "4 processes"))
        splits = SPLITS
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = pool.map(lambda case: run_fleet(case[0], splits[case[1]]), cases)
        results = dict(zip(cases, runs, strict=True))
    print("\nProcesses, real time, against a server that counts by sliding windows")
    for (name, split), result in results.items():
        print(f"  {split:<14} {LABELS[name]:<42} {_describe_fleet(result)}")
    return results


def _describe_fleet(result: FleetResult) -> str:
    ratio = f"{result.ratio:6.3f}x" if result.is_finished else f"stopped, {len(result.answers)} answers"
    most = f"at most {result.most_in_second} in 1 s, {result.most_in_minute} in 60 s"
    return f"{ratio}  {result.rate_limited:3} 429s  {most}, silent for {result.longest_silence:.1f} s"


def _judge_runs(results: dict[tuple[str, str], FleetResult]) -> Iterable[GoalResult]:
    for (name, split), result in results.items():
        if name == "ours":
            yield GoalResult(name=f"{split}: duration vs. optimum", result=result.ratio, goal=1.03)
            yield GoalResult(name=f"{split}: 429 responses", result=result.rate_limited, goal=0, unit="")


def _judge_eve() -> Iterable[GoalResult]:
    """A real Eve with its own limiter, whose counter each request renews."""
    if find_spec("eve") is None or find_spec("mongomock") is None:
        print("  Eve is not installed: pip install -e '.[dev]'")
        return
    limiters = ("ours", "static", "default")
    with ThreadPoolExecutor(len(limiters)) as pool:
        results = list(pool.map(lambda name: run_fleet(name, SPLITS["4 processes"], kind="eve"), limiters))
    for name, result in zip(limiters, results, strict=True):
        print(f"  {'Eve, 4':<14} {LABELS[name]:<42} {_describe_fleet(result)}")
    result = results[0]
    yield GoalResult(name="Eve, 4 processes: duration vs. optimum", result=result.ratio, goal=1.06)
    yield GoalResult(name="Eve, 4 processes: 429 responses", result=result.rate_limited, goal=0, unit="")


def _judge_faults() -> Iterable[GoalResult]:
    def run(case: FaultCase) -> FleetResult:
        return run_fleet(case.limiter, SPLITS["4 processes"], fault=case.strike, latency=case.latency, fault_at=3.0)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(run, FAULTS))
    print("\nFaults, 4 processes, real time")
    for case, result in zip(FAULTS, results, strict=True):
        print(f"  {case.label:<42} {_describe_fleet(result)}")
        yield GoalResult(name=f"{case.label}: 429 responses", result=result.rate_limited, goal=0, unit="")
        if case.silence is not None:
            yield GoalResult(name=f"{case.label}: silence", result=result.longest_silence, goal=case.silence, unit=" s")


def _make_curves(results: dict[tuple[str, str], FleetResult]) -> Iterable[Curve]:
    """Answers over time, for each split that several limiters were measured with."""
    for split in COMPARED:
        for (name, other), result in results.items():
            if other == split and result.answers and name != "reserve":
                step = max(1, len(result.answers) // MAX_POINTS)
                points = [(at, float(number)) for number, at in enumerate(result.answers, start=1)]
                label = f"{split}: {LABELS[name]}"
                yield Curve(figure="processes", label=label, points=((0.0, 0.0), *points[::step], points[-1]))
