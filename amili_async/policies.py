"""The policies of a client: rate limit and retries, and all that is needed to write a rate limiter of one's own."""

from abc import abstractmethod
from datetime import datetime
from enum import IntEnum
from typing import Protocol

from msgspec import Struct

from amili_async._wire.checks import check_count, check_seconds
from amili_async.errors import ConfigurationError
from amili_async.events import Observer


class RateLimit(Struct, frozen=True, kw_only=True):
    """How many requests the API allows for one key: 100 a minute, ten a second."""

    per_minute: int = 100
    """Requests in any 60 seconds, all of them counted: token requests, retries, payments."""
    per_second: int = 10
    """Requests in any one second."""
    reserve: int = 0
    """Requests of each minute, and if it is not 0 one of each second, that streams and extractions leave to single
    calls and token requests. They still get one permit in ten while those wait."""
    max_pause: float = 120.0
    """Seconds that the server may pause all requests; during a longer pause each call raises `BudgetExhausted`."""

    def __post_init__(self) -> None:
        check_count(self.per_minute, "RateLimit: per_minute")
        check_count(self.per_second, "RateLimit: per_second")
        check_count(self.reserve, "RateLimit: reserve", least=0)
        if self.reserve >= self.per_minute:
            raise ConfigurationError("RateLimit: reserve must be less than per_minute: streams would get no permit")
        check_seconds(self.max_pause, "RateLimit: max_pause", may_be_inf=True)


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """When a failed call is attempted again: exponential backoff with full jitter, later if the server demands it."""

    attempts: int = 5
    """Attempts in all; 1 means no retry."""
    base: float = 0.5
    """Seconds: the longest wait after the first attempt; it doubles with each further one."""
    max_wait: float = 20.0
    """Seconds: the longest wait that backoff chooses."""
    max_retry_after: float = 120.0
    """Seconds: the longest wait that the server may demand; if it demands more, the call fails at once."""
    max_elapsed: float = 300.0
    """Seconds since the first attempt failed; no wait may end later."""
    retry_budget: int = 20
    """Retries in hand for the whole client. Each retry uses one, each success restores half of one: when the server
    is down, calls soon fail after one attempt each, and when it is up again, retries return with it."""

    def __post_init__(self) -> None:
        check_count(self.attempts, "RetryPolicy: attempts, the first one included,")
        check_count(self.retry_budget, "RetryPolicy: retry_budget", least=0)
        check_seconds(self.base, "RetryPolicy: base")
        check_seconds(self.max_wait, "RetryPolicy: max_wait")
        check_seconds(self.max_retry_after, "RetryPolicy: max_retry_after", may_be_inf=True)
        check_seconds(self.max_elapsed, "RetryPolicy: max_elapsed", may_be_inf=True)


class Priority(IntEnum):
    """Which waiting call gets the next permit; first come, first served within a priority.

    Of ten permits, a lower priority whose calls wait gets one.
    """

    TOKEN = 0
    """A token request: all other calls need its token."""
    SINGLE = 1
    """One record, one page or one payment: its caller waits for it."""
    BULK = 2
    """The pages of streams and extractions."""


class Quota(Struct, frozen=True, gc=False, kw_only=True):
    """What the server reports of its own count, in the headers `X-RateLimit-*`."""

    limit: int | None
    """Requests per period; `None` if not reported."""
    remaining: int
    """Requests left in the period."""
    reset_in: float
    """Seconds until the count starts again."""


class RateLimiter(Protocol):
    """What decides when a request may be sent. Subclass it to write one, such as one that processes share.

    A client borrows the one that it is given, as it borrows a session: several clients of one event loop may share it,
    and a client that closes cancels its own waits only. The owner closes it, after the clients.

    Each `acquire` that returns is followed by exactly one `release_unused`, `on_response` or `on_no_response`.
    """

    @property
    @abstractmethod
    def limit(self) -> RateLimit | None:
        """What the API allows for the key; `None` for no limit."""

    @abstractmethod
    async def acquire(self, priority: Priority, *, max_wait: float | None = None) -> None:
        """Wait for a permit, at most *max_wait* seconds: `BudgetExhausted` as soon as it is known to take longer.

        A cancelled wait uses no permit.
        """

    @abstractmethod
    def release_unused(self) -> None:
        """Release a permit with which nothing was sent."""

    @abstractmethod
    def on_response(self, quota: Quota | None = None) -> None:
        """Release a permit with which a request was sent, when its response has arrived."""

    @abstractmethod
    def on_no_response(self, seconds: float) -> None:
        """Release a permit whose request will get no response, but may reach the server within so many *seconds*."""

    @abstractmethod
    def on_rate_limited(self, seconds: float | None) -> float:
        """The response was a 429, with this `Retry-After` if any; returns the seconds for which nothing is sent."""

    def forecast(self, requests: int) -> float | None:  # noqa: ARG002 - for those that can
        """Seconds until the last of so many requests of a stream may be sent; `None` if not known."""
        return None

    @property
    def remaining(self) -> int | None:
        """How many requests may be sent now and in the rest of this minute; `None` if not known."""
        return None

    @property
    def resets_at(self) -> datetime | None:
        """When *remaining* grows next, in UTC; `None` if nothing is used up, or if not known."""
        return None

    @property
    def waiting(self) -> int | None:
        """How many calls of this process wait for a permit; `None` if not known."""
        return None

    @property
    def in_flight(self) -> int | None:
        """How many permits calls of this process hold; `None` if not known."""
        return None

    def add_observer(self, observer: Observer) -> None:  # noqa: ARG002 - for those that have events
        """Call *observer* with each event from now on; a client adds its own when it opens."""
        return

    def remove_observer(self, observer: Observer) -> None:  # noqa: ARG002 - for those that have events
        """Call it no more: a client removes its own when it closes."""
        return
