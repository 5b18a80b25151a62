"""An OpenTelemetry SDK in the process, and what it has recorded."""

from collections.abc import Mapping
from typing import Any

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider


class Spans(SpanProcessor):
    """All spans of one tracer, in the order in which they started."""

    def __init__(self) -> None:
        self.all: list[ReadableSpan] = []
        provider = TracerProvider()
        provider.add_span_processor(self)
        self.provider = provider
        self.tracer = provider.get_tracer("test")

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.all.append(span)

    def check(self) -> None:
        """Every span has ended, and none is the current one."""
        assert [span.name for span in self.all if span.end_time is None] == []
        self.check_context()

    def check_context(self) -> None:
        """No span is the current one, in the task that runs."""
        assert context.get_current() == {}
        assert trace.get_current_span() is trace.INVALID_SPAN

    def named(self, name: str) -> ReadableSpan:
        """The only span of this name."""
        (span,) = [span for span in self.all if span.name == name]
        return span

    def tree(self) -> list[str]:
        """The name of each span, indented below that of its parent, which started before it."""
        depths: dict[int, int] = {}
        lines = []
        for span in self.all:
            depth = -1 if span.parent is None else depths.get(span.parent.span_id, -1)
            depths[id_of(span)] = depth + 1
            lines.append(f"{'  ' * (depth + 1)}{span.name}")
        return lines


def id_of(span: ReadableSpan) -> int:
    """The id that its children name as their parent."""
    assert span.context is not None
    return int(span.context.span_id)


def trace_sent_for(span: ReadableSpan) -> str:
    """`traceparent` of a request that is sent within the span, without its flags."""
    assert span.context is not None
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}"


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    """The attributes of a span, without those of ours."""
    return {name: value for name, value in (span.attributes or {}).items() if not name.startswith("amili.")}
