"""However the server counts, processes that share a rate limiter take what one would, with as few 429s."""

import pytest

from benchmarks.simulation.processes import run_processes
from benchmarks.simulation.servers import (
    SERVERS,
    AlignedWindowServerWithQuota,
    EveCounterServer,
    ServerModel,
    TokenBucketServer,
    WeightedCounterServer,
)
from tests.support.exhaustive import EXHAUSTIVE

USUAL = {TokenBucketServer, AlignedWindowServerWithQuota, EveCounterServer}
MODELS = [pytest.param(each, marks=() if each in USUAL else EXHAUSTIVE, id=each.label) for each in SERVERS]
MOST_RATE_LIMITED: dict[type[ServerModel], int] = {TokenBucketServer: 4, WeightedCounterServer: 5}
"""Responses with 429 from servers that count otherwise than the documented windows; from all others none."""


@pytest.mark.parametrize("server", MODELS)
def test_processes_take_what_one_process_takes(server: type[ServerModel]) -> None:
    """Four processes are at most 1 % slower than one, and no server stops them for good."""
    one, four = (run_processes(server, processes=count, pages=250, seeds=1) for count in (1, 4))
    assert four.ratio <= 1.01 * one.ratio
    assert max(one.rate_limited, four.rate_limited) <= MOST_RATE_LIMITED.get(server, 0)


def test_windows_that_are_aligned_to_the_clock_are_used_from_their_start() -> None:
    """Their headers show when they begin: a minute later they would be used by ours alone."""
    assert run_processes(AlignedWindowServerWithQuota, processes=3, pages=250, seeds=1).ratio <= 1.09
