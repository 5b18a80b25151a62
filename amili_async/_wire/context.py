"""What a resource is given by its client, and the checks of numbers that all its calls share."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from amili_async._wire.clock import Clock
from amili_async._wire.protocol import MAX_PAGE_SIZE, Request, Response
from amili_async._wire.tasks import Cancellable
from amili_async.errors import ConfigurationError
from amili_async.events import Announcer


class ClientContext(Struct, frozen=True, kw_only=True):
    """What a resource is given by its client."""

    call: Callable[[Request], Awaitable[Response]]
    """Carries a request to the server and brings the answer."""
    announce: Announcer
    """Tells the observers."""
    running: set[Cancellable]
    """Where each stream and extraction notes what it has under way, so that the client can end it."""
    page_size: int
    """Records per page, unless a call says otherwise."""
    concurrency: int
    """Requests in flight per stream or extraction, unless a call says otherwise."""
    clock: Clock
    """What time it is, and how to wait."""
    forecast: Callable[[int], float | None]
    """Seconds until the last of so many requests can be sent; `None` where the budget cannot tell."""


def check_count(number: object, name: str) -> int:
    """Return a whole number of at least 1; `ConfigurationError` for anything else."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ConfigurationError(f"{name} must be a whole number of at least 1")
    return number


def check_page_size(page_size: object) -> int:
    """Return a page size that the API honours: it would silently clamp a larger one."""
    if check_count(page_size, "page_size") > MAX_PAGE_SIZE:
        raise ConfigurationError(f"page_size must be at most {MAX_PAGE_SIZE}: the API puts no more on a page")
    return check_count(page_size, "page_size")
