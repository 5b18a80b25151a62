"""One attempt: send a request and read the whole response; the only file of the client that imports aiohttp.

Invariant: the body is read within the attempt's timeout and error mapping, and the response is released before this
returns. No redirect is followed and no request resent unknown to us. Every failure of aiohttp becomes an error of ours
that quotes neither headers nor query. A borrowed session is never closed.
"""

import asyncio
import os
from typing import Any

import aiohttp
from yarl import URL

from amili_async._wire.protocol import Request, Response
from amili_async._wire.tasks import is_being_cancelled
from amili_async.errors import (
    AmiliError,
    ClientClosed,
    ConfigurationError,
    ConnectionFailed,
    TimedOut,
    UnreadableResponse,
)

MAX_BODY = 64 * 1024 * 1024
"""Bytes, decompressed: a page of 100 records has some 100 kB, and a body is held in memory whole."""
CONNECT_TIMEOUT = 10.0
"""Seconds for making a connection, within the timeout of the whole attempt."""
CONNECT_SHARE = 0.8
"""Share of the timeout that connecting may use. A connect timeout that fires first proves that nothing was sent."""
MAX_IDLE_BEFORE_POST = 1.0
"""Seconds: servers and proxies close connections that are idle for some seconds, two at the least."""

_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)


class _NoSilentResend:
    """Middleware that stops aiohttp from resending a GET by itself: rate limiter and retry policy would not know.

    aiohttp (`ClientSession._request`, `retry_persistent_connection`) resends an idempotent request once after a reset
    of a kept-alive connection. It has no option against that, but it calls the middlewares again for the second time,
    and this one then raises the first error again.
    """

    def __init__(self) -> None:
        self._failure: Exception | None = None

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self._failure is not None:
            raise self._failure
        try:
            return await handler(request)
        except Exception as error:
            self._failure = error
            raise


class _Connector(aiohttp.TCPConnector):
    """Connector that never reuses a connection with unread bytes, and sends a POST over no idle connection.

    aiohttp checks `should_close` when a connection returns to the pool, not when it leaves it, and a server or proxy
    can send bytes in between (a late second response, a "408" as it closes): they would be read as the next response.
    A server that closes a connection for being idle, in the moment in which a request is sent over it, gives no
    response, and a POST cannot be sent again: *posts* is a pool of their own, whose connections are soon too old.
    """

    def __init__(self, *, max_idle: float = 15.0, posts: aiohttp.BaseConnector | None = None) -> None:
        super().__init__(keepalive_timeout=max_idle)
        self.posts = posts

    async def close(self, *, abort_ssl: bool = False) -> None:
        await super().close(abort_ssl=abort_ssl)
        if self.posts is not None:
            await self.posts.close(abort_ssl=abort_ssl)

    async def connect(self, req: aiohttp.ClientRequest, *args: Any, **options: Any) -> Any:
        if self.posts is not None and req.method == "POST":
            return await self.posts.connect(req, *args, **options)
        for _ in range(self.limit):
            connection = await super().connect(req, *args, **options)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()
        raise aiohttp.ClientConnectionError


