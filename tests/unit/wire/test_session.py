"""One attempt: what is sent, what is read, and which error each failure of aiohttp becomes."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any
from unittest.mock import AsyncMock, Mock

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from amili_async._wire import session as session_module
from amili_async._wire.calls import Call
from amili_async._wire.network import Network
from amili_async._wire.protocol import Request, Response, create_request, list_request
from amili_async._wire.session import AttemptOptions, Session
from amili_async._wire.tasks import Redacted
from amili_async.errors import (
    AmiliError,
    ConfigurationError,
    ConnectionFailed,
    TimedOut,
    UnreadableResponse,
)
from amili_async.policies import Priority
from amili_async.query import Query
from amili_async.version import VERSION
from tests.support import internals
from tests.unit.wire.conftest import Server, texts_of

BASE_URL = "https://api.example.com"
CANARY = "CANARY"
CREDENTIAL = "the-token"
GET = Request(
    method="GET",
    target="/x?where=%22CANARY%22",
    label="GET /x",
    operation="page",
    resource="x",
    priority=Priority.SINGLE,
)
GET_URL = f"{BASE_URL}{GET.target}"
POST = create_request("creditor--payments", b'{"amount":1.0}')
POST_URL = f"{BASE_URL}/creditor--payments"
OPTIONS = AttemptOptions(timeout=5, headers={})


def new_session(base_url: str = BASE_URL, *, borrowed: aiohttp.ClientSession | None = None) -> Session:
    """A session that is not open yet."""
    return Session(Network(base_url, session=borrowed))


async def send(session: Session, request: Request, call: Call | None = None) -> Response:
    """One attempt of a call."""
    return await session.send(request, Redacted(CREDENTIAL), call or Call(set()), OPTIONS)


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    """An open session of our own."""
    opened = new_session()
    opened.open()
    yield opened
    await opened.aclose()


# What is sent


async def test_a_get(session: Session, server: Server) -> None:
    """The exact URL, the credential in its header, no body, no redirect followed, a timeout."""
    server.answers(GET_URL, body=b"{}")
    await send(session, GET)
    ((method, url, arguments),) = server.received
    assert (method, url) == ("GET", GET_URL)
    assert arguments["headers"] == {
        "Accept": "application/json",
        "Cache-Control": "no-cache",
        "User-Agent": f"amili-async/{VERSION}",
        "X-API-Key": CREDENTIAL,
    }
    assert arguments["data"] is None
    assert arguments["allow_redirects"] is False
    assert arguments["timeout"] == aiohttp.ClientTimeout(total=5, connect=4, sock_connect=4)


async def test_a_post(session: Session, server: Server) -> None:
    """The body is sent unchanged, with JSON as its content type."""
    server.answers(POST_URL, "POST", status=201, body=b"{}")
    response = await send(session, POST)
    ((method, url, arguments),) = server.received
    assert (method, url, arguments["data"]) == ("POST", POST_URL, POST.body)
    assert arguments["headers"]["Content-Type"] == "application/json"
    assert response.status == 201


async def test_the_target_is_not_encoded_again(
    session: Session, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Percent signs, slashes and plus signs of the query reach aiohttp, and leave it, unchanged."""
    request = list_request("finance--payouts", Query(where='{"state":"a/b +%ö"}', sort="-amount,_id"))
    server.answers(BASE_URL + request.target, body=b"{}")
    urls: list[URL] = []
    real = aiohttp.ClientSession.request

    def watched(self: aiohttp.ClientSession, method: str, url: URL, **arguments: Any) -> Any:
        urls.append(url)
        return real(self, method, url, **arguments)

    monkeypatch.setattr(aiohttp.ClientSession, "request", watched)
    await send(session, request)
    assert [url.raw_path_qs for url in urls] == [request.target]
    assert "where=%7B%22state%22%3A%22a%2Fb%20%2B%25%C3%B6%22%7D" in request.target


async def test_a_base_url_may_have_a_path(server: Server) -> None:
    """The target is appended to it."""
    session = new_session("http://localhost:5000/api/v1")
    session.open()
    server.answers("http://localhost:5000/api/v1/creditor--payments", "POST", body=b"{}")
    await send(session, POST)
    await session.aclose()
    assert server.received[0][1] == "http://localhost:5000/api/v1/creditor--payments"


async def test_connecting_has_a_timeout_of_its_own() -> None:
    """Making a connection may take ten seconds, and waiting for one four fifths of the timeout."""
    assert AttemptOptions(timeout=60, headers={}).limits == aiohttp.ClientTimeout(total=60, connect=48, sock_connect=10)


