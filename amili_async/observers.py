"""Ready-made observers for `AmiliClient(observers=[…])`: a log line per event, counters, and OpenTelemetry.

Invariant: they emit what events hold and nothing else: no credential, no filter value, nothing of a record.
"""

import logging
from collections import Counter
from typing import Any

import msgspec

from amili_async import events
from amili_async.errors import ConfigurationError
from amili_async.events import AttemptFinished, Event, PaymentRegistered

_LEVELS: dict[type[Event], int] = {
    events.RetryScheduled: logging.WARNING,
    events.RateLimiterPaused: logging.WARNING,
    events.RateLimiterDisconnected: logging.WARNING,
    events.TokenRefreshFailed: logging.WARNING,
    events.TokenStoreFailed: logging.WARNING,
    events.StreamDrifted: logging.WARNING,
    events.PaymentLookedUp: logging.WARNING,
    events.PermitDelayed: logging.INFO,
    events.RateLimiterReconnected: logging.INFO,
    events.TokenRefreshed: logging.INFO,
    PaymentRegistered: logging.INFO,
}


class LogEvents:
    """Logs each event: attempts and pages at debug level, problems as warnings."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("amili_async")

    def __call__(self, event: Event) -> None:
        # A reader of warnings alone must learn of each payment that was not settled as intended.
        is_doubtful = isinstance(event, PaymentRegistered) and event.status != "completed"
        level = logging.WARNING if is_doubtful else _LEVELS.get(type(event), logging.DEBUG)
        if self._logger.isEnabledFor(level):
            facts = " ".join(f"{name}={value}" for name, value in msgspec.structs.asdict(event).items())
            self._logger.log(level, "%s %s", type(event).__name__, facts)


class CountEvents:
    """Counts events by name, responses by status, bytes and seconds; its attributes may be read at any time."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        """Number of events, by name."""
        self.statuses: Counter[int] = Counter()
        """Number of responses, by HTTP status."""
        self.errors: Counter[str] = Counter()
        """Number of attempts without a response, by the name of the error class."""
        self.size = 0
        """Bytes: length of all decompressed bodies."""
        self.seconds = 0.0
        """Seconds: duration of all attempts, which may have overlapped."""

    @property
    def requests(self) -> int:
        """Number of attempts, token requests and retries included."""
        return self.events["AttemptFinished"]

    def __call__(self, event: Event) -> None:
        self.events[type(event).__name__] += 1
        if isinstance(event, AttemptFinished):
            self.size += event.size
            self.seconds += event.seconds
            if event.status is not None:
                self.statuses[event.status] += 1
            if event.error is not None:
                self.errors[event.error] += 1


class TraceEvents:
    """Makes each attempt a finished OpenTelemetry span, and adds the other events to the current span.

    Requires the extra `otel`. Without a *tracer* the globally configured one is used.
    """

    def __init__(self, tracer: Any = None) -> None:
        try:
            from opentelemetry import trace
        except ModuleNotFoundError:
            raise ConfigurationError("TraceEvents needs OpenTelemetry: install amili-async[otel]") from None
        self._trace = trace
        self._tracer = tracer or trace.get_tracer("amili_async")

    def __call__(self, event: Event) -> None:
        if isinstance(event, AttemptFinished):
            self._add_span(event)
            return
        facts = {f"amili.{name}": fact for name, fact in msgspec.structs.asdict(event).items() if fact is not None}
        self._trace.get_current_span().add_event(type(event).__name__, facts)

    def _add_span(self, event: AttemptFinished) -> None:
        from time import time_ns

        from opentelemetry.trace import SpanKind, Status, StatusCode

        # The event arrives when the attempt has ended. The start is computed from the monotonic duration, so that a
        # step of the system clock cannot make a span negative.
        end = time_ns()
        method, _, path = event.request.partition(" ")
        attributes: dict[str, Any] = {"http.request.method": method, "url.path": path, "amili.attempt": event.attempt}
        if event.status is not None:
            attributes |= {"http.response.status_code": event.status, "http.response.body.size": event.size}
        span = self._tracer.start_span(
            event.request, kind=SpanKind.CLIENT, attributes=attributes, start_time=end - int(event.seconds * 1e9)
        )
        if event.error is not None or (event.status or 0) >= 400:
            span.set_status(Status(StatusCode.ERROR, event.error or str(event.status)))
        span.end(end)