class Session:
    """The connections to one host."""

    def __init__(
        self, base_url: str, *, timeout: float, session: aiohttp.ClientSession | None, user_agent: str
    ) -> None:
        self._base_url = base_url
        self._borrowed = session
        self._session: aiohttp.ClientSession | None = None
        self.opening: object = None
        """Another object each time the session is opened, `None` while it is closed."""
        connect = timeout * CONNECT_SHARE
        # `connect` includes the wait for a free connection of the pool, `sock_connect` does not.
        self._timeout = aiohttp.ClientTimeout(
            total=timeout, connect=connect, sock_connect=min(connect, CONNECT_TIMEOUT)
        )
        self.timeout = timeout
        """Seconds: of one attempt."""
        self._middlewares: tuple[aiohttp.ClientMiddlewareType, ...] = ()
        # A cache may otherwise answer a GET: Eve sends `Last-Modified` without `Cache-Control` (RFC 9111, 4.2.2).
        self._headers = {"Accept": "application/json", "Cache-Control": "no-cache", "User-Agent": user_agent}

    def open(self) -> None:
        """Create a session, unless one was borrowed."""
        if self._borrowed is None:
            # Requests are identified by their key alone; a load balancer's cookie would pin them to one server.
            connector = _Connector(posts=_Connector(max_idle=MAX_IDLE_BEFORE_POST))
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        elif self._borrowed.closed:
            raise ConfigurationError("session is closed: pass an aiohttp.ClientSession that is open")
        else:
            self._session = self._borrowed
        # Middlewares of a request replace those of its session, which a borrowed session may have.
        self._middlewares = tuple(getattr(self._session, "_middlewares", ()))
        self.opening = object()

    async def aclose(self) -> None:
        """Close our own session; a borrowed one stays open."""
        session, self._session, self.opening = self._session, None, None
        if self._borrowed is None and session is not None:
            await session.close()

    async def send(self, request: Request, credential: str) -> Response:
        """Send and read; raises `ConnectionFailed`, `TimedOut` or `ClientClosed` if no complete response arrived."""
        session, opening = self._session, self.opening
        if session is None or session.closed:
            raise ConfigurationError("the aiohttp session is closed: keep it open for as long as the client is open")
        headers = {**self._headers, "X-API-Key": credential}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with session.request(
                request.method,
                # `encoded`: yarl would decode and encode the query again, and change `%2B` and `%2F`.
                URL(self._base_url + request.target, encoded=True),
                headers=headers,
                data=request.body,
                timeout=self._timeout,
                # aiohttp strips `Authorization` on a redirect to another host, but not `X-API-Key`.
                allow_redirects=False,
                # A borrowed session may be set to raise; without the body a 422 could not be explained.
                raise_for_status=False,
                middlewares=(_NoSilentResend(), *self._middlewares),
            ) as response:
                body = await _read_body(request, response)
                return Response(status=response.status, headers=response.headers, body=body)
        except asyncio.CancelledError:
            # A connector that is closed cancels the tasks that wait in it for a connection.
            if is_being_cancelled():
                raise
            failure: AmiliError = _closed(request)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = self._failure_of(request, error, opening)
        except Exception as error:
            # A bug, of a middleware for example. But no error after a payment was handed to aiohttp may look as if
            # the payment had not been sent.
            if request.body is None or isinstance(error, AmiliError):
                raise
            failure = self._failure_of(request, error, opening)
        # Raised outside the `except`: aiohttp's error, whose text may hold the query, is not even the context.
        raise failure

    def _failure_of(self, request: Request, error: Exception, opening: object) -> AmiliError:
        """The error of ours for one of aiohttp's."""
        was_sent = not isinstance(error, _NOT_SENT)
        if self.opening is not opening:  # closing a session fails its requests as if their connections had broken
            return _closed(request, was_sent=was_sent)
        if isinstance(error, TimeoutError):
            what = f"no complete response within {self.timeout:g} s" if was_sent else "connecting timed out"
            return TimedOut(f"{request.label}: {what}", request=request.label, was_sent=was_sent)
        what = "the connection broke before the response was complete" if was_sent else "no connection could be made"
        return ConnectionFailed(f"{request.label}: {what} ({_reason(error)})", request=request.label, was_sent=was_sent)


async def _read_body(request: Request, response: aiohttp.ClientResponse) -> bytes:
    """Read the whole body; raises as soon as it grows past the cap."""
    chunks: list[bytes] = []
    size = 0
    # Not `response.read()`: a small compressed body can decompress to any size, and Content-Length does not show it.
    while chunk := await response.content.readany():
        size += len(chunk)
        if size > MAX_BODY:
            raise UnreadableResponse(
                f"{request.label}: the response is larger than {MAX_BODY // 2**20} MB, and no page is; check base_url",
                request=request.label,
            )
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _closed(request: Request, *, was_sent: bool = True) -> ClientClosed:
    return ClientClosed(
        f"{request.label}: the client was closed while the request was in flight",
        request=request.label,
        was_sent=was_sent,
    )


def _reason(error: Exception) -> str:
    """Why, without aiohttp's own text, which may hold the URL."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name cannot be resolved"
    if isinstance(error, aiohttp.ClientSSLError):
        return "TLS failed; check the certificate"
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number is not None and number > 0 else type(error).__name__
