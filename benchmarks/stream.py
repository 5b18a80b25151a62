"""Every record of a list, visited: the package against what a user would write or take instead."""

from collections.abc import Iterable
from importlib import import_module
from math import ceil

from benchmarks.contenders import bare_protocol, ours_first, ours_stream
from benchmarks.harness.cell import Cost
from benchmarks.harness.report import Bar, Judged, Report, print_judged
from benchmarks.harness.rounds import find_ratio, in_process_of_its_own, print_table, run_rounds
from benchmarks.workload.server import make_rows, serve

PEERS = {
    "requests_session": 3.2,
    "requests_get": 4.6,
    "dlt_client": 4.7,
    "httpx_pydantic_streamed": 9.0,
    "httpx_pydantic_gathered": 17.0,
}
"""By how much more CPU than ours they take at least."""
FLOOR_GOAL = 1.25
LATENCY = 0.05
WIDTH = 10
IDEAL_GOAL = 1.05
FIRST_GOAL = 5.0
"""Milliseconds beyond one round trip."""


def measure(*, quick: bool) -> Report:
    """Without latency, and with; fewer records and rounds if *quick*."""
    medians = _run_peers(quick=quick)
    ours = ours_stream.LABEL
    judged = [
        Judged(
            what="wall of a stream against the floor: a bare protocol, the same typed decode",
            result=find_ratio(medians, ours, bare_protocol.LABEL, "wall"),
            goal=FLOOR_GOAL,
        ),
        *(
            Judged(
                what=f"CPU of {label} against a stream",
                result=find_ratio(medians, label, ours, "cpu"),
                goal=PEERS[name],
                is_least=True,
            )
            for name, label in _labels(PEERS).items()
        ),
        *_compare_with_ideal(quick=quick),
    ]
    print_judged(judged, is_quick=quick)
    bars = [Bar(figure="peers", label=label, ratio=find_ratio(medians, label, ours, "cpu")) for label in medians]
    return Report(judged=tuple(judged), bars=tuple(bars))


def _labels(names: Iterable[str]) -> dict[str, str]:
    return {name: str(import_module(f"benchmarks.contenders.{name}").LABEL) for name in names}


def _run_peers(*, quick: bool) -> dict[str, Cost]:
    rows, rounds = (make_rows(5_000), 1) if quick else (make_rows(100_000), 5)
    names = _labels(("bare_protocol", "ours_stream", "aiohttp_msgspec", "aiohttp_json", *PEERS))
    with serve(rows, latency=0) as url:
        contenders = {label: in_process_of_its_own(name, url, expected=rows.count) for name, label in names.items()}
        medians = run_rounds(contenders, rounds=rounds)
    print_table(
        f"Stream of {rows.count:,} specifications, no latency, no limit (medians of {rounds})",
        medians,
        baseline=ours_stream.LABEL,
        by="cpu",
    )
    return medians


def _compare_with_ideal(*, quick: bool) -> Iterable[Judged]:
    """At a latency, where nothing but the number of round trips should count."""
    pages, rounds = (50, 1) if quick else (1_000, 3)
    with serve(make_rows(pages * 100), latency=LATENCY) as url:
        first = in_process_of_its_own("ours_first", url, expected=1)
        whole = in_process_of_its_own("ours_stream", url, expected=pages * 100)
        medians = run_rounds({ours_first.LABEL: first, ours_stream.LABEL: whole}, rounds=rounds)
    ideal = (1 + ceil((pages - 1) / WIDTH)) * LATENCY
    title = f"Stream of {pages:,} pages, {LATENCY * 1000:g} ms latency, {WIDTH} in flight (medians of {rounds})"
    print_table(title, medians, baseline=ours_stream.LABEL, by="wall")
    yield Judged(
        what=f"wall at {LATENCY * 1000:g} ms latency against as many round trips as it takes",
        result=medians[ours_stream.LABEL].wall / ideal,
        goal=IDEAL_GOAL,
    )
    yield Judged(
        what="first record: beyond one round trip, making the client and connecting included",
        result=(medians[ours_first.LABEL].wall - LATENCY) * 1000,
        goal=FIRST_GOAL,
        unit="ms",
    )
