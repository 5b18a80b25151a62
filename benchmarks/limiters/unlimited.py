"""No limiter: send at once, and wait for `Retry-After` after a 429."""

from benchmarks.limiters import SleepAfter429

LABEL = "no limiter, waits for Retry-After"


class _Unlimited(SleepAfter429):
    async def acquire(self) -> None:
        """Return at once."""


def make() -> _Unlimited:
    """Without state."""
    return _Unlimited()
