"""A store of claims in the process, which a test can watch, and make fail or lose what it holds."""

import asyncio
from collections.abc import Sequence
from typing import Any

from tests.support.clocks import MovedClock


class MemoryClaims:
    """Claims that expire by a clock. Each call takes an iteration of the loop, so that runs interleave."""

    def __init__(self, clock: MovedClock) -> None:
        self.clock = clock
        self.held: dict[str, tuple[str, float]] = {}
        """By key: the owner, and when the claim expires."""
        self.calls: list[tuple[str, int]] = []
        """The name of each method that was called, and the number of its keys."""
        self.failing: set[str] = set()
        """The methods that raise."""
        self.dead: set[str] = set()
        """Owners whose process was killed: nothing that they do has an effect."""

    async def take(self, keys: Sequence[str], *, owner: str, seconds: float) -> frozenset[str]:
        await self._called("take", keys)
        return self._set([key for key in keys if self._owner_of(key) is None], owner, seconds)

    async def keep(self, keys: Sequence[str], *, owner: str, seconds: float) -> frozenset[str]:
        await self._called("keep", keys)
        return self._set([key for key in keys if self._owner_of(key) == owner], owner, seconds)

    async def give_up(self, keys: Sequence[str], *, owner: str) -> None:
        await self._called("give_up", keys)
        for key in keys:
            if self._owner_of(key) == owner and owner not in self.dead:
                del self.held[key]

    def seconds_left(self) -> list[int]:
        """Whole seconds until each claim expires, the shortest first."""
        return sorted(round(until - self.clock.now()) for _, until in self.held.values())

    def _owner_of(self, key: str) -> str | None:
        owner, until = self.held.get(key, ("", 0.0))
        return owner if until > self.clock.now() else None

    def _set(self, keys: Sequence[str], owner: str, seconds: float) -> frozenset[str]:
        if owner in self.dead:
            return frozenset()
        for key in keys:
            _, until = self.held.get(key, ("", 0.0))
            self.held[key] = (owner, max(until, self.clock.now() + seconds))
        return frozenset(keys)

    async def _called(self, name: str, keys: Sequence[Any]) -> None:
        self.calls.append((name, len(keys)))
        await asyncio.sleep(0)
        if name in self.failing:
            raise OSError("secret-host:6379")
