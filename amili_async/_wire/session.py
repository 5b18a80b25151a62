"""One attempt: send a request and read the whole response; no other file sends with aiohttp.

Invariant: the body is read within the attempt's timeout and error mapping, and the response is released before this
returns. No redirect is followed and no request resent unknown to us. Every failure of aiohttp becomes an error of ours
that quotes neither headers nor query. A borrowed session is never closed.
"""

import asyncio
import codecs
import re
import ssl
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import hdrs
from yarl import URL

from amili_async._wire.calls import Call
from amili_async._wire.frames import hide_frames
from amili_async._wire.network import Network
from amili_async._wire.protocol import Request, Response
from amili_async._wire.tasks import Redacted, RunningCall
from amili_async._wire.transport_errors import MAX_HEADER_BYTES, MAX_HEADERS, failure_of, unsupported_encoding
from amili_async.errors import AmiliError, ConfigurationError, UnreadableResponse
from amili_async.version import VERSION

MAX_BODY = 64 * 1024 * 1024
"""Bytes, decompressed: a page of 100 records has some 100 kB, and a body is held in memory whole."""
CONNECT_TIMEOUT = 10.0
"""Seconds for making a connection, within the timeout of the whole attempt."""
CONNECT_SHARE = 0.8
"""Share of the timeout that connecting may use. A connect timeout that fires first proves that nothing was sent."""
MAX_IDLE_BEFORE_POST = 1.0
"""Seconds: servers and proxies close connections that are idle for some seconds, two at the least."""

# The names of `hdrs` have their lower case with them, which aiohttp needs several times per request.
_HEADERS: dict[str, str] = {
    hdrs.ACCEPT: "application/json",
    # A cache may otherwise answer a GET: Eve sends `Last-Modified` without `Cache-Control` (RFC 9111, 4.2.2).
    hdrs.CACHE_CONTROL: "no-cache",
    hdrs.USER_AGENT: f"amili-async/{VERSION}",
}
_ENCODINGS = frozenset({"", "identity", "gzip", "deflate", "br", "zstd"})
"""What aiohttp decompresses; it raises itself for `br` and `zstd` where their libraries are not installed."""


class _Guard:
    """First and last middleware of one attempt: notes when the request is written, and stops any other sending of it.

    aiohttp (`ClientSession._request`, `retry_persistent_connection`) resends an idempotent request once after a reset
    of a kept-alive connection. It has no option against that, but it calls the middlewares again for the second time.
    A middleware of a borrowed session may send again too, unknown to rate limiter and retry policy: after a failure,
    and a payment after any response, it gets that failure again.
    """

    __slots__ = ("_call", "_failure")

    def __init__(self, call: RunningCall) -> None:
        self._call = call
        self._failure: Exception | None = None

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self._failure is not None:
            raise self._failure
        self._call.was_sent = False
        request.send = partial(self._send, request)  # type: ignore[method-assign]
        try:
            response = await handler(request)
        except Exception as error:
            self._failure = error
            raise
        if request.method != "GET":
            self._failure = aiohttp.ClientError()
        return response

    def _send(self, request: aiohttp.ClientRequest, connection: Any) -> Coroutine[Any, Any, aiohttp.ClientResponse]:
        # aiohttp calls this once a connection is made, TLS and a proxy's tunnel included. Its errors do not show that:
        # a tunnel that is cut raises the same class as a response that is cut.
        if connection.protocol is not None and connection.protocol.should_close:
            # The connector of a borrowed session does not look for unread bytes, as `_Connector` does.
            connection.close()
            raise aiohttp.ClientConnectionError
        self._call.was_sent = True
        # A cycle would keep request and response until the next collection.
        del request.send
        return request.send(connection)


class _Connector(aiohttp.TCPConnector):
    """Connector that never reuses a connection with unread bytes, and sends a POST over no idle connection.

    aiohttp checks `should_close` when a connection returns to the pool, not when it leaves it, and a server or proxy
    can send bytes in between (a late second response, a "408" as it closes): they would be read as the next response.
    A server that closes a connection for being idle, in the moment in which a request is sent over it, gives no
    response, and a POST cannot be sent again: *posts* is a pool of their own, whose connections are soon too old.
    """

    def __init__(
        self, tls: ssl.SSLContext | None, *, max_idle: float = 15.0, posts: aiohttp.BaseConnector | None = None
    ) -> None:
        super().__init__(keepalive_timeout=max_idle, ssl=tls or True)
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


class AttemptOptions:
    """What all attempts of a client, or of a view of it, have in common."""

    def __init__(self, *, timeout: float, headers: Mapping[str, str]) -> None:
        self.timeout = timeout
        """Seconds: of one attempt."""
        connect = timeout * CONNECT_SHARE
        # `connect` includes the wait for a free connection of the pool, `sock_connect` does not.
        self.limits = aiohttp.ClientTimeout(total=timeout, connect=connect, sock_connect=min(connect, CONNECT_TIMEOUT))
        given = {name.lower() for name in headers}
        self.headers = {name: value for name, value in _HEADERS.items() if name.lower() not in given} | dict(headers)


