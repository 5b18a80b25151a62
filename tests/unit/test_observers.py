"""The ready-made observers: log lines, counters, spans."""

import logging

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from amili_async.events import AttemptFinished, PageReceived, PaymentRegistered, RetryScheduled
from amili_async.observers import CountEvents, LogEvents, TraceEvents

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


def test_each_attempt_becomes_a_span_and_other_events_join_the_current_one() -> None:
    """Spans hold method, path, status and duration; a failed attempt has the status ERROR."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    observe = TraceEvents(tracer)
    with tracer.start_as_current_span("job"):
        observe(ANSWERED)
        observe(FAILED)
        observe(PageReceived(path="finance--payouts", number=1, items=100, total=None))
    answered, failed, job = exporter.get_finished_spans()
    assert answered.name == "GET /finance--payouts"
    assert answered.attributes is not None
    assert answered.attributes["http.response.status_code"] == 200
    assert answered.start_time is not None
    assert answered.end_time is not None
    assert answered.end_time - answered.start_time == 250_000_000
    assert failed.status.status_code is StatusCode.ERROR
    assert answered.parent is not None
    assert job.context is not None
    assert answered.parent.span_id == job.context.span_id
    assert [(event.name, dict(event.attributes or {})) for event in job.events] == [
        ("PageReceived", {"amili.path": "finance--payouts", "amili.number": 1, "amili.items": 100})
    ]
