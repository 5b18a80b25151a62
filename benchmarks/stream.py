"""How fast every record of a list is visited: the package against what a user would write or install instead."""

from collections.abc import Iterable
from importlib import import_module
from math import ceil

from benchmarks.contenders import bare_protocol, ours_first, ours_stream
from benchmarks.harness.cell import Cost
from benchmarks.harness.report import Bar, GoalResult, Report, print_goals
from benchmarks.harness.rounds import find_ratio, in_own_process, print_table, run_rounds
from benchmarks.workload.server import make_rows, serve

PEER_GOALS = {
    "requests_session": 3.2,
    "requests_get": 4.6,
    "dlt_client": 4.7,
    "httpx_pydantic_streamed": 9.0,
    "httpx_pydantic_gathered": 17.0,
}
"""Smallest acceptable CPU time, as a multiple of a stream's."""
LOWER_BOUND_GOAL = 1.25
LATENCY = 0.05
"""Seconds."""
CONCURRENCY = 10
ROUND_TRIPS_GOAL = 1.05
FIRST_RECORD_GOAL = 5.0
"""Milliseconds beyond one round trip."""


def measure(*, quick: bool) -> Report:
    """Without and with latency; with fewer records and rounds if *quick*."""
    medians = _run_peers(quick=quick)
    ours = ours_stream.LABEL
    lower_bound = GoalResult(
        name="duration of stream() vs. lower bound: bare protocol, same typed decode",
        result=find_ratio(medians, ours, bare_protocol.LABEL, "wall"),
        goal=LOWER_BOUND_GOAL,
    )
    peers = [
        GoalResult(
            name=f"CPU of {label} vs. stream()",
            result=find_ratio(medians, label, ours, "cpu"),
            goal=PEER_GOALS[name],
            is_minimum=True,
        )
        for name, label in _labels(PEER_GOALS).items()
    ]
    goals = (lower_bound, *peers, *_measure_with_latency(quick=quick))
    print_goals(goals, is_quick=quick)
    bars = [Bar(figure="peers", label=label, ratio=find_ratio(medians, label, ours, "cpu")) for label in medians]
    return Report(goals=goals, bars=tuple(bars))


def _labels(names: Iterable[str]) -> dict[str, str]:
    return {name: str(import_module(f"benchmarks.contenders.{name}").LABEL) for name in names}


def _run_peers(*, quick: bool) -> dict[str, Cost]:
    rows, rounds = (make_rows(5_000), 1) if quick else (make_rows(100_000), 5)
    names = _labels(("bare_protocol", "ours_stream", "aiohttp_msgspec", "aiohttp_json", *PEER_GOALS))
    with serve(rows, latency=0) as url:
        contenders = {label: in_own_process(name, url, expected=rows.count) for name, label in names.items()}
        medians = run_rounds(contenders, rounds=rounds)
    title = f"Stream of {rows.count:,} specifications, no latency, no rate limit (medians of {rounds})"
    print_table(title, medians, baseline=ours_stream.LABEL, by="cpu")
    return medians


def _measure_with_latency(*, quick: bool) -> Iterable[GoalResult]:
    """At a latency at which only the number of round trips should count."""
    pages, rounds = (50, 1) if quick else (1_000, 3)
    with serve(make_rows(pages * 100), latency=LATENCY) as url:
        first = in_own_process("ours_first", url, expected=1)
        whole = in_own_process("ours_stream", url, expected=pages * 100)
        medians = run_rounds({ours_first.LABEL: first, ours_stream.LABEL: whole}, rounds=rounds)
    # The first page is fetched alone, since it contains the total.
    optimum = (1 + ceil((pages - 1) / CONCURRENCY)) * LATENCY
    title = f"Stream of {pages:,} pages, {LATENCY * 1000:g} ms latency, {CONCURRENCY} in flight (medians of {rounds})"
    print_table(title, medians, baseline=ours_stream.LABEL, by="wall")
    yield GoalResult(
        name=f"duration at {LATENCY * 1000:g} ms latency vs. the sum of its round trips",
        result=medians[ours_stream.LABEL].wall / optimum,
        goal=ROUND_TRIPS_GOAL,
    )
    yield GoalResult(
        name="first record: time beyond one round trip, with client construction and connection",
        result=(medians[ours_first.LABEL].wall - LATENCY) * 1000,
        goal=FIRST_RECORD_GOAL,
        unit="ms",
    )
