"""The package's own budget."""

from amili_async._wire.throttle import Budget, Lane, RateLimit

LABEL = "amili_async"


class _Bulk:
    """The budget as the pages of a stream use it."""

    def __init__(self) -> None:
        self._budget = Budget(RateLimit())
        self.settle = self._budget.settle
        self.pause = self._budget.pause

    async def acquire(self) -> None:
        await self._budget.acquire(Lane.BULK)


def make() -> _Bulk:
    """Call it in the loop whose time it is to follow."""
    return _Bulk()
