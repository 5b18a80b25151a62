"""An observer that writes a log line per event."""

import logging

import msgspec

from amili_async import events
from amili_async.events import Event, PaymentRegistered

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
