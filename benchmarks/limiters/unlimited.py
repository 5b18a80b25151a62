"""No limiter: send, and obey `Retry-After`."""

from benchmarks.limiters import Unpaused

LABEL = "no limiter, Retry-After obeyed"


class _Unlimited(Unpaused):
    async def acquire(self) -> None:
        """Whoever comes goes."""


def make() -> _Unlimited:
    """It has no state."""
    return _Unlimited()
