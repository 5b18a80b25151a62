"""The rate limiters of one process of several, by name: shared through Redis, or one for each process."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from amili_async import Priority, Quota, RateLimit, RateLimiter
from amili_async.shared import RedisRateLimiter

LABELS = {
    "ours": "amili_async, shared",
    "reserve": "amili_async, shared, reserve of 10",
    "share": "amili_async, shared, with a share of its own",
    "static": "a static share of the limit each",
    "default": "the whole limit each",
    "limits": "limits, moving window in Redis",
    "pyrate": "pyrate-limiter, RedisBucket",
}


class CountingLimiter(RateLimiter):
    """Base of limiters that count permits when they grant them; after a 429 only the call concerned waits."""

    @property
    def limit(self) -> RateLimit:
        """The API's."""
        return RateLimit()

    def release_unused(self) -> None:
        """Keep it: these libraries take no permit back."""

    def on_response(self, quota: Quota | None = None) -> None:
        """Ignore the response."""

    def on_no_response(self, seconds: float) -> None:
        """Ignore it."""

    def on_rate_limited(self, seconds: float | None) -> float:
        """`Retry-After`, or a full minute without it."""
        return 60.0 if seconds is None else seconds


class LimitsLimiter(CountingLimiter):
    """limits: a moving window per period; the library leaves waiting to its caller."""

    def __init__(self, url: str) -> None:
        from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
        from limits.aio.storage import RedisStorage
        from limits.aio.strategies import MovingWindowRateLimiter

        storage = RedisStorage(url.replace("unix://", "async+redis+unix://"), implementation="redispy")
        self._limiter: MovingWindowRateLimiter = MovingWindowRateLimiter(storage)
        self._items = (RateLimitItemPerSecond(10), RateLimitItemPerMinute(100))

    async def acquire(self, priority: Priority, *, max_wait: float | None = None) -> None:  # noqa: ARG002 - counts alone
        """Wait until both windows have room, as the library reports it, then take a place in both."""
        while True:
            for item in self._items:
                if not await self._limiter.test(item, "key"):
                    stats = await self._limiter.get_window_stats(item, "key")
                    await asyncio.sleep(max(0.01, stats.reset_time - time.time()))
                    break
            else:
                second, minute = self._items
                if await self._limiter.hit(second, "key") and await self._limiter.hit(minute, "key"):
                    return


class PyrateLimiter(CountingLimiter):
    """pyrate-limiter: a log of requests in Redis, which waits by itself."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._limiter: Any = None

    async def acquire(self, priority: Priority, *, max_wait: float | None = None) -> None:  # noqa: ARG002 - counts alone
        """Wait for a place in both windows."""
        if self._limiter is None:
            from pyrate_limiter import Limiter, Rate
            from pyrate_limiter.buckets import RedisBucket
            from redis.asyncio import from_url

            rates = [Rate(10, 1000), Rate(100, 60_000)]
            bucket = await RedisBucket.init(rates, from_url(self._url), "key")
            self._limiter = self._limiter or Limiter(bucket)
        await self._limiter.try_acquire_async("key")


def open_limiter(
    name: str, url: str, processes: int
) -> AbstractAsyncContextManager[RateLimiter] | AbstractAsyncContextManager[RateLimit]:
    """What a process of so many gets as its `rate_limit`."""
    share = RateLimit(per_minute=100 // processes, per_second=max(1, 10 // processes))
    if name in {"ours", "reserve", "share"}:
        limit = RateLimit(reserve=10 if name == "reserve" else 0)
        return RedisRateLimiter.from_url(url, "benchmark", limit=limit, share=share if name == "share" else None)
    if name in {"limits", "pyrate"}:
        return _keep(LimitsLimiter(url) if name == "limits" else PyrateLimiter(url))
    return _keep(share if name == "static" else RateLimit())


@asynccontextmanager
async def _keep(limit: Any) -> AsyncIterator[Any]:
    yield limit
