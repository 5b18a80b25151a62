"""Connections to Redis or Valkey that fail at once where the server is down, and soon where it hangs."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

from amili_async._wire.tasks import Redacted
from amili_async.errors import ConfigurationError

if TYPE_CHECKING:
    from redis.asyncio import Redis

SOCKET_TIMEOUT = 1.0
"""Seconds: for connecting, and for each answer."""

Connect: TypeAlias = Callable[[], AbstractAsyncContextManager[Any]]
"""Returns a connected `redis.asyncio.Redis` for a block, and closes it unless it was lent."""


def connect(url: str) -> "Redis":
    """A client for a `redis://`, `rediss://` or `unix://` URL; it connects when it is used, and its owner closes it."""
    target, url = Redacted(url), ""  # it may hold a password, and reports of errors show the variables of each frame
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ModuleNotFoundError:
        raise ConfigurationError('shared state needs redis: pip install "amili-async[redis]"') from None
    # redis-py 8 tries a command eleven times by default, and so hides for seconds that a server is down.
    timeouts: dict[str, Any] = {"socket_timeout": SOCKET_TIMEOUT, "socket_connect_timeout": SOCKET_TIMEOUT}
    try:
        return Redis.from_url(target.content, retry=Retry(NoBackoff(), 0), **timeouts)
    except (ValueError, TypeError, AttributeError):
        pass  # its text may quote the URL
    raise ConfigurationError("the URL of Redis must be redis://…, rediss://… or unix://…")


def connect_each_time(redis: "Redis | str") -> Connect:
    """How to use a lent client, or for a URL a connection of its own at each use: it is bound to no event loop."""
    if isinstance(redis, str):
        url, redis = Redacted(redis), ""
        connect(url.content)  # raises for a URL that cannot work
        return lambda: connect(url.content)
    lent = redis
    return lambda: nullcontext(lent)
