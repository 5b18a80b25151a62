"""Ready-made observers for `AmiliClient(observers=[…])`: a log line per event, counters, and OpenTelemetry.

Invariant: they emit what events hold and nothing else: no credential, no filter value, nothing of a record.
"""

from amili_async.observers.count import CountEvents
from amili_async.observers.log import LogEvents, facts_of, level_of
from amili_async.observers.metrics import MeterCalls
from amili_async.observers.trace import TraceCalls

__all__ = ["CountEvents", "LogEvents", "MeterCalls", "TraceCalls", "facts_of", "level_of"]
