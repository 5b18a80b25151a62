"""An observer that makes OpenTelemetry spans: one around each call, and one of each attempt inside it.

Invariant: each span ends, and the context that was current before a call or an attempt is current after it. Names of
spans are of few kinds; no attribute holds a query, a credential, or anything of a record.
"""

from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from amili_async.errors import ConfigurationError
from amili_async.events import AttemptFinished, AttemptStarted, CallEvent, CallFinished, CallStarted, Event
from amili_async.observers.conventions import request_attributes, response_attributes


class _OpenSpan(Struct):
    """A span that has not ended."""

    span: Any
    before: Any
    """The context that was current before it."""


class _OpenCall(Struct):
    """A call that has not finished."""

    started: CallStarted
    whole: _OpenSpan
    attempt: _OpenSpan | None = None


class TraceCalls:
    """Makes OpenTelemetry spans, and sends their context (`traceparent`) with each request, by the global propagator.

    A call is a span `get finance--payouts`, whose parent is the span in which the call, or the iteration of a stream or
    an extraction, began; each attempt is a client span `GET /finance--payouts/{id}` inside it, with the attributes of
    the semantic conventions for HTTP. The other events join the call's span, or else the current one. While an attempt
    runs, the instrumentation of aiohttp makes no span of its own, which would hold the values of filters.

    Requires the extra `otel`. Without a *tracer* the globally configured one is used. Several clients may share one.
    """

    def __init__(self, tracer: Any = None) -> None:
        try:
            from opentelemetry import context, propagate, trace
        except ModuleNotFoundError:
            raise ConfigurationError('TraceCalls needs OpenTelemetry: pip install "amili-async[otel]"') from None
        self._trace, self._context, self._inject = trace, context, propagate.inject
        self._tracer = tracer or trace.get_tracer("amili_async")
        self._calls: dict[int, _OpenCall] = {}
        self._key = context.create_key("amili-call")
        # By this key instrumentations of HTTP clients look whether a library makes the spans of its requests itself;
        # its only public name is in their own package, which need not be installed.
        self._no_http_spans = getattr(context, "_SUPPRESS_HTTP_INSTRUMENTATION_KEY", "suppress_http_instrumentation")

    def __call__(self, event: Event) -> None:
        if isinstance(event, CallStarted):
            self._start_call(event)
        elif not isinstance(event, CallEvent):
            self._add_event(self._trace.get_current_span(), event)
        # A call of which it did not see the start has no span: this observer was added while it ran.
        elif (call := self._calls.get(event.call)) is not None:
            if isinstance(event, AttemptStarted):
                self._start_attempt(call, event)
            elif isinstance(event, AttemptFinished):
                self._end_attempt(call, event)
            elif isinstance(event, CallFinished):
                self._end_call(call, event)
            else:
                self._add_event(call.whole.span, event)

    def _start_call(self, event: CallStarted) -> None:
        attributes: dict[str, Any] = {
            "amili.call": event.call,
            "amili.operation": event.operation,
            "amili.resource": event.resource,
        }
        span = self._tracer.start_span(f"{event.operation} {event.resource}", attributes=attributes)
        self._calls[event.call] = _OpenCall(event, self._enter(span, {self._key: (event.call, 0)}))

    def _end_call(self, call: _OpenCall, event: CallFinished) -> None:
        del self._calls[event.call]
        self._leave(call.whole, (event.call, 0))
        attributes: dict[str, Any] = {"amili.attempts": event.attempts, "amili.waited": event.waited}
        self._end(call.whole.span, attributes if event.error is None else attributes | {"error.type": event.error})

    def _start_attempt(self, call: _OpenCall, event: AttemptStarted) -> None:
        attributes = request_attributes(event.request, address=call.started.address, port=call.started.port)
        if event.attempt > 1:
            attributes["http.request.resend_count"] = event.attempt - 1
        span = self._tracer.start_span(event.request, kind=self._trace.SpanKind.CLIENT, attributes=attributes)
        call.attempt = self._enter(span, {self._key: (event.call, event.attempt), self._no_http_spans: True})
        self._inject(event.headers)

    def _end_attempt(self, call: _OpenCall, event: AttemptFinished) -> None:
        attempt, call.attempt = call.attempt, None
        if attempt is not None:
            self._leave(attempt, (event.call, event.attempt))
            self._end(attempt.span, response_attributes(event) | {"amili.size": event.size})

    def _add_event(self, span: Any, event: Event) -> None:
        if not span.is_recording():  # the SDK logs a warning if a span has ended
            return
        facts = {name: fact for name, fact in asdict(event).items() if fact is not None and name != "call"}
        span.add_event(type(event).__name__, {f"amili.{name}": fact for name, fact in facts.items()})

    def _end(self, span: Any, attributes: dict[str, Any]) -> None:
        span.set_attributes(attributes)
        if "error.type" in attributes:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end()

    def _enter(self, span: Any, values: dict[str, Any]) -> _OpenSpan:
        """Make a span the current one, in a context with these values."""
        before = self._context.get_current()
        inside = self._trace.set_span_in_context(span, before)
        for key, value in values.items():
            inside = self._context.set_value(key, value, inside)
        self._context.attach(inside)
        return _OpenSpan(span, before)

    def _leave(self, opened: _OpenSpan, mark: tuple[int, int]) -> None:
        """Make the context before it the current one."""
        # Not `detach`: it logs an error if a coroutine is closed in another context than its own. With two of these
        # observers the first restores what was before both of them, and the second finds no mark of its own.
        if self._context.get_value(self._key) == mark:
            self._context.attach(opened.before)
