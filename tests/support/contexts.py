"""What a resource knows of its client, without a client."""

from collections.abc import Awaitable, Callable
from typing import Any

from amili_async._wire.announcer import Announcer
from amili_async._wire.context import ClientContext
from amili_async._wire.protocol import Request, Response
from tests.support.clocks import MovedClock


def make_context(call: Callable[[Request], Awaitable[Response]], **options: Any) -> ClientContext:
    """A context that sends by *call*; its time does not pass."""
    own: dict[str, Any] = {
        "announce": Announcer(),
        "running": set(),
        "page_size": 100,
        "concurrency": 4,
        "clock": MovedClock(),
        "forecast": lambda requests: None,
    }
    return ClientContext(call=call, **(own | options))
