"""One file per limiter, with a `LABEL` and `make()`, a new `Limiter` for 100 requests per minute and 10 per second."""

from typing import Protocol

from amili_async.policies import Quota


class Limiter(Protocol):
    """What a worker calls around each request."""

    async def acquire(self) -> None:
        """Wait for a permit."""

    def on_response(self, quota: Quota | None) -> None:
        """Note that a response arrived, with the quota in its headers."""

    def on_rate_limited(self, retry_after: float | None) -> float:
        """Note a 429; returns the seconds that this worker waits before its next attempt."""


class SleepAfter429:
    """Base of limiters that ignore responses: after a 429 only the worker concerned sleeps, for `Retry-After`."""

    def on_response(self, quota: Quota | None) -> None:
        """Ignore the response."""

    def on_rate_limited(self, retry_after: float | None) -> float:
        """`Retry-After`, or a full minute without it."""
        return 60.0 if retry_after is None else retry_after
