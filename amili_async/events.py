"""What the client reports to observers, as frozen values; an observer is any callable that takes one.

A call is reported as `CallStarted`, for each of its attempts `PermitAcquired`, `AttemptStarted`, `AttemptFinished` and,
if another one follows, `RetryScheduled`, and in the end `CallFinished`; all have its number. A page of a stream is a
call, and so is a request for a token.

Invariant: an event holds no credential, no filter value and nothing of a record, not even its id: each text is one of
few, so that all can be names and labels of metrics.
"""

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct


class Event(Struct, frozen=True, gc=False, kw_only=True):
    """Base class of all events."""


class CallEvent(Event, frozen=True, gc=False, kw_only=True):
    """Base class of the events of one call: a request with its waits and attempts."""

    call: int
    """The number of the call, unique in this process: the events of one call have the same."""


class CallStarted(CallEvent, frozen=True, gc=False, kw_only=True):
    """A call begins; exactly one `CallFinished` follows, however it ends."""

    parent: int
    """The number of the call during which it began, 0 if there is none: for a token request, that of the call that
    first needed the token."""
    operation: str
    """`get`, `page`, `count`, `stream` (a page of one), `extract` (a page of one, or a count for it), `find` (a look-up
    of payments), `reconcile` (a page for it), `create` or `token`."""
    resource: str
    """The API's path of the resource, with `{id}` for an id in it."""
    request: str
    """Method and route: `GET /finance--payouts/{id}`."""
    address: str
    """The host name or IP address of the API."""
    port: int
    """The port of the API."""


class CallFinished(CallEvent, frozen=True, gc=False, kw_only=True):
    """A call ended: with its response, an error, or a cancellation."""

    operation: str
    """As in `CallStarted`."""
    resource: str
    """The API's path of the resource, with `{id}` for an id in it."""
    attempts: int
    """How often the request was sent."""
    waited: float
    """Seconds: all waits for permits, without those of the token request that it waited for."""
    seconds: float
    """Seconds: from its start, waits included."""
    error: str | None
    """The name of the error class, such as `NotFound`, `ClientClosed` or `CancelledError`; `None` after a success."""


class AttemptStarted(CallEvent, frozen=True, gc=False, kw_only=True):
    """The request is about to be sent; exactly one `AttemptFinished` follows."""

    request: str
    """Method and route: `GET /finance--payouts/{id}`."""
    attempt: int
    """1 for the first attempt of the call."""
    headers: dict[str, str]
    """Empty: an observer may add `traceparent` and `tracestate`, which are sent; any other header is ignored."""


class AttemptFinished(CallEvent, frozen=True, gc=False, kw_only=True):
    """One attempt ended: its response was read, or it failed, or was cancelled."""

    request: str
    """Method and route: `GET /finance--payouts/{id}`."""
    address: str
    """The host name or IP address of the API."""
    port: int
    """The port of the API."""
    status: int | None
    """The HTTP status; `None` if no response arrived."""
    error: str | None
    """The name of the error class; `None` if the response was read completely, whatever its status."""
    attempt: int
    """1 for the first attempt of the call."""
    seconds: float
    """Seconds: from the start of sending to the end of reading."""
    size: int
    """Bytes: length of the decompressed body."""


class RetryScheduled(CallEvent, frozen=True, gc=False, kw_only=True):
    """An attempt failed with a transient error, and another one will follow."""

    request: str
    """Method and route: `GET /finance--payouts/{id}`."""
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


class PermitAcquired(CallEvent, frozen=True, gc=False, kw_only=True):
    """A request got its permit from the rate limiter."""

    request: str
    """Method and route: `GET /finance--payouts/{id}`."""
    priority: str
    """`token`, `single` or `bulk`."""
    waited: float
    """Seconds: how long it waited."""
    remaining: int | None
    """How many requests may still be sent in this minute; `None` if the rate limiter does not know."""


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
    """The API's path of the resource, with `{id}` for an id in it."""
    number: int
    """From 1."""
    items: int
    """Number of its records."""
    total: int | None
    """Number of matching records that the server reports; `None` if it reports none."""


class StreamDrifted(Event, frozen=True, gc=False, kw_only=True):
    """Two pages of a stream contradict each other: rows were inserted or deleted, and some are missing or repeated."""

    path: str
    """The API's path of the resource, with `{id}` for an id in it."""
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