# What is read


async def test_a_response(session: Session, server: Server) -> None:
    """Status, headers regardless of case, and the whole body."""
    server.answers(GET_URL, status=418, body=b'{"a": 1}', headers={"X-RateLimit-Remaining": "5"})
    response = await send(session, GET)
    assert (response.status, response.body) == (418, b'{"a": 1}')
    assert response.headers["x-ratelimit-remaining"] == "5"


async def test_an_empty_response(session: Session, server: Server) -> None:
    """No body is an empty body."""
    server.answers(GET_URL, status=204, body=b"")
    assert (await send(session, GET)).body == b""


async def test_a_redirect_is_returned_not_followed(session: Session, server: Server) -> None:
    """Following it would take the credential to another host."""
    server.answers(GET_URL, status=302, headers={"Location": "https://evil.example/"})
    assert (await send(session, GET)).status == 302
    assert len(server.received) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 500])
async def test_an_error_response_is_returned(server: Server, status: int) -> None:
    """Also with a borrowed session that raises for such a status: a 422 is not a broken connection."""
    async with aiohttp.ClientSession(raise_for_status=True) as borrowed:
        session = new_session(borrowed=borrowed)
        session.open()
        server.answers(GET_URL, status=status, body=b"{}")
        assert (await send(session, GET)).status == status
        assert server.received[0][2]["raise_for_status"] is False


@pytest.mark.parametrize(("excess", "is_read"), [(-1, True), (0, True), (1, False), (49_000, False)])
async def test_a_body_beyond_the_cap_raises(
    session: Session, server: Server, monkeypatch: pytest.MonkeyPatch, excess: int, is_read: bool
) -> None:
    """A body may grow to the cap; beyond it the error names the request, and quotes nothing."""
    monkeypatch.setattr(session_module, "MAX_BODY", 1000)
    size = 1000 + excess
    server.answers(GET_URL, body=(CANARY * size)[:size].encode())
    if is_read:
        assert len((await send(session, GET)).body) == size
        return
    with pytest.raises(UnreadableResponse, match=r"^GET /x: the response is larger than") as caught:
        await send(session, GET)
    assert caught.value.request == "GET /x"
    assert CANARY not in texts_of(caught.value)


async def test_the_cap_is_reached_while_the_body_streams_in() -> None:
    """An endless body raises after 64 MB."""
    read_any = AsyncMock(return_value=b"x" * 2**20)
    with pytest.raises(UnreadableResponse, match=r"^GET /x: the response is larger than 64 MB, and no page"):
        await internals.read_body(GET, Mock(content=Mock(readany=read_any), headers={}, status=200))
    assert read_any.await_count == 65


# Failures

KEY = ConnectionKey("api.example.com", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)
INFO = aiohttp.RequestInfo(URL(GET_URL), "GET", CIMultiDictProxy(CIMultiDict({"X-API-Key": CREDENTIAL})), URL(GET_URL))


def os_error(number: int) -> OSError:
    """A failure of the operating system."""
    return OSError(number, f"connect failed {CANARY}")


