"""One client for a web app and a bulk job: both send within one rate limit, and neither stops the other.

Three minutes of virtual time, without sockets: the session is replaced by a server that rejects what exceeds a window.
"""

import pytest

from amili_async import RateLimit
from benchmarks.simulation.servers import SlidingWindowServer
from benchmarks.simulation.web_app import make_two_clients, play, share_one_client

MINUTES = 3


def pause_between(calls_per_minute: int) -> list[float]:
    """The seconds before each web call."""
    return [60 / calls_per_minute] * (MINUTES * calls_per_minute)


@pytest.mark.parametrize(
    ("reserve", "calls_per_minute", "answered", "pages_per_minute"),
    [(10, 6, 1.0, 85), (10, 20, 0.85, 75), (20, 20, 1.0, 65), (0, 20, 0.1, 90), (0, 600, 0.1, 10), (10, 600, 0.1, 10)],
)
def test_web_calls_and_a_bulk_job_share_one_client(
    reserve: int, calls_per_minute: int, answered: float, pages_per_minute: int
) -> None:
    """No 429, no error in the bulk job; each web call waits for two seconds at most, or fails within them.

    With a reserve as large as what the web app sends in a minute, all its calls are answered at once. With single calls
    at the full rate, the bulk job gets one permit in ten.
    """
    pauses = pause_between(calls_per_minute)
    run = play(SlidingWindowServer(0), share_one_client(reserve), pauses=pauses, seed=7)
    assert (run.rate_limited, run.late, run.bulk_error) == (0, 0, "")
    assert len(run.answered) + len(run.failed) == len(pauses)
    assert len(run.answered) >= answered * len(pauses)
    if reserve > calls_per_minute:
        assert max(run.answered) <= 0.2
    assert run.pages >= pages_per_minute * MINUTES
    assert run.bulk_share >= 0.1


def test_the_server_rejects_what_exceeds_a_window() -> None:
    """Two clients that know nothing of each other get responses with 429, and some of their web calls are late."""
    run = play(SlidingWindowServer(0), make_two_clients(RateLimit()), pauses=pause_between(20), seed=7)
    assert run.rate_limited > 0
    assert run.late > 0
