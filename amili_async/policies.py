"""How fast and how patient a client is: rate limit and retries, and the protocol of a rate limiter of one's own."""

from enum import IntEnum
from typing import Protocol

from msgspec import Struct

from amili_async.errors import ConfigurationError


class RateLimit(Struct, frozen=True, kw_only=True):
    """How many requests the API allows for one key (100 a minute, ten a second), and how long a call may wait."""

    per_minute: int = 100
    """Requests in any 60 seconds, all of them counted: token requests, retries, payments."""
    per_second: int = 10
    """Requests in any one second."""
    max_wait: float | None = None
    """Seconds that a call may wait for its turn; one that would wait longer fails at once with `BudgetExhausted`."""
    max_pause: float = 120.0
    """Seconds of silence that the server may impose; a longer one fails each call with `BudgetExhausted`."""

    def __post_init__(self) -> None:
        if self.per_minute < 1 or self.per_second < 1:
            raise ConfigurationError("per_minute and per_second must be at least 1; rate_limit=None has no budget")
        if self.max_pause < 0 or (self.max_wait is not None and self.max_wait < 0):
            raise ConfigurationError("max_wait and max_pause are seconds, and not negative")


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How patient a call is: exponential backoff with full jitter, and what the server asks for where it asks."""

    attempts: int = 5
    """Tries in all; 1 means no retry."""
    base: float = 0.5
    """Seconds: the longest wait after the first try, doubled after each further one."""
    max_wait: float = 20.0
    """Seconds: the longest wait of our own."""
    max_retry_after: float = 120.0
    """Seconds: the longest wait that the server may ask for; asked for more, the call fails at once."""
    max_elapsed: float = 300.0
    """Seconds since the first try failed, beyond which no wait goes."""
    retry_budget: int = 20
    """Retries in hand for the whole client. A retry takes one, a call that succeeds gives half of one back: when
    the server is down, calls soon fail after one try each, and recover with it."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ConfigurationError("attempts counts the first try too: it must be at least 1")
        if min(self.base, self.max_wait, self.max_retry_after, self.max_elapsed, self.retry_budget) < 0:
            raise ConfigurationError("the times and the reserve of a RetryPolicy must not be negative")


class Priority(IntEnum):
    """Who goes first when several wait; first come, first served within a priority."""

    TOKEN = 0
    """Without a token nobody else can go."""
    SINGLE = 1
    """One record or one page: somebody is waiting for it."""
    BULK = 2
    """The pages of a stream."""


class Quota(Struct, frozen=True, gc=False, kw_only=True):
    """What the server says of its own count, in `X-RateLimit-*`."""

    limit: int | None
    """Requests per period."""
    remaining: int
    """How many of them are left."""
    reset_in: float
    """Seconds until the count starts anew."""


class RateLimiter(Protocol):
    """What the client asks of a budget; one that is shared between processes can take the place of ours."""

    async def acquire(self, priority: Priority) -> None:
        """Wait for a turn; `BudgetExhausted` where it would take too long. A cancelled wait takes nothing."""

    def release_unused(self) -> None:
        """Return a turn that was not used: nothing was sent."""

    def on_response(self, quota: Quota | None = None) -> None:
        """The answer to a request arrived, or none will."""

    def on_rate_limited(self, seconds: float | None) -> float:
        """A 429 arrived, with that much to wait if it said so; returns for how long nothing will be sent."""

    def close(self) -> None:
        """Fail whoever still waits."""
