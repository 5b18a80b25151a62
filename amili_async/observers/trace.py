"""An observer that makes OpenTelemetry spans of attempts."""

from typing import Any

import msgspec

from amili_async.errors import ConfigurationError
from amili_async.events import AttemptFinished, Event


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
