"""The ready-made observers: log lines, counters, spans and metrics."""

import logging
import sys

import pytest

from amili_async.errors import ConfigurationError
from amili_async.events import AttemptFinished, AttemptStarted, CallFinished, PaymentRegistered, RetryScheduled
from amili_async.observers import CountEvents, LogEvents, MeterCalls, TraceCalls
from tests.support.spans import Spans

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


def test_each_event_is_logged_at_its_level(caplog: pytest.LogCaptureFixture) -> None:
    """A retry is a warning, an attempt is for debugging; each line holds the fields."""
    observe = LogEvents()
    with caplog.at_level(logging.DEBUG, logger="amili_async"):
        observe(ANSWERED)
        observe(RETRIED)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "DEBUG",
            "AttemptFinished call=1 request=GET /finance--payouts address=api.example.com port=443 "
            "status=200 error=None attempt=1 seconds=0.25 size=1000",
        ),
        ("WARNING", "RetryScheduled call=1 request=GET /finance--payouts attempt=1 wait=0.5 error=TimedOut"),
    ]


@pytest.mark.parametrize(("status", "level"), [("completed", "INFO"), ("warning", "WARNING"), ("other", "WARNING")])
def test_a_payment_that_is_not_completed_is_a_warning(
    status: str, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A reader of warnings alone learns of each payment that was not settled as intended."""
    with caplog.at_level(logging.DEBUG, logger="amili_async"):
        LogEvents()(PaymentRegistered(request="POST /creditor--payments", status=status, was_found=False))
    assert [record.levelname for record in caplog.records] == [level]


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
    ended = CallFinished(call=1, operation="page", resource="x", attempts=1, waited=0.0, seconds=1.0, error=None)
    for event in (AttemptStarted(call=1, request="GET /x", attempt=1, headers={}), ANSWERED, RETRIED, ended):
        observe(event)
    assert spans.all == []
    spans.check()
