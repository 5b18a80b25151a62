"""One try: send a request and read the whole answer; the only file of the client that knows aiohttp.

The law: the body is read within the try's timeout and error mapping, the response is released before anything else
happens, no redirect is followed, nothing is sent a second time without our knowing, and every failure of aiohttp's
becomes one of ours, which names no header and no query. A session that was given is borrowed: it is never closed.
"""

import asyncio
import os
from typing import Any

import aiohttp
from yarl import URL

from amili_async._wire.protocol import Request, Response
from amili_async._wire.tasks import is_being_cancelled
from amili_async.errors import AmiliError, ConfigurationError, ConnectionFailed, TimedOut, UnreadableResponse

MAX_BODY = 64 * 1024 * 1024
"""Bytes, decompressed: a page of 100 records is some 100 kB."""

_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)


class _NoSilentResend:
    """Keeps aiohttp from sending a GET again by itself after a reset: neither the budget nor the policy would know.

    It may be asked for the same request twice, and the second time raises what the first did.
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
    """Uses no connection again on which something came unasked: it would be read as the answer to the next request."""

    async def connect(self, *args: Any, **options: Any) -> Any:
        for _ in range(self.limit):
            connection = await super().connect(*args, **options)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()
        raise aiohttp.ClientConnectionError


class Session:
    """The connections to one host."""

    CONNECT_TIMEOUT = 10.0
    """Seconds for making a connection, within the time for the whole try."""
    CONNECT_SHARE = 0.8
    """The part of the time for the whole try in which a connection must be had: what fails then was certainly not sent,
    which would not be certain if both times ended together."""

    def __init__(
        self, base_url: str, *, timeout: float, session: aiohttp.ClientSession | None, user_agent: str
    ) -> None:
        self._base_url = base_url
        self._borrowed = session
        self._session: aiohttp.ClientSession | None = None
        self.opening: object = None
        """Another one each time the session is opened, `None` while it is closed."""
        connect = timeout * self.CONNECT_SHARE
        self._timeout = aiohttp.ClientTimeout(
            total=timeout, connect=connect, sock_connect=min(connect, self.CONNECT_TIMEOUT)
        )
        self._seconds = timeout
        self._middlewares: tuple[aiohttp.ClientMiddlewareType, ...] = ()
        self._headers = {"Accept": "application/json", "User-Agent": user_agent}

    def open(self) -> None:
        """Make a session of our own, unless one was given."""
        if self._borrowed is None:
            self._session = aiohttp.ClientSession(connector=_Connector(), cookie_jar=aiohttp.DummyCookieJar())
        elif self._borrowed.closed:
            raise ConfigurationError("the aiohttp session that was given is closed")
        else:
            self._session = self._borrowed
        # A request's own middlewares take the place of the session's, which a borrowed one may have.
        self._middlewares = tuple(getattr(self._session, "_middlewares", ()))
        self.opening = object()

    async def aclose(self) -> None:
        """Close our own session; a borrowed one stays open."""
        session, self._session, self.opening = self._session, None, None
        if self._borrowed is None and session is not None:
            await session.close()

    async def send(self, request: Request, credential: str) -> Response:
        """Send and read; `ConnectionFailed` or `TimedOut` where no whole answer came."""
        if self._session is None or self._session.closed:
            raise ConfigurationError(
                "the client is not open: use `async with AmiliClient(…)`, or `await client.open()`"
            )
        headers = {**self._headers, "X-API-Key": credential}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with self._session.request(
                request.method,
                URL(self._base_url + request.target, encoded=True),
                headers=headers,
                data=request.body,
                timeout=self._timeout,
                allow_redirects=False,
                raise_for_status=False,
                middlewares=(_NoSilentResend(), *self._middlewares),
            ) as response:
                body = await _read_body(request, response)
                return Response(status=response.status, headers=response.headers, body=body)
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            failure = ConnectionFailed(f"{request.label}: the client was closed meanwhile", request=request.label)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = _failure_of(request, error, self._seconds)
        except Exception as error:
            # A mistake in code; but after a payment was handed over, nothing may look as if it had not been sent.
            if request.body is None or isinstance(error, AmiliError):
                raise
            failure = _failure_of(request, error, self._seconds)
        raise failure  # out here, so that aiohttp's error, whose text may hold the query, is not even its context


async def _read_body(request: Request, response: aiohttp.ClientResponse) -> bytes:
    """The whole body, refused as soon as it grows past the cap."""
    chunks: list[bytes] = []
    size = 0
    while chunk := await response.content.readany():
        size += len(chunk)
        if size > MAX_BODY:
            raise UnreadableResponse(
                f"{request.label} was answered with more than {MAX_BODY // 2**20} MB, which no page is",
                request=request.label,
            )
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _failure_of(request: Request, error: Exception, seconds: float) -> ConnectionFailed:
    """Turn what aiohttp raised into ours."""
    was_sent = not isinstance(error, _NOT_SENT)
    if isinstance(error, TimeoutError):
        what = f"no whole answer within {seconds:g} s" if was_sent else "no connection could be made in time"
        return TimedOut(f"{request.label}: {what}", request=request.label, was_sent=was_sent)
    what = "the connection broke before the whole answer was read" if was_sent else "no connection could be made"
    return ConnectionFailed(f"{request.label}: {what} ({_reason(error)})", request=request.label, was_sent=was_sent)


def _reason(error: Exception) -> str:
    """Why, in words that cannot hold anything of the request."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host's name cannot be resolved"
    if isinstance(error, aiohttp.ClientSSLError):
        return "TLS failed; is the certificate the right one?"
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number is not None and number > 0 else type(error).__name__
