"""What the client reports to observers, as frozen values; an observer is any callable that takes one.

Invariant: an event holds no credential, no filter value and nothing of a record.
"""

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct


class Event(Struct, frozen=True, gc=False, kw_only=True):
    """Base class of all events."""


class AttemptFinished(Event, frozen=True, gc=False, kw_only=True):
    """One attempt ended: its response was read, or it failed."""

    request: str
    """Method and path, without the query."""
    status: int | None
    """The HTTP status; `None` if no response arrived."""
    error: str | None
    """The name of the error class; `None` if the response was read completely, whatever its status."""
    attempt: int
    """1 for the first attempt."""
    seconds: float
    """Seconds: from the start of sending to the end of reading."""
    size: int
    """Bytes: length of the decompressed body."""


class RetryScheduled(Event, frozen=True, gc=False, kw_only=True):
    """An attempt failed with a transient error, and another one will follow."""

    request: str
    """Method and path, without the query."""
    attempt: int
    """The number of the failed attempt."""
    wait: float
    """Seconds until the next attempt."""
    error: str
    """The name of the error class."""


class RateLimiterPaused(Event, frozen=True, gc=False, kw_only=True):
    """The rate limiter pauses all requests: after a 429, or because the quota that the server reports is used up."""

    seconds: float
    """Seconds: length of the pause, from now."""
    reason: str
    """`429` or `quota`."""


class PermitAcquired(Event, frozen=True, gc=False, kw_only=True):
    """A request got its permit from the rate limiter."""

    request: str
    """Method and path, without the query."""
    priority: str
    """`token`, `single` or `bulk`."""
    waited: float
    """Seconds: how long it waited."""


class PermitDelayed(Event, frozen=True, gc=False, kw_only=True):
    """A call has waited long for its permit; reported at most once per priority in that time."""

    priority: str
    """`token`, `single` or `bulk`."""
    seconds: float
    """Seconds: how long it has waited."""
    waiting: int
    """Number of all calls that wait."""


class RateLimiterDisconnected(Event, frozen=True, gc=False, kw_only=True):
    """The Redis of a shared rate limiter cannot be reached: calls use the share of this process, or wait."""

    error: str
    """The name of the error class."""


class RateLimiterReconnected(Event, frozen=True, gc=False, kw_only=True):
    """The Redis of a shared rate limiter can be reached again."""

    seconds: float
    """Seconds: how long it could not."""


class TokenRefreshed(Event, frozen=True, gc=False, kw_only=True):
    """A new access token was fetched, or taken from the store that processes share."""

    lifetime: float | None
    """Seconds until it expires; `None` if not known."""


class TokenRefreshFailed(Event, frozen=True, gc=False, kw_only=True):
    """Fetching a new access token failed."""

    error: str
    """The name of the error class."""
    kept: bool
    """Whether the old token has not expired and stays in use."""


class TokenStoreFailed(Event, frozen=True, gc=False, kw_only=True):
    """The store of the shared access token could not be used; the client fetches a token by itself."""

    error: str
    """The name of the error class."""


class PageReceived(Event, frozen=True, gc=False, kw_only=True):
    """A page of a stream was decoded and is about to be delivered."""

    path: str
    """The resource's path."""
    number: int
    """From 1."""
    items: int
    """Number of its records."""
    total: int | None
    """Number of matching records that the server reports; `None` if it reports none."""


class StreamDrifted(Event, frozen=True, gc=False, kw_only=True):
    """Two pages of a stream contradict each other: rows were inserted or deleted, and some are missing or repeated."""

    path: str
    """The resource's path."""
    page: int
    """The number of the page that showed it."""
    reason: str
    """`total`: the number of rows changed; `repeated`: a row appears twice; `order`: the page does not follow the one
    before in the sort; `size`: a page that is not the last is shorter, or one is longer than the first."""


class PaymentRegistered(Event, frozen=True, gc=False, kw_only=True):
    """A payment is registered: the API confirmed it, or it was found."""

    request: str
    """Method and path."""
    status: str
    """`completed`, `warning`, `error`, or `other` for a status that is not documented."""
    was_found: bool
    """Whether it was found by a look-up, instead of confirmed by the response."""


class PaymentLookedUp(Event, frozen=True, gc=False, kw_only=True):
    """A payment whose response did not arrive was looked up."""

    request: str
    """Method and path of the request without a response."""
    error: str
    """The name of the error class of that request."""
    was_found: bool
    """Whether it was found; otherwise the outcome stays unknown."""
    lookups: int
    """Number of look-ups."""
    seconds: float
    """Seconds: from the failure to the last look-up."""


Observer: TypeAlias = Callable[[Event], object]
"""Called with each event in the event loop, so it must not block; an exception is logged and dropped."""
