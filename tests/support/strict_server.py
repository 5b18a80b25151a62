"""A server that counts as strictly as any may: by sliding windows, and to the millisecond."""

from collections import deque


class StrictServer:
    """Rejects the 101st request in any 60 s and the 11th in any second, by the time at which they reach it."""

    def __init__(self, windows: tuple[tuple[int, float], ...] = ((10, 1.0), (100, 60.0))) -> None:
        self.windows = windows
        self.seen: deque[float] = deque()
        self.rejected = 0

    def receive(self, now: float) -> bool:
        if any(sum(at > now - period for at in self.seen) >= limit for limit, period in self.windows):
            self.rejected += 1
            return False
        self.seen.append(now)
        return True
