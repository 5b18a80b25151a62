"""A stream whose client has one observer."""

from collections.abc import Callable

from amili_async import AmiliClient, Observer
from amili_async.observers import CountEvents, LogEvents, MeterCalls, TraceCalls
from benchmarks.contenders.ours_bytes import NEVER_WAITS

LABEL = "amili_async, observed"


def _trace() -> Observer:
    from opentelemetry.sdk.trace import TracerProvider

    return TraceCalls(TracerProvider().get_tracer("benchmark"))


def _meter() -> Observer:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    return MeterCalls(MeterProvider([InMemoryMetricReader()]).get_meter("benchmark"))


OBSERVERS: dict[str, Callable[[], list[Observer]]] = {
    "no observer": list,
    "CountEvents": lambda: [CountEvents()],
    "LogEvents, at level WARNING": lambda: [LogEvents()],
    "MeterCalls, SDK without exporter": lambda: [_meter()],
    "TraceCalls, SDK without exporter": lambda: [_trace()],
}


async def fetch_all(url: str, *, observer: str) -> int:
    """Read every record; returns the number of pages."""
    async with AmiliClient(url, auth="token", rate_limit=NEVER_WAITS, observers=OBSERVERS[observer]()) as amili:
        records = 0
        async for _ in amili.payout_specifications.stream():
            records += 1
    return records // 100
