"""What was worked out lately: a page repeats a few of its values, and a hit never leaves C."""

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memo(dict[K, V]):
    """A key's value, worked out where it is not known; forgets everything when it is full."""

    CAPACITY = 4096
    """Keys: the days of eleven years, say."""

    def __init__(self, work_out: Callable[[K], V]) -> None:
        super().__init__()
        self._work_out = work_out

    def __missing__(self, key: K) -> V:
        value = self._work_out(key)
        if len(self) >= self.CAPACITY:
            self.clear()
        self[key] = value
        return value
