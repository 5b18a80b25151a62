"""What happened, as frozen values; an observer is any callable that takes one.

The law: an event holds no credential, no filter value and nothing of a record.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

from msgspec import Struct


class Event(Struct, frozen=True, gc=False, kw_only=True):
    """The base of all events."""


class AttemptFinished(Event, frozen=True, gc=False, kw_only=True):
    """One try ended: an answer was read, or it failed."""

    request: str
    """Method and path, without the query."""
    status: int | None
    """The HTTP status; `None` where no answer came."""
    error: str | None
    """The name of the error class; `None` where the answer was read whole."""
    attempt: int
    """1 for the first try."""
    seconds: float
    """From the start of sending to the end of reading."""
    size: int
    """Bytes of the body, decompressed."""


class RetryScheduled(Event, frozen=True, gc=False, kw_only=True):
    """A try failed with a transient error and will be followed by another."""

    request: str
    """Method and path, without the query."""
    attempt: int
    """The number of the try that failed."""
    wait: float
    """Seconds until the next."""
    error: str
    """The name of the error class."""


class RateLimiterPaused(Event, frozen=True, gc=False, kw_only=True):
    """The request budget let nothing through for a while: a 429, or the quota that the server reports is used up."""

    seconds: float
    """How long from now."""
    reason: str
    """`429` or `quota`."""


class TokenRefreshed(Event, frozen=True, gc=False, kw_only=True):
    """A new access token was fetched."""

    lifetime: float | None
    """Seconds; `None` where it is not known."""


class TokenRefreshFailed(Event, frozen=True, gc=False, kw_only=True):
    """Fetching a new access token failed."""

    error: str
    """The name of the error class."""
    kept: bool
    """Whether the old token is still good and stays in use."""


class PageReceived(Event, frozen=True, gc=False, kw_only=True):
    """A page was decoded and is about to be handed on."""

    path: str
    """The resource's path."""
    number: int
    """From 1."""
    items: int
    """How many records are on it."""
    total: int | None
    """How many the server says there are in all."""


class StreamDrifted(Event, frozen=True, gc=False, kw_only=True):
    """Rows came or went while a stream was paging, so that it may have missed or repeated some."""

    path: str
    """The resource's path."""
    page: int
    """The page at which it was noticed."""
    reason: str
    """`total`: the number of rows changed; `repeated`: a row stood on two pages."""


class PaymentRegistered(Event, frozen=True, gc=False, kw_only=True):
    """A payment is known to be registered: the API said so, or it was found."""

    request: str
    """Method and path."""
    status: str
    """`completed`, `warning`, `error`, or `other` for what is not documented."""
    was_found: bool
    """Whether it was found rather than created by an answer that came."""


class PaymentLookedFor(Event, frozen=True, gc=False, kw_only=True):
    """After an answer that never came a payment was looked for."""

    request: str
    """Method and path of what was not answered."""
    error: str
    """The name of the error class that left the outcome unknown."""
    was_found: bool
    """Whether it was found; if not, the outcome stays unknown."""
    looks: int
    """How many times it was looked for."""
    seconds: float
    """From the failure to the end of the search."""


Observer: TypeAlias = Callable[[Event], object]

_logger = logging.getLogger("amili_async")


class Announcer:
    """Hands each event to every observer; one that raises is logged and disturbs neither the call nor the others."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)

    def __bool__(self) -> bool:
        return bool(self._observers)

    def __call__(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - a fault in a metric must not fail a payment
                _logger.warning("an observer failed on %s with %s", type(event).__name__, type(error).__name__)
