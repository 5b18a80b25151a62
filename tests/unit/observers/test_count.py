"""The observer that counts."""

from amili_async.events import AttemptFinished, RetryScheduled
from amili_async.observers import CountEvents

ANSWERED = AttemptFinished(
    call=1,
    address="api.example.com",
    port=443,
    request="GET /finance--payouts",
    status=200,
    error=None,
    attempt=1,
    seconds=0.25,
    size=1000,
)
FAILED = AttemptFinished(
    call=1,
    address="api.example.com",
    port=443,
    request="GET /finance--payouts",
    status=None,
    error="TimedOut",
    attempt=2,
    seconds=1.0,
    size=0,
)
RETRIED = RetryScheduled(call=1, request="GET /finance--payouts", attempt=1, wait=0.5, error="TimedOut")


def test_attempts_statuses_errors_and_bytes_are_counted() -> None:
    """All that a metrics exporter needs, and nothing that must be reset."""
    observe = CountEvents()
    for event in (ANSWERED, FAILED, RETRIED, ANSWERED):
        observe(event)
    assert observe.requests == 3
    assert observe.events["RetryScheduled"] == 1
    assert observe.statuses == {200: 2}
    assert observe.errors == {"TimedOut": 1}
    assert (observe.size, observe.seconds) == (2000, 1.5)
