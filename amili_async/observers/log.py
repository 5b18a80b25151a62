"""An observer that writes a log line per event, and the handler for programs that have none."""

import logging
import sys

import msgspec

from amili_async import events
from amili_async.events import Event, PaymentRegistered

_LOGGER = logging.getLogger("amili_async")
_LEVELS: dict[type[Event], int] = {
    events.RetryScheduled: logging.WARNING,
    events.RateLimiterPaused: logging.WARNING,
    events.RateLimiterDisconnected: logging.WARNING,
    events.TokenRefreshFailed: logging.WARNING,
    events.TokenStoreFailed: logging.WARNING,
    events.StreamDrifted: logging.WARNING,
    events.PaymentLookedUp: logging.WARNING,
    events.CallFinished: logging.INFO,
    events.PermitDelayed: logging.INFO,
    events.RateLimiterReconnected: logging.INFO,
    events.TokenRefreshed: logging.INFO,
    PaymentRegistered: logging.INFO,
}
_LINE = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")


class LogEvents:
    """Logs each event: finished calls at info level, attempts, permits and pages at debug level, problems as warnings.

    The fields of the event are attributes of the record too, for formatters that write JSON: `amili_event` is its name,
    `amili_request` its `request`, and so on. With structlog, log each event by a function of your own, such as
    `lambda event: log.log(level_of(event), type(event).__name__, **facts_of(event))`.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or _LOGGER

    def __call__(self, event: Event) -> None:
        level = level_of(event)
        if self._logger.isEnabledFor(level):
            name, facts = type(event).__name__, facts_of(event)
            text = " ".join(
                f"{key}={round(value, 4) if isinstance(value, float) else value}" for key, value in facts.items()
            )
            # The prefix: `logging` raises KeyError for a name that each record has, such as `name` or `args`.
            extra = {"amili_event": name, **{f"amili_{key}": value for key, value in facts.items()}}
            self._logger.log(level, "%s %s", name, text, extra=extra)


def level_of(event: Event) -> int:
    """The level at which an event is logged, as a number of `logging`."""
    # A reader of warnings alone must learn of each payment that was not settled as intended.
    is_doubtful = isinstance(event, PaymentRegistered) and event.status != "completed"
    return logging.WARNING if is_doubtful else _LEVELS.get(type(event), logging.DEBUG)


def facts_of(event: Event) -> dict[str, str | int | float | bool | None]:
    """The fields of an event by their names, but for the headers that observers fill."""
    return {name: value for name, value in msgspec.structs.asdict(event).items() if not isinstance(value, dict)}


class _StderrHandler(logging.Handler):
    """Writes to stderr while the program has no handler of its own, whether it adds one before or after this."""

    def emit(self, record: logging.LogRecord) -> None:
        if logging.getLogger().handlers or len(_LOGGER.handlers) > 1:
            return
        try:
            sys.stderr.write(f"{self.format(record)}\n")  # the stderr of this moment: a progress bar replaces it
        except Exception:  # noqa: BLE001 - as each handler of `logging`: a closed pipe must not fail a payment
            self.handleError(record)


def log_to_stderr(level: int) -> None:
    """Write the log lines of the package from this level on stderr, unless the program has a handler of its own."""
    _LOGGER.setLevel(level)
    if not any(isinstance(handler, _StderrHandler) for handler in _LOGGER.handlers):
        handler = _StderrHandler()
        handler.setFormatter(_LINE)
        _LOGGER.addHandler(handler)
