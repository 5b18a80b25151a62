"""Every private attribute that tests read or set, so that a rename inside the package changes this file alone."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Set
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from msgspec.structs import force_setattr

from amili_async import AmiliClient
from amili_async._paging.prefetch import PrefetchWindow
from amili_async._paging.scan import PartitionedScan
from amili_async._wire import session as session_module
from amili_async._wire.pipeline import Pipeline
from amili_async._wire.protocol import Request, Response
from amili_async._wire.rate_limiter import SlidingWindowLimiter
from amili_async._wire.session import Session
from amili_async._wire.tasks import RunningCall
from amili_async._wire.token_provider import TokenProvider
from amili_async.payments.create import PaymentCreator
from amili_async.sandbox import ReceivedRequest, Sandbox
from amili_async.sandbox import server as sandbox_server

# The client


def set_base_url(amili: AmiliClient, url: str) -> None:
    """Send the requests of a client to another server from here on."""
    amili._core.session._base_url = urlsplit(url)


def replace_send(amili: AmiliClient, send: Callable[..., Awaitable[Response]]) -> None:
    """Let *send* answer each attempt of a client and its views, instead of the network."""
    amili._core.session.send = send  # type: ignore[assignment,method-assign]


def running_iterations(amili: AmiliClient) -> Set[object]:
    """The streams, extractions and other iterations that closing the client would cancel."""
    return {running for running in amili._core.running if not isinstance(running, RunningCall)}


def running_calls(amili: AmiliClient) -> Set[RunningCall]:
    """The calls that closing the client would end."""
    return {running for running in amili._core.running if isinstance(running, RunningCall)}


def count_connections_in_use(amili: AmiliClient) -> int:
    """Connections of the client's pool on which a request is in flight."""
    pool: Any = amili._core.session._session
    return 0 if pool is None else len(pool.connector._acquired) + len(pool.connector.posts._acquired)


def drop_connections(sandbox: Sandbox) -> None:
    """Close each connection of a sandbox; what was requested on it is still carried out."""
    server: Any = sandbox._runner
    for handler in server.server.connections:
        handler.transport.abort()


def has_usable_idle_connections(amili: AmiliClient) -> bool:
    """Whether a connection of the client's pool waits for a request, open and without unread bytes."""
    session = amili._core.session._session
    connector: Any = None if session is None else session.connector
    inner: Any = inner_session(amili._core.session)
    connector = None if inner is None else inner.connector
    pools = [pool for pool in (connector, getattr(connector, "posts", None)) if pool is not None]
    idle = [protocol for pool in pools for waiting in pool._conns.values() for protocol, _ in waiting]
    return any(protocol.is_connected() and not protocol.should_close for protocol in idle)


def count_payments_in_flight(payments: Any) -> int:
    """Payments that a client, or a `PaymentCreator`, is registering."""
    creator: PaymentCreator = payments if isinstance(payments, PaymentCreator) else payments._creator
    return len(creator._in_flight)


def make_current_id(amili: AmiliClient) -> str:
    """An id that a server makes at this moment of the client's clock."""
    return f"{int(amili._context.clock.wall()):08x}{1:016x}"


async def send(amili: AmiliClient, request: Request) -> Response:
    """The response to a request, through token, rate limiter and retries."""
    return await amili._call(request)


def tokens_of(amili: AmiliClient) -> TokenProvider:
    """What gives the client its access tokens."""
    return amili._tokens


# The rate limiter


def wake(limiter: SlidingWindowLimiter) -> None:
    """Give permits to the callers that may have one now."""
    limiter._on_timer()


def set_rate_limiter(pipeline: Pipeline, limiter: object) -> None:
    """Make a pipeline use this limiter, whatever it is."""
    pipeline._rate_limiter = limiter  # type: ignore[assignment]


# The session


def inner_session(session: Session) -> aiohttp.ClientSession | None:
    """The aiohttp session of an open session."""
    return session._session


async def read_body(request: Request, response: Any) -> bytes:
    """The body of an aiohttp response, up to the limit."""
    return await session_module._read_body(request, response)


# Paging


def top_up(scan: PartitionedScan[Any]) -> None:
    """Start as many requests as the scan may."""
    scan._top_up()


def count_waiting_batches(scan: PartitionedScan[Any]) -> int:
    """Batches that were fetched and not yet taken."""
    return len(scan._batches)


def close_as_the_page_arrives(window: PrefetchWindow[Any]) -> None:
    """Close a prefetch window in the same step of the loop in which its only page arrives."""
    (task,) = window._tasks
    task.add_done_callback(lambda _: window._tasks.clear())
    window._is_closed = True


# The sandbox


def set_port(sandbox: Sandbox, port: int) -> None:
    """Make the next start of a sandbox listen on this port."""
    sandbox._address = ("127.0.0.1", port)


def hold_responses(
    sandbox: Sandbox,
    hold: Callable[[], Awaitable[object]],
    *,
    which: Callable[[ReceivedRequest], object] = lambda request: True,
) -> None:
    """Await *hold* in each request (of those *which* chooses), after it has arrived and before it is answered."""
    handler: Any = sandbox._http
    answer = handler._answer

    async def answer_later(connection: Any, request: ReceivedRequest) -> Any:
        if which(request):
            await hold()
        return await answer(connection, request)

    handler._answer = answer_later


@contextmanager
def one_key() -> Iterator[None]:
    """Make all sandboxes of this process use the same private key."""
    module: Any = sandbox_server
    make_private_key = module.make_private_key
    module.make_private_key = cache(make_private_key)
    try:
        yield
    finally:
        module.make_private_key = make_private_key


async def run_one_write(job: Any, journal: Any, batches: Any) -> Any:
    """What an export does between two batches: wait for the next one, and save its state when it is due."""
    return await job._wait_for_batch(journal, journal, batches)


# Programs


def close_stdout(process: asyncio.subprocess.Process) -> None:
    """Close our end of a program's stdout, for which asyncio has no public way."""
    stdout: Any = process.stdout
    stdout._transport.close()


def rows_left(extraction: Any) -> int | None:
    """How many rows the scan of an extraction has yet to fetch."""
    left: int | None = extraction._progress.scan.rows_left
    return left


def replace_forecast(extraction: Any, forecast: Callable[[int], float]) -> None:
    """Let an extraction compute its remaining time by another forecast than the rate limiter's."""
    force_setattr(extraction._source.listing.context, "forecast", forecast)


def seconds_per_attempt(amili: AmiliClient) -> float:
    """The timeout of a client."""
    return amili._pipeline._options.timeout
