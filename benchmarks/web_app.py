"""How long web calls wait beside a bulk job that uses the same API key, and how much is left for the job."""

import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from statistics import quantiles

from amili_async import RateLimit
from benchmarks.harness.report import GoalResult, Report, print_goals
from benchmarks.simulation.servers import SlidingWindowServer
from benchmarks.simulation.web_app import MAX_WAIT, Clients, WebRun, make_two_clients, play, share_one_client

RESERVE = 20
ONE, PLAIN = f"one client, reserve={RESERVE}", "one client, reserve=0"
SETUPS: Mapping[str, Callable[[], Clients]] = {
    ONE: partial(share_one_client, RESERVE),
    PLAIN: partial(share_one_client, 0),
    "two clients, each with the limit": partial(make_two_clients, RateLimit()),
    "two clients, each with half of it": partial(make_two_clients, RateLimit(per_minute=50, per_second=5)),
}
"""Clients with one key: ours, and what a user would write instead."""
CALLS_PER_MINUTE = (10, 40, 600)
"""Web calls: fewer than `RESERVE`, more, and ten a second, which is the full rate."""


def measure(*, quick: bool) -> Report:
    """Ten minutes of virtual time for each load, two if *quick*."""
    minutes = 2 if quick else 10
    print(f"\nA web app (max_wait={MAX_WAIT:g}) and a bulk job with one API key: {minutes} minutes of virtual time.")
    print(
        "The API allows 10 requests in any second and 100 in any minute. In brackets, of the calls answered: seconds,"
    )
    print("the median, 95 %, and the longest.")
    goals: list[GoalResult] = []
    for load in CALLS_PER_MINUTE:
        print(f"  {load} web calls a minute, at random times")
        runs = {}
        for label, make in SETUPS.items():
            pauses = _make_pauses(load, minutes)
            runs[label] = play(SlidingWindowServer(0), make(), pauses=pauses)
            print(f"    {label:<36} {_describe(runs[label], minutes)}")
        goals += _judge(load, runs[ONE], len(pauses))
    print_goals(goals, is_quick=quick)
    return Report(goals=tuple(goals))


def _make_pauses(load: int, minutes: int) -> list[float]:
    """Seconds between calls of independent visitors."""
    rng = random.Random(load)
    return [rng.expovariate(load / 60.0) for _ in range(load * minutes)]


def _describe(run: WebRun, minutes: int) -> str:
    waits = "-"
    if len(run.answered) > 1:
        cuts = quantiles(run.answered, n=100, method="inclusive")
        waits = f"{cuts[49]:.2f} {cuts[94]:.2f} {max(run.answered):.2f}"
    ended = f", ended by {run.bulk_error}" if run.bulk_error else ""
    return (
        f"{run.rate_limited:4} 429s, {len(run.answered):5} answered ({waits}), {len(run.failed):5} failed fast, "
        f"{run.late:3} late; bulk {run.pages / minutes:5.1f} pages a minute, {run.bulk_share:4.0%}{ended}"
    )


def _judge(load: int, run: WebRun, calls: int) -> Iterable[GoalResult]:
    name = f"one client, {load} web calls a minute"
    yield GoalResult(name=f"{name}: 429 responses", result=run.rate_limited, goal=0, unit="")
    yield GoalResult(name=f"{name}: calls that took longer than they may", result=run.late, goal=0, unit="")
    yield GoalResult(name=f"{name}: errors in the bulk job", result=float(bool(run.bulk_error)), goal=0, unit="")
    yield GoalResult(name=f"{name}: permits of the bulk job", result=run.bulk_share, goal=0.1, is_minimum=True, unit="")
    if load <= RESERVE:
        answered = len(run.answered) / calls
        yield GoalResult(name=f"{name}: answered", result=answered, goal=1.0, is_minimum=True, unit="")
