"""The client of a command: for the API that the environment names, or for a sandbox in this process."""

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from amili_async._wire.base_url import check_base_url
from amili_async.auth import ApiCodeCredentials
from amili_async.client import AmiliClient
from amili_async.environment import SANDBOX_URL, read_log
from amili_async.errors import ConfigurationError
from amili_async.events import Event, Observer, RateLimiterPaused

if TYPE_CHECKING:
    from amili_async.sandbox import Sandbox  # the modules of a server, which most commands start faster without

_SPECIFICATIONS = 500  # at ten requests a second all of them are fetched within a second


@asynccontextmanager
async def open_client(*, sandbox: bool, is_quiet: bool = False) -> AsyncIterator[AmiliClient]:
    """An open client, which reports pauses of the rate limiter on a terminal unless *is_quiet*."""
    observers = () if is_quiet else (report_pause,)
    if sandbox:
        from amili_async.sandbox import Sandbox

        async with Sandbox(specifications=_SPECIFICATIONS) as server, client_of(server, observers=observers) as amili:
            yield amili
    else:
        async with _client_from_environment(observers) as amili:
            yield amili


def name_source(*, sandbox: bool) -> str:
    """Where the records are from, for people."""
    # The client rejects a URL that contains a password, but this may be shown before there is a client.
    return "generated records" if sandbox else check_base_url(os.environ.get("AMILI_BASE_URL") or SANDBOX_URL)


def client_of(sandbox: "Sandbox", *, observers: Sequence[Observer] = ()) -> AmiliClient:
    """A client of *sandbox*, with its credentials; of the variables it reads `AMILI_LOG` alone."""
    credentials = ApiCodeCredentials(sandbox.api_code, sandbox.private_key)
    return AmiliClient(sandbox.url, auth=credentials, observers=(*observers, *read_log(os.environ)))


def report_pause(event: Event) -> None:
    """Explain a long pause of the rate limiter on a terminal."""
    if isinstance(event, RateLimiterPaused) and event.seconds >= 1 and sys.stderr.isatty():
        sys.stderr.write(f"amili: the API's rate limit is reached; continuing in {event.seconds:.0f} s\n")


def _client_from_environment(observers: Sequence[Observer]) -> AmiliClient:
    try:
        return AmiliClient.from_env(observers=observers)
    except ConfigurationError as error:
        if os.environ.get("AMILI_TOKEN") or os.environ.get("AMILI_API_CODE"):
            raise
        raise ConfigurationError(f"{error}; or add --sandbox, which needs no credentials") from None
