"""Where a command's records come from: the API that the environment names, or a sandbox in the process."""

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from amili_async.auth import ApiCodeCredentials
from amili_async.client import SANDBOX_URL, AmiliClient
from amili_async.errors import ConfigurationError
from amili_async.events import Event, Observer, RateLimiterPaused
from amili_async.sandbox import Sandbox

_SPECIFICATIONS = 500  # few enough that all of them come within a second


@asynccontextmanager
async def open_client(*, sandbox: bool, is_quiet: bool = False) -> AsyncIterator[AmiliClient]:
    """A client, ready to be used; on a terminal it tells of pauses unless it has to be quiet."""
    observers = () if is_quiet else (tell_pause,)
    if sandbox:
        async with Sandbox(specifications=_SPECIFICATIONS) as server, client_of(server, observers=observers) as amili:
            yield amili
    else:
        async with _client_from_environment(observers) as amili:
            yield amili


def name_source(*, sandbox: bool) -> str:
    """What a command works on, as a person should be told."""
    return "made-up records" if sandbox else os.environ.get("AMILI_BASE_URL") or SANDBOX_URL


def client_of(sandbox: Sandbox, *, observers: Sequence[Observer] = ()) -> AmiliClient:
    """A client of a sandbox, with the credentials that it was made with."""
    credentials = ApiCodeCredentials(sandbox.api_code, sandbox.private_key)
    return AmiliClient(sandbox.url, auth=credentials, observers=observers)


def tell_pause(event: Event) -> None:
    """Say on a terminal why nothing happens for a while."""
    if isinstance(event, RateLimiterPaused) and event.seconds >= 1 and sys.stderr.isatty():
        sys.stderr.write(f"amili: the API's request limit is reached; going on in {event.seconds:.0f} s\n")


def _client_from_environment(observers: Sequence[Observer]) -> AmiliClient:
    try:
        return AmiliClient.from_env(observers=observers)
    except ConfigurationError as error:
        if os.environ.get("AMILI_TOKEN") or os.environ.get("AMILI_API_CODE"):
            raise
        raise ConfigurationError(f"{error}; or add --sandbox, which needs no credentials") from None
