"""Call the observers with each event.

Invariant: an observer that raises is logged, and affects neither the call that the event is about nor other observers.
"""

import inspect
import logging
from collections.abc import Sequence

from amili_async._wire.checks import check_plain_function
from amili_async.errors import ConfigurationError
from amili_async.events import Event, Observer

_logger = logging.getLogger("amili_async")


def check_observers(observers: object) -> None:
    """`ConfigurationError` unless *observers* is a sequence of plain functions, or objects that are like them."""
    if not isinstance(observers, Sequence):
        raise ConfigurationError("observers must be a list of callables, also for a single one")
    for observer in observers:
        check_plain_function(observer, "each of observers")


class Announcer:
    """The observers of a client or rate limiter, callable as one; false without any: then no event need be built."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)

    def add(self, observer: Observer) -> None:
        """Call this one too from now on."""
        self._observers = (*self._observers, observer)

    def remove(self, observer: Observer) -> None:
        """Stop calling it."""
        self._observers = tuple(each for each in self._observers if each != observer)

    def __bool__(self) -> bool:
        return bool(self._observers)

    def __call__(self, event: Event) -> None:
        for observer in self._observers:
            try:
                result = observer(event)
                if inspect.iscoroutine(result):  # of a function that does not show that it is async, such as a lambda
                    result.close()
                    raise TypeError("not awaited")
            except Exception as error:  # noqa: BLE001 - a fault in a metric must not fail a payment
                # Only the class: the message of an observer's error can hold what it was given by its caller.
                name, failure = type(event).__name__, type(error).__name__
                facts = {"amili_event": name, "amili_error": failure}
                _logger.warning("observer failed on %s with %s", name, failure, extra=facts)
