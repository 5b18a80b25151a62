"""What the client passes to its resources, and the check of a page size."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from amili_async._wire.announcer import Announcer
from amili_async._wire.checks import check_count
from amili_async._wire.clock import Clock
from amili_async._wire.protocol import MAX_PAGE_SIZE, Request, Response
from amili_async._wire.tasks import Cancellable, RunningCall, not_picklable
from amili_async.errors import ConfigurationError


@not_picklable
class ClientContext(Struct, frozen=True, kw_only=True):
    """What the client passes to its resources; they know nothing else of it."""

    call: Callable[[Request], Awaitable[Response]]
    """Sends a request, with token, permit and retries, and returns the response."""
    announce: Announcer
    """Calls the observers with an event."""
    running: set[Cancellable]
    """Where each stream and extraction registers while it has tasks, so that closing the client cancels them."""
    page_size: int
    """Records per page, unless a call overrides it."""
    concurrency: int
    """Requests in flight per stream or extraction, unless a call overrides it."""
    clock: Clock
    """The time, and how to wait."""
    forecast: Callable[[int], float | None]
    """Seconds until the last of so many requests can be sent; `None` if the rate limiter cannot compute it."""

    async def sleep(self, seconds: float) -> None:
        """Wait; raises `ClientClosed` as soon as the client is closed."""
        with RunningCall(self.running) as call:
            return await self.clock.sleep(seconds)
        raise call.closed()


def check_page_size(page_size: object) -> int:
    """Return a page size that the API honours."""
    if (size := check_count(page_size, "page_size")) > MAX_PAGE_SIZE:
        # Eve clamps a larger size without an error, visible only in `_meta.max_results`.
        raise ConfigurationError(f"page_size must be at most {MAX_PAGE_SIZE}: the API puts no more records on a page")
    return size
