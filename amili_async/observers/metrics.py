"""An observer that records OpenTelemetry metrics.

Invariant: each attribute has few values: methods, routes, statuses, names of error classes, priorities.
"""

from typing import Any

from amili_async.errors import ConfigurationError
from amili_async.events import AttemptFinished, Event, PageReceived, PermitAcquired, RetryScheduled
from amili_async.observers.conventions import DURATION_BUCKETS, request_attributes, response_attributes

_WAIT_BUCKETS = (0.0, 0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Seconds: up to the longest pause that a rate limiter waits out by default."""


class MeterCalls:
    """Records OpenTelemetry metrics.

    `http.client.request.duration` (seconds; each attempt, by the attributes of the semantic conventions),
    `amili.rate_limit.wait` (seconds; each permit, by `amili.priority`), `amili.rate_limit.remaining` (requests left in
    this minute when the latest permit was granted), `amili.pages` (of streams and extractions, by `amili.resource`) and
    `amili.retries` (by `error.type`).

    Requires the extra `otel`. Without a *meter* the globally configured one is used. Several clients may share one.
    """

    def __init__(self, meter: Any = None) -> None:
        try:
            from opentelemetry import metrics
        except ModuleNotFoundError:
            raise ConfigurationError('MeterCalls needs OpenTelemetry: pip install "amili-async[otel]"') from None
        meter = meter or metrics.get_meter("amili_async")
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        )
        self._wait = meter.create_histogram(
            "amili.rate_limit.wait",
            unit="s",
            description="How long requests waited for a permit.",
            explicit_bucket_boundaries_advisory=_WAIT_BUCKETS,
        )
        self._remaining = meter.create_gauge(
            "amili.rate_limit.remaining",
            unit="{request}",
            description="Requests left in this minute when the latest permit was granted.",
        )
        self._pages = meter.create_counter("amili.pages", unit="{page}", description="Pages that were delivered.")
        self._retries = meter.create_counter("amili.retries", unit="{retry}", description="Attempts after a failure.")

    def __call__(self, event: Event) -> None:
        if isinstance(event, AttemptFinished):
            attributes = request_attributes(event.request, address=event.address, port=event.port)
            self._duration.record(event.seconds, attributes | response_attributes(event))
        elif isinstance(event, PermitAcquired):
            self._wait.record(event.waited, {"amili.priority": event.priority})
            if event.remaining is not None:
                self._remaining.set(event.remaining)
        elif isinstance(event, PageReceived):
            self._pages.add(1, {"amili.resource": event.path})
        elif isinstance(event, RetryScheduled):
            self._retries.add(1, {"error.type": event.error})
