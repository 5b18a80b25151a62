"""The package's own budget."""

from amili_async._wire.throttle import Budget, Lane, RateLimit

LABEL = "amili_async"


class _Bulk:
    """The budget as the pages of a stream use it."""

    def __init__(self, per_second: int, per_minute: int) -> None:
        self._budget = Budget(RateLimit(per_second=per_second, per_minute=per_minute))
        self.settle = self._budget.settle
        self.pause = self._budget.pause

    async def acquire(self) -> None:
        await self._budget.acquire(Lane.BULK)


def make(per_second: int = 10, per_minute: int = 100) -> _Bulk:
    """On the clock of the running loop."""
    return _Bulk(per_second, per_minute)