FAILURES: list[tuple[BaseException, type[AmiliError], bool]] = [
    # before anything was sent
    (aiohttp.ClientConnectorError(KEY, os_error(errno.ECONNREFUSED)), ConnectionFailed, False),
    (aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, CANARY)), ConnectionFailed, False),
    (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, CANARY)), ConnectionFailed, False),
    (aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError(1, CANARY)), ConnectionFailed, False),
    (aiohttp.ClientProxyConnectionError(KEY, os_error(errno.ECONNREFUSED)), ConnectionFailed, False),
    (aiohttp.ConnectionTimeoutError(f"Connection timeout to host {GET_URL}"), TimedOut, False),
    (aiohttp.InvalidURL(GET_URL), ConnectionFailed, False),
    # after something may have been sent
    (aiohttp.ServerDisconnectedError(), ConnectionFailed, True),
    (aiohttp.ClientOSError(errno.EPIPE, CANARY), ConnectionFailed, True),
    (aiohttp.ClientConnectionResetError(CANARY), ConnectionFailed, True),
    (aiohttp.ClientConnectionError("Connector is closed."), ConnectionFailed, True),
    (aiohttp.ServerFingerprintMismatch(b"a", b"b", "host", 443), ConnectionFailed, True),
    (aiohttp.ServerConnectionError(CANARY), ConnectionFailed, True),
    (aiohttp.ClientPayloadError(f"Response payload is not completed {CANARY}"), ConnectionFailed, True),
    (aiohttp.ClientResponseError(INFO, (), status=400, message=CANARY), ConnectionFailed, True),
    (aiohttp.ContentTypeError(INFO, (), status=200, message=CANARY), ConnectionFailed, True),
    (aiohttp.TooManyRedirects(INFO, ()), ConnectionFailed, True),
    (aiohttp.ClientError(CANARY), ConnectionFailed, True),
    (aiohttp.SocketTimeoutError(f"Timeout on reading data from socket {CANARY}"), TimedOut, True),
    (aiohttp.ServerTimeoutError(CANARY), TimedOut, True),
    (TimeoutError(CANARY), TimedOut, True),
    (asyncio.TimeoutError(), TimedOut, True),  # noqa: UP041 - the name that aiohttp's pages use
    (TimeoutError(errno.ETIMEDOUT, CANARY), ConnectionFailed, True),  # the operating system's, long before ours
    (ConnectionResetError(errno.ECONNRESET, CANARY), ConnectionFailed, True),
    (BrokenPipeError(errno.EPIPE, CANARY), ConnectionFailed, True),
    (ssl.SSLError(1, CANARY), ConnectionFailed, True),
    (os_error(errno.ENETUNREACH), ConnectionFailed, True),
    (ValueError(f"Newline in headers {CANARY}"), ConnectionFailed, True),
    (UnicodeError(CANARY), ConnectionFailed, True),
]
if hasattr(aiohttp, "UploadAbortedError"):  # newer than the oldest aiohttp that will do
    FAILURES.append((aiohttp.UploadAbortedError(CANARY), ConnectionFailed, True))


PERMANENT = (aiohttp.ClientConnectorCertificateError, aiohttp.InvalidURL)
"""What fails in the same way at each attempt."""


def shown(failure: BaseException) -> str:
    """A name for the table's row."""
    return type(failure).__name__


@pytest.mark.parametrize(("failure", "kind", "was_sent"), FAILURES, ids=[shown(row[0]) for row in FAILURES])
@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
async def test_every_failure_becomes_one_of_ours(
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    request_: Request,
    failure: BaseException,
    kind: type[AmiliError],
    was_sent: bool,
) -> None:
    """Connecting, sending or reading: the error knows whether anything was sent, and shows neither query nor key."""
    connection = Mock(protocol=Mock(should_close=False))
    connect = AsyncMock(return_value=connection) if was_sent else AsyncMock(side_effect=failure)
    monkeypatch.setattr(aiohttp.TCPConnector, "connect", connect)
    monkeypatch.setattr(aiohttp.ClientRequest, "send", AsyncMock(side_effect=failure))
    with pytest.raises(AmiliError) as caught:
        await send(session, request_)
    error = caught.value
    assert type(error) is kind
    assert isinstance(error, ConnectionFailed)
    assert error.transient is not isinstance(failure, PERMANENT)
    assert (error.was_sent, error.request) == (was_sent, request_.label)
    assert error.was_not_processed is not was_sent
    assert str(error).startswith(f"{request_.label}: ")
    assert error.__cause__ is error.__context__ is None
    assert CANARY not in texts_of(error)
    assert CREDENTIAL not in texts_of(error)


def all_errors_of(root: type[BaseException]) -> set[type[BaseException]]:
    """The class and all its subclasses."""
    return {root}.union(*(all_errors_of(child) for child in root.__subclasses__()))


def test_the_table_has_every_error_of_aiohttps_client() -> None:
    """A new aiohttp with another error fails here."""
    irrelevant = {
        "ClientHttpProxyError",  # a proxy's response to CONNECT: a ClientResponseError
        "WSServerHandshakeError",  # websockets
        "WSMessageTypeError",
        "InvalidUrlClientError",  # kinds of InvalidURL or of redirects
        "InvalidUrlRedirectClientError",
        "NonHttpUrlClientError",
        "NonHttpUrlRedirectClientError",
        "RedirectClientError",
        "ClientSSLError",  # the base of two that are in the table
    }
    tested = {shown(failure) for failure, _, _ in FAILURES}
    public = {name for name in aiohttp.__all__ if isinstance(getattr(aiohttp, name), type)}
    client_errors = {error.__name__ for error in all_errors_of(aiohttp.ClientError)} & public
    assert client_errors <= tested | irrelevant