class Session:
    """The connections to one host."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._base_url = urlsplit(network.base_url)
        self._borrowed = network.session
        self._session: aiohttp.ClientSession | None = None
        self._middlewares: tuple[aiohttp.ClientMiddlewareType, ...] = ()
        self._proxy: dict[str, Any] = {}

    def open(self) -> None:
        """Create a session, unless one was borrowed."""
        if self._borrowed is None:
            # Requests are identified by their key alone; a load balancer's cookie would pin them to one server.
            tls, self._proxy = self._network.make_context(), self._network.find_proxy()
            connector = _Connector(tls, posts=_Connector(tls, max_idle=MAX_IDLE_BEFORE_POST))
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        elif self._borrowed.closed:
            raise ConfigurationError("session is closed: pass an aiohttp.ClientSession that is open")
        elif getattr(self._borrowed, "_loop", None) not in {None, asyncio.get_running_loop()}:
            raise ConfigurationError("session was created in another event loop: create it in the loop of the client")
        else:
            self._session = self._borrowed
        # Middlewares of a request replace those of its session, which a borrowed session may have.
        self._middlewares = tuple(getattr(self._session, "_middlewares", ()))

    async def aclose(self) -> None:
        """Close our own session; a borrowed one stays open."""
        session, self._session = self._session, None
        if self._borrowed is None and session is not None:
            await session.close()

    async def send(self, request: Request, credential: Redacted[str], call: Call, options: AttemptOptions) -> Response:
        """Send and read; raises `ConnectionFailed` or `TimedOut` if no complete response arrived."""
        session = self._session
        if session is None or session.closed:
            raise ConfigurationError("the aiohttp session is closed: keep it open for as long as the client is open")
        call.was_sent = True  # until the guard proves that it was not
        call.response_headers = {}
        try:
            return await self._exchange(session, request, credential, call, options)
        except asyncio.CancelledError as error:
            # A borrowed connector that its owner closes cancels the tasks that wait in it for a connection.
            if call.is_task_cancelled:
                raise error.with_traceback(None)  # noqa: B904 - the same error, without frames that hold the headers
            failure: AmiliError = failure_of(request, aiohttp.ClientConnectionError(), call, options.timeout)
        except AmiliError as error:
            failure = error.with_traceback(None)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = failure_of(request, error, call, options.timeout)
        except Exception as error:  # noqa: BLE001 - raised again, or as an error of ours
            # A bug, of a middleware for example. But no error after a payment was handed to aiohttp may look as if
            # the payment had not been sent.
            if request.body is None:
                raise error.with_traceback(hide_frames("aiohttp", error.__traceback__))  # noqa: B904 - it is the same error
            failure = failure_of(request, error, call, options.timeout)
        # Raised outside the `except`: aiohttp's error, whose text may hold the query, is not even the context.
        raise failure.with_headers(call.response_headers)

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        request: Request,
        credential: Redacted[str],
        call: Call,
        options: AttemptOptions,
    ) -> Response:
        guard, base = _Guard(call), self._base_url
        path, _, query = request.target.partition("?")
        response = await session.request(
            request.method,
            # `encoded`: yarl would decode and encode the query again, and change `%2B` and `%2F`. Built from its parts,
            # because to parse each URL costs as much as all headers.
            URL.build(
                scheme=base.scheme, authority=base.netloc, path=base.path + path, query_string=query, encoded=True
            ),
            headers=_headers_for(request, credential, call, options),
            data=request.body,
            timeout=options.limits,
            # aiohttp strips `Authorization` on a redirect to another host, but not `X-API-Key`.
            allow_redirects=False,
            # A borrowed session may be set to raise, without the body that explains a 422, or not to decompress.
            raise_for_status=False,
            auto_decompress=True,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
            middlewares=(guard, *self._middlewares, guard) if self._middlewares else (guard,),
            **self._proxy,
        )
        async with response:
            call.was_counted, call.response_headers = True, response.headers
            body = await _read_body(request, response)
            return Response(status=response.status, headers=response.headers, body=body)


def _headers_for(request: Request, credential: Redacted[str], call: Call, options: AttemptOptions) -> dict[str, str]:
    content: dict[str, str] = {} if request.body is None else {hdrs.CONTENT_TYPE: "application/json"}
    return {**options.headers, **call.headers, "X-API-Key": credential.content, **content}


async def _read_body(request: Request, response: aiohttp.ClientResponse) -> bytes:
    """Read the whole body, without a byte order mark; raises as soon as it grows past the cap."""
    encoding = response.headers.get(hdrs.CONTENT_ENCODING, "identity").lower()
    if response.status < 300 and encoding not in _ENCODINGS:  # aiohttp leaves a body unchanged if it has no decoder
        name = encoding if re.fullmatch(r"[\w, -]{1,32}", encoding) else "an unknown encoding"
        raise UnreadableResponse(f"{request.label}: {unsupported_encoding(name)}", request=request.label)
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
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return body.removeprefix(codecs.BOM_UTF8)
