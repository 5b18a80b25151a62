"""Call the observers with each event.

Invariant: an observer that raises is logged, and affects neither the call that the event is about nor other observers.
"""

import logging
from collections.abc import Sequence

from amili_async.events import Event, Observer

_logger = logging.getLogger("amili_async")


class Announcer:
    """The observers of one client, callable as one; false without any, so that costly events need not be built."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)

    def __bool__(self) -> bool:
        return bool(self._observers)

    def __call__(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - a fault in a metric must not fail a payment
                # Only the class: the message of an observer's error can hold what it was given by its caller.
                _logger.warning("observer failed on %s with %s", type(event).__name__, type(error).__name__)