async def test_a_cancellation_by_aiohttp_is_a_broken_connection(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connector that is closed cancels the tasks that wait in it; the caller was not cancelled, and gets an error."""

    def fail(*_: Any, **__: Any) -> Any:
        raise asyncio.CancelledError

    monkeypatch.setattr(aiohttp.ClientSession, "request", fail)
    with pytest.raises(ConnectionFailed, match="the connection broke"):
        await asyncio.create_task(send(session, GET))
    with suppress(asyncio.CancelledError):
        asyncio.current_task().cancel()  # type: ignore[union-attr]
        await asyncio.sleep(0)
    with pytest.raises(ConnectionFailed, match="the connection broke"):
        await send(session, GET)  # also in a task that once caught a cancellation
    asyncio.current_task().uncancel()  # type: ignore[union-attr]


async def test_any_error_after_a_post_is_a_broken_connection(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever aiohttp raises after it was given a payment, the payment may have been sent."""

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("of aiohttp's own")

    monkeypatch.setattr(aiohttp.ClientSession, "request", fail)
    with pytest.raises(ConnectionFailed) as caught:
        await send(session, POST)
    assert caught.value.was_sent


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("ours")])
async def test_an_error_that_is_not_of_the_network_is_raised_unchanged(
    session: Session, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """An interrupt or a bug does not look like a broken connection."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(aiohttp.ClientSession, "request", fail)
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            await send(session, GET)
        return
    with pytest.raises(type(error)) as caught:
        await send(session, GET)
    assert caught.value is error


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (aiohttp.ClientPayloadError(CANARY), ConnectionFailed),
        (aiohttp.SocketTimeoutError(CANARY), TimedOut),
        (TimeoutError(), TimedOut),
    ],
)
async def test_a_body_that_breaks_off_fails_the_attempt(
    session: Session, server: Server, monkeypatch: pytest.MonkeyPatch, failure: Exception, kind: type[AmiliError]
) -> None:
    """Reading is part of the attempt: its failures are mapped too, and something was sent."""
    read_any = Mock(side_effect=failure)
    monkeypatch.setattr(aiohttp.StreamReader, "readany", read_any)
    server.answers(GET_URL, body=b"{}")
    with pytest.raises(kind) as caught:
        await send(session, GET)
    assert getattr(caught.value, "was_sent", None) is True
    assert CANARY not in texts_of(caught.value)
    assert read_any.called


# Own and borrowed


async def test_an_own_session_is_closed() -> None:
    """It is closed and can be opened again; closing twice does nothing."""
    session = new_session()
    session.open()
    first = internals.inner_session(session)
    assert first is not None
    await session.aclose()
    await session.aclose()
    assert first.closed
    session.open()
    assert internals.inner_session(session) is not first
    await session.aclose()


async def test_an_own_session_keeps_no_cookies() -> None:
    """The key alone identifies requests."""
    session = new_session()
    session.open()
    inner = internals.inner_session(session)
    assert inner is not None
    assert isinstance(inner.cookie_jar, aiohttp.DummyCookieJar)
    await session.aclose()


async def test_a_borrowed_session_stays_open(server: Server) -> None:
    """It is used and left open, also with headers of its own."""
    async with aiohttp.ClientSession(headers={"X-Team": "finance"}) as borrowed:
        session = new_session(borrowed=borrowed)
        session.open()
        server.answers(GET_URL, body=b"{}")
        await send(session, GET)
        await session.aclose()
        assert not borrowed.closed
        session.open()
        server.answers(GET_URL, body=b"{}")
        assert (await send(session, GET)).status == 200


async def test_a_closed_borrowed_session_raises_on_opening() -> None:
    """The error names the argument."""
    borrowed = aiohttp.ClientSession()
    await borrowed.close()
    with pytest.raises(ConfigurationError, match=r"^session is closed: pass an"):
        new_session(borrowed=borrowed).open()


@pytest.mark.parametrize("was_open", [False, True])
async def test_a_closed_session_sends_nothing(was_open: bool) -> None:
    """Neither before it was opened nor after it was closed."""
    session = new_session()
    if was_open:
        session.open()
        await session.aclose()
    with pytest.raises(ConfigurationError, match="session is closed"):
        await send(session, GET)


async def test_a_borrowed_session_that_its_owner_closed_sends_nothing() -> None:
    """That is the caller's mistake, not a broken connection."""
    borrowed = aiohttp.ClientSession()
    session = new_session(borrowed=borrowed)
    session.open()
    await borrowed.close()
    with pytest.raises(ConfigurationError, match="session is closed"):
        await send(session, GET)


def test_a_session_can_be_created_outside_a_loop() -> None:
    """No aiohttp object is created before it is opened."""
    make: Callable[[], Session] = new_session
    assert internals.inner_session(make()) is None
