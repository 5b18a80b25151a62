"""The fault matrix on the wire: connections that break, hang or flood, and responses that are not HTTP, at every phase.

Invariant: a broken read is retried, as in the other tables; a payment may have been registered, so it is sent once and
looked up.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest

from amili_async.errors import (
    AmiliError,
    ApiError,
    ConnectionFailed,
    ExtractionInterrupted,
    PaymentOutcomeUnknown,
    ServerFault,
    TimedOut,
    UnreadableResponse,
)
from tests.support.exhaustive import sampled
from tests.support.hostile_scene import ATTEMPTS, HostileScene
from tests.support.hostile_server import (
    Misdeed,
    TrueResponse,
    drip,
    execute_then_send,
    flood,
    make_bomb,
    send_raw,
    zip_wrongly,
)
from tests.support.operations import CREATE, EXTRACTING, GET, WALKING, WHOLE, Ending, Fails, Operation, name_of
from tests.support.payments import PAYMENTS

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BOMB = make_bomb(96 * 2**20)
CHUNKED = b"Transfer-Encoding: chunked"
NOTHING = b"Content-Length: 0\r\n\r\n"


@dataclass(frozen=True)
class Row:
    """A misdeed of the server, and how operations end that meet it."""

    name: str
    misdeed: Misdeed
    kind: type[AmiliError] | None
    """The error of a read while the misdeed lasts; `None`: it has no effect."""
    post: str = "found"
    """The fate of a payment: of `unknown` outcome, `found`, or answered by a usable response: `whole`."""

    @property
    def is_retried(self) -> bool:
        """Whether a read that meets the fault once delivers everything."""
        return self.kind is None or self.kind.transient

    @property
    def lasting(self) -> Ending:
        """How an operation ends while the fault lasts."""
        if self.kind is None:
            return WHOLE
        attributes: dict[str, Any] = {"was_not_processed": False}
        if issubclass(self.kind, ApiError | ConnectionFailed):
            attributes["attempts"] = ATTEMPTS if self.is_retried else 1
        if issubclass(self.kind, ConnectionFailed):
            attributes["was_sent"] = True
        return Fails(self.kind, attributes)


def harmless(name: str, change: Callable[[TrueResponse], bytes], *, then: str = "stay") -> Row:
    """A response that is odd, and complete."""
    return Row(name, execute_then_send(change, then=then), WHOLE, post="whole")


def broken(name: str, change: Callable[[TrueResponse], bytes], *, then: str = "close") -> Row:
    """A response that breaks off, or that no HTTP client can read."""
    return Row(name, execute_then_send(change, then=then), ConnectionFailed)


def unanswered(name: str, misdeed: Misdeed, kind: type[AmiliError] = ConnectionFailed) -> Row:
    """The request is not executed."""
    return Row(name, misdeed, kind, post="unknown")


def chunk(body: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%s\r\n" % (len(body), body)


def cut_after_an_object(true: TrueResponse) -> bytes:
    """The response with its document cut in half, after a brace, so that its last byte does not show the cut."""
    body = true.body[: true.body.rindex(b"}", 0, -1) + 1] if b"}" in true.body[:-1] else true.body[:-1]
    return true.head(length=len(body)) + body


BREAKS = [
    unanswered("reset before a byte", lambda exchange: exchange.reset()),
    unanswered("closed before a byte", send_raw(b"")),
    broken("reset in the head", lambda true: true.raw[:20], then="reset"),
    broken("closed in the head", lambda true: true.raw[:20]),
    broken("reset after the head", lambda true: true.head(length=len(true.body)), then="reset"),
    broken("closed after the head", lambda true: true.head(length=len(true.body))),
    broken("reset in the body", lambda true: true.raw[:-20], then="reset"),
    broken("closed before the last byte", lambda true: true.raw[:-1]),
    harmless("reset after the body", lambda true: true.raw, then="reset"),
    harmless("closed after the body", lambda true: true.raw, then="close"),
    broken("closed in a chunk", lambda true: true.head(CHUNKED) + chunk(true.body)[:-10]),
    broken("closed before the last chunk", lambda true: true.head(CHUNKED) + chunk(true.body)),
    harmless("in chunks", lambda true: true.head(CHUNKED) + chunk(true.body[:9]) + chunk(true.body[9:]) + b"0\r\n\r\n"),
    harmless("as long as the connection", lambda true: true.head() + true.body, then="close"),
    broken("cut, as long as the connection", lambda true: true.head() + true.body[:-1]),
    broken("half a document, with its length", lambda true: cut_after_an_object(true), then="stay"),
    broken("a page of a gateway", lambda true: true.head(length=19) + b"<html>later</html>\n", then="stay"),
    broken("a length that is too small", lambda true: true.head(length=len(true.body) - 7) + true.body, then="stay"),
    broken("two lengths", lambda true: true.head(b"Content-Length: 5", length=len(true.body)) + true.body),
    broken("a negative length", lambda true: true.head(b"Content-Length: -5") + true.body),
    broken("a length in words", lambda true: true.head(b"Content-Length: many") + true.body),
    broken("a length and chunks", lambda true: true.head(CHUNKED, length=5) + chunk(true.body) + b"0\r\n\r\n"),
    broken("a chunk of no size", lambda true: true.head(CHUNKED) + b"zz\r\n" + true.body + b"0\r\n\r\n", then="stay"),
]
NO_HTTP = [
    unanswered("another protocol", send_raw(b"SSH-2.0-OpenSSH_9.6\r\n")),
    unanswered("zeros", send_raw(bytes(400))),
    unanswered("an alert of TLS", send_raw(b"\x15\x03\x01\x00\x02\x02\x46")),
    unanswered("a page without a head", send_raw(b"<html>hello")),
    unanswered("status 99", send_raw(b"HTTP/1.1 99 Odd\r\n" + NOTHING)),
    unanswered("status 2000", send_raw(b"HTTP/1.1 2000 Odd\r\n" + NOTHING)),
    unanswered("status 999", send_raw(b"HTTP/1.1 999 Odd\r\n" + NOTHING), ServerFault),
    unanswered("status 101", send_raw(b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nfoo"), ApiError),
    unanswered("status 204", send_raw(b"HTTP/1.1 204 Nothing\r\n\r\n")),
    harmless("100 before it", lambda true: b"HTTP/1.1 100 Continue\r\n\r\n" + true.raw),
    harmless("103 before it", lambda true: b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + true.raw),
    unanswered(
        "a header of 100 kB", send_raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"), UnreadableResponse
    ),
    harmless("a header of 60 kB", lambda true: true.head(b"X: " + b"x" * 60_000, length=len(true.body)) + true.body),
    harmless(
        "200 headers", lambda true: true.head(*(b"X-%d: y" % n for n in range(200)), length=len(true.body)) + true.body
    ),
    harmless("a byte order mark", lambda true: true.head(length=len(true.body) + 3) + b"\xef\xbb\xbf" + true.body),
    broken("a header with a zero", lambda true: true.head(b"X: \0y", length=len(true.body)) + true.body),
    broken("a header without a colon", lambda true: true.head(b"nonsense", length=len(true.body)) + true.body),
    harmless("a header that is no text", lambda true: true.head(b"X: \xff", length=len(true.body)) + true.body),
    harmless(
        "a type that is HTML", lambda true: true.head(b"Content-Type: text/html", length=len(true.body)) + true.body
    ),
    harmless(
        "headers of a limit that make no sense",
        lambda true: (
            true.head(
                b"X-RateLimit-Remaining: -1\r\nX-RateLimit-Reset: 99999999999999999999\r\nRetry-After: 5",
                length=len(true.body),
            )
            + true.body
        ),
    ),
]
FLOODS = [
    unanswered("headers without end", flood(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000), UnreadableResponse),
    unanswered("a header without end", flood(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 10_000), UnreadableResponse),
    unanswered("a status line without end", flood(b"HTTP/1.1 200 ", b"x" * 10_000), UnreadableResponse),
    unanswered(
        "trailers without end", flood(HEAD + CHUNKED + b"\r\n\r\n0\r\n", b"x: y\r\n" * 1000), UnreadableResponse
    ),
    unanswered("a body without end", flood(HEAD + b"\r\n", b" " * 2**20), UnreadableResponse),
    unanswered("chunks without end", flood(HEAD + CHUNKED + b"\r\n\r\n", chunk(b" " * 2**20)), UnreadableResponse),
]
ZIPPED = [
    Row("gzip", zip_wrongly(lambda zipped: zipped), WHOLE, post="whole"),
    Row("gzip cut in its head", zip_wrongly(lambda zipped: zipped[:5]), ConnectionFailed),
    Row("gzip cut in half", zip_wrongly(lambda zipped: zipped[: len(zipped) // 2]), ConnectionFailed),
    Row("gzip of nothing", zip_wrongly(lambda zipped: b""), ConnectionFailed),
    Row("gzip with a wrong sum", zip_wrongly(lambda zipped: zipped[:-8] + bytes(8)), ConnectionFailed),
    Row("gzip with a wrong byte", zip_wrongly(lambda zipped: zipped[:9] + b"\xff\xff" + zipped[11:]), ConnectionFailed),
    Row("gzip that is none", zip_wrongly(gzip.decompress), ConnectionFailed),
    Row("gzip with something behind it", zip_wrongly(lambda zipped: zipped + b"garbage"), ConnectionFailed),
    Row("gzip twice in a row", zip_wrongly(lambda zipped: zipped + zipped), ConnectionFailed),
    Row("gzip of gzip", zip_wrongly(gzip.compress), ConnectionFailed),
    Row("gzip declared as brotli", zip_wrongly(lambda zipped: zipped, encoding=b"br"), UnreadableResponse),
    Row(
        "gzip declared as an unknown encoding", zip_wrongly(lambda zipped: zipped, encoding=b"x-y"), UnreadableResponse
    ),
    Row("a bomb of 96 MB", zip_wrongly(lambda _: BOMB), UnreadableResponse),
]
HANGS = [
    unanswered("a hang before a byte", lambda exchange: exchange.hang(), TimedOut),
    Row("a hang in the head", execute_then_send(lambda true: true.raw[:20], then="hang"), TimedOut),
    Row(
        "a hang after the head", execute_then_send(lambda true: true.head(length=len(true.body)), then="hang"), TimedOut
    ),
    Row("a hang in the body", execute_then_send(lambda true: true.raw[:-20], then="hang"), TimedOut),
    Row(
        "a hang before the last chunk",
        execute_then_send(lambda t: t.head(CHUNKED) + chunk(t.body), then="hang"),
        TimedOut,
    ),
    Row("a byte at a time", drip(0.004), TimedOut),
    unanswered("100 without end", flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), TimedOut),
]
ALL = [*BREAKS, *NO_HTTP, *FLOODS, *ZIPPED, *HANGS]


@sampled("row", [(row,) for row in ALL], ids=name_of)
async def test_a_lasting_fault_raises_the_named_error(row: Row, scene: HostileScene) -> None:
    """A read makes as many attempts as the policy allows, then raises; the client works afterwards."""
    await scene.open(time_passes=row.kind is TimedOut)
    scene.server.plan(row.misdeed, times=None, path=f"/{GET.path}")
    await scene.hold(GET, row.lasting)
    assert (scene.requests_while_failing or scene.count(GET)) == (
        ATTEMPTS if row.kind is not None and row.is_retried else 1
    )


@sampled("row, operation", list(product(ALL, WALKING)), ids=name_of)
async def test_one_bad_page_costs_a_retry_or_ends_the_iteration_there(
    row: Row, operation: Operation, scene: HostileScene
) -> None:
    """Rows delivered before are correct and in order; an extraction resumes there and delivers the rest once."""
    await scene.open(time_passes=row.kind is TimedOut)
    scene.server.plan(row.misdeed, path=f"/{operation.path}", after=2)
    ending = row.lasting
    if ending is None or row.is_retried:
        await scene.hold(operation, WHOLE)
    else:
        await scene.hold(operation, replace(ending, within=ExtractionInterrupted if operation in EXTRACTING else None))


@pytest.mark.parametrize("row", ALL, ids=name_of)
async def test_a_payment_is_sent_once_and_registered_once_at_most(row: Row, scene: HostileScene) -> None:
    """A payment may be registered after any misdeed: it is found, or its outcome is unknown."""
    await scene.open(time_passes=row.kind is TimedOut)
    scene.server.plan(row.misdeed, method="POST")
    unknown = None if row.kind is None else Fails(row.kind, within=PaymentOutcomeUnknown)
    await scene.hold(CREATE, unknown if row.post == "unknown" else WHOLE)
    assert scene.count(CREATE) == 1
    assert len(scene.sandbox.rows(PAYMENTS)) == (row.post != "unknown")
