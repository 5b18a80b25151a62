"""What OpenTelemetry's observers do without its packages, and with events of calls whose start they did not see.

What they make of calls is tested with a server: `tests/integration/test_traces.py` and `test_metrics.py`.
"""

import sys

import pytest

from amili_async.errors import ConfigurationError
from amili_async.events import AttemptStarted, CallFinished, RetryScheduled
from amili_async.observers import MeterCalls, TraceCalls
from tests.support.spans import Spans


@pytest.mark.parametrize("kind", [TraceCalls, MeterCalls])
def test_a_missing_extra_is_named(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenTelemetry the error has the command that installs it."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(
        ConfigurationError, match=rf'{kind.__name__} needs OpenTelemetry: pip install "amili-async\[otel\]"'
    ):
        kind()


def test_an_event_of_an_unknown_call_makes_no_span() -> None:
    """An observer that is added while a call runs sees its later events only."""
    spans = Spans()
    observe = TraceCalls(spans.tracer)
    retried = RetryScheduled(call=1, request="GET /x", attempt=1, wait=0.5, error="TimedOut")
    ended = CallFinished(call=1, operation="page", resource="x", attempts=1, waited=0.0, seconds=1.0, error=None)
    for event in (AttemptStarted(call=1, request="GET /x", attempt=1, headers={}), retried, ended):
        observe(event)
    assert spans.all == []
    spans.check()
