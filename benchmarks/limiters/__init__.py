"""One file per limiter; each has `LABEL` and `make()`, a fresh `Limiter` for 100 requests a minute and ten a second."""

from typing import Protocol

from amili_async.policies import Quota


class Limiter(Protocol):
    """What a worker asks of a limiter before and after each request."""

    async def acquire(self) -> None:
        """Wait for a turn."""

    def on_response(self, quota: Quota | None) -> None:
        """The answer arrived, with what it said of the server's count."""

    def on_rate_limited(self, seconds: float | None) -> float:
        """The answer was a 429; returns how long this worker is to wait before it tries again."""


class Unpaused:
    """A limiter that takes in nothing from the answers: each worker by itself obeys the `Retry-After` of its 429."""

    def on_response(self, quota: Quota | None) -> None:
        """Nothing is learned."""

    def on_rate_limited(self, seconds: float | None) -> float:
        """What the server said, or else a whole minute."""
        return 60.0 if seconds is None else seconds
