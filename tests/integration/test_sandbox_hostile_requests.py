"""The sandbox answers every request as Eve does, with 400 or with Eve's 500 page, and never fails itself.

The requests are raw bytes on a socket, because an HTTP client would correct many of them.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amili_async.sandbox import Sandbox
from tests.support.eve_pair import PAYMENTS, PAYOUTS, SPECIFICATIONS, open_pair
from tests.support.eve_queries import GOOD

SMALL: dict[str, Any] = {"payouts": 3, "specifications": 30, "payments": 5, "rate_limit": None}
DEPTHS = (60, 130, 190, 260, 330, 390)
"""A request line holds up to 8,190 bytes; both parsers and both evaluators of nested JSON give up within these."""


def nested(depth: int, opening: str, inner: str, closing: str) -> str:
    """JSON of a given depth."""
    return opening * depth + inner + closing * depth


def deep_wheres(depth: int) -> Iterable[str]:
    """Filters that nest each kind of value."""
    yield nested(depth, '{"$and":[', '{"amount":1}', "]}")
    yield nested(depth, '{"a":', "1", "}")
    yield '{"a":' + nested(depth, "[", "1", "]") + "}"
    yield '{"amount":{"$in":[' + nested(depth, "[", "1", "]") + "]}}"
    yield '{"amount":' + nested(depth, '{"$not":', '{"$gt":5}', "}") + "}"
    yield '{"references":' + nested(depth, '{"$elemMatch":', '{"case":1}', "}") + "}"
    yield nested(depth, "[", "1", "]")
    yield nested(depth, "[", "", "")
    yield nested(depth, "(", "a == 1", ")")
    yield json.dumps({".".join("a" * depth * 4): 1})


HUGE = (
    "1" + "0" * 20,
    "-1" + "0" * 20,
    "1" * 4400,
    "1e999",
    "-1e999",
    "1e99999999999999999999",
    "1e-99999999999999999999",
)
NUMBERS = (*HUGE, "1e308", "1e-400", "-0.0", "NaN", "Infinity", "-Infinity")
CONDITIONS = (
    "%s",
    '{"$gt":%s}',
    '{"$in":[%s,1]}',
    '{"$size":%s}',
    '{"$mod":[%s,1]}',
    '{"$mod":[7,%s]}',
    '{"$type":%s}',
)
WHERES = (
    *(f'{{"amount":{condition % number}}}' for number in NUMBERS for condition in CONDITIONS),
    *(
        '{"currency":"\\ud800"}',
        '{"\\ud800":1}',
        '{"$\\ud800":1}',
        '{"currency":{"$in":["\\udfff"]}}',
        '{"a\\u0000":1}',
    ),
    *(
        '{"amount":{"$type":[]}}',
        '{"amount":{"$exists":[]}}',
        '{"amount":{"$all":[{"$gt":5}]}}',
        '{"a":{"$elemMatch":5}}',
    ),
    *("\ufeff{}", "\0", "a == " * 500 + "1", "-" * 3000 + "1", "a" + ".a" * 3000, '{"amount":{"$gt":[1,"x",[2]]}}'),
)
OTHERS = {
    "sort": (
        "-" * 6000 + "a",
        ".".join("a" * 3000),
        ",".join("a" * 3000),
        "(" * 300,
        "1" * 5000,
        "\0",
        "a,\ufffd",
        "-1",
    ),
    "projection": (
        *(nested(depth, '{"a":', "1", "}") for depth in DEPTHS),
        *(f'{{"amount":{number}}}' for number in NUMBERS),
        *('{"\\ud800":1}', '{"\\ud800":0}', json.dumps({".".join("a" * 2000): 1}), '{"":1}', '{"a\\u0000":{}}'),
    ),
    "page": (*HUGE, "nan", "inf", "\0", "\ud7ff", "0x1"),
    "max_results": (*HUGE, "nan", "inf", "\0", "\ud7ff", "0x1"),
    "embedded": ("[" * 2000, "\0"),
}
NOT_UTF8 = ("%ff", "%ed%a0%80", "%00", "%", "%zz", "%C3", "%u1234")
QUERIES = (
    *(f"where={quote(where)}" for depth in DEPTHS for where in deep_wheres(depth)),
    *(f"where={quote(where)}" for where in WHERES),
    *(f"{name}={quote(text)}" for name, texts in OTHERS.items() for text in texts),
    *(f"{name}={text}" for name in ("where", *OTHERS, "unknown", "%ff") for text in NOT_UTF8),
    *("where={}&where=[]&page=2&page=x", "&&&==", "a=1;b=2", "a=1&" * 1500, "where[]=1", "where", "=", "?" * 3000),
)

RAW = json.dumps(GOOD)
AMOUNTS = (*NUMBERS, *(f'"{number}"' for number in NUMBERS), f'"{"[" * 2000}"', '"\\ud800"', nested(3000, "[", "", "]"))
ODD_VALUES: tuple[Any, ...] = ("\ud800", "\0", [], {}, [[None]], "\u0662\u0660\u0662\u0665")
ODD_PAYLOADS: tuple[Any, ...] = ({"\ud800": "\udfff"}, ["\ud800"], [GOOD, "\ud800"], "\ud800", [[[]]])
BODIES = (
    *(RAW.replace("100.1", amount).encode() for amount in AMOUNTS),
    *(json.dumps(GOOD | {name: value}).encode() for name in GOOD for value in ODD_VALUES),
    *(
        json.dumps(GOOD | {name: 1}).encode()
        for name in ("\ud800", "\0", "", "$a", "a.b", "creditor_payment_reference")
    ),
    *(json.dumps(value).encode() for value in ODD_PAYLOADS),
    *(json.dumps(GOOD | {"creditor_payment_reference": text}).encode() for text in ("\udfff", "a\0", "x" * 2_000_000)),
    *(nested(depth, opening, "", "").encode() for depth in (500, 100_000) for opening in ("[", '{"a":', '[{"a":')),
    *(f"[{number}]".encode() for number in NUMBERS),
    *(number.encode() for number in NUMBERS),
    *(RAW.encode(encoding) for encoding in ("utf-8-sig", "utf-16", "utf-32", "utf-7")),
    *(b"", b" ", b"\0", b"\xff", b'{"origin": "\xff"}', b'{"origin": "\xed\xa0\x80"}', b"{", b"-", b"[null]", b"true"),
    json.dumps([GOOD | {"_id": "6" * 24}] * 2).encode(),
)


def get(query: str) -> bytes:
    """The GET of a list of each resource in turn."""
    resource = (PAYMENTS, PAYOUTS, SPECIFICATIONS)[len(query) % 3]
    return f"GET /{resource}?{query} HTTP/1.1\r\n".encode()


def post(body: bytes, *headers: bytes, kind: bytes = b"application/json") -> bytes:
    """The POST of a payment."""
    head = (
        f"POST /{PAYMENTS} HTTP/1.1".encode(),
        b"Content-Type: " + kind,
        b"Content-Length: %d" % len(body),
        *headers,
    )
    return b"\r\n".join(head) + b"\r\n%s\r\n" + body


HEADS = (
    *(
        get("page=1") + line + b"\r\n"
        for line in (b"X: " + b"x" * 20_000, b"Cookie: \xff\xfe", b"X-API-Key: \xff", b"X : 1", b"X")
    ),
    get("page=1") + b"X: 1\r\n" * 3000,
    *(
        f"GET {path} HTTP/1.1\r\n".encode()
        for path in ("/%ff", "//", "/" + "a/" * 3000, "*", f"/{PAYMENTS}/%ff", f"/{PAYMENTS}/x?%ff")
    ),
    *(
        f"GET {target} HTTP/1.1\r\n".encode()
        for target in (f"http://x:99999999/{PAYMENTS}", "http://[::1", "x", "/" + "a" * 9000)
    ),
    *(
        f"{method} /{PAYMENTS} HTTP/1.1\r\n".encode()
        for method in ("FOO", "get", "TRACE", "CONNECT", "OPTIONS", "x" * 9000)
    ),
    b"GET /authenticates/api-code HTTP/1.1\r\nX-API-Key: \xff.\xff.\xff\r\n",
    b"GET / HTTP/9.9\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\r\n",
    b"\xff\xfe\r\n",
)
POSTS = (
    *(post(b"garbage", b"Content-Encoding: " + coding) for coding in (b"gzip", b"deflate", b"br", b"zstd", b"x")),
    *(
        post(RAW.encode(), kind=kind)
        for kind in (b"", b"application/json; charset=\xff", b"multipart/form-data", b"x" * 7000)
    ),
    *(
        f"POST /{PAYMENTS} HTTP/1.1\r\n{headers}\r\n%s\r\n{body}".encode()
        for headers, body in (
            ("Transfer-Encoding: chunked\r\nContent-Type: application/json", "zz\r\n{}\r\n0\r\n\r\n"),
            ("Content-Length: -5", ""),
            ("Content-Length: 1\r\nContent-Length: 2", "xx"),
        )
    ),
)


@asynccontextmanager
async def connected(sandbox: Sandbox) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection of its own."""
    host, port = sandbox.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def send(sandbox: Sandbox, request: bytes) -> int:
    """The status of the answer to a request, whose headers are completed; 0 where the connection is cut."""
    added = f"Host: x\r\nX-API-Key: {sandbox.token()}\r\nConnection: close\r\n".encode()
    whole = request.replace(b"%s\r\n", added + b"\r\n", 1) if request.startswith(b"POST") else request + added + b"\r\n"
    async with asyncio.timeout(30), connected(sandbox) as (reader, writer):
        writer.write(whole)
        return await read_status(reader)


async def read_status(reader: asyncio.StreamReader) -> int:
    """The status of an answer that is whole; 0 of any other."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0
    status = int(head.split()[1])
    if status == 500 and b"<title>500 Internal Server Error</title>" not in body:
        return 0
    return status


@pytest.mark.parametrize(
    ("requests", "answers"),
    [
        (tuple(map(get, QUERIES)), {200, 400, 500}),
        (tuple(map(post, BODIES)), {201, 400, 409, 422, 500}),
        (HEADS, {200, 400, 401, 404, 405}),
        (POSTS, {400, 201}),
    ],
    ids=["queries", "bodies", "heads", "forms of a body"],
)
async def test_a_hostile_request_gets_an_answer(
    requests: tuple[bytes, ...], answers: set[int], caplog: pytest.LogCaptureFixture
) -> None:
    """Each gets a whole answer of a status that Eve has for its kind, and the log stays empty."""
    async with Sandbox(**SMALL) as sandbox:
        odd = [
            (request[:90], status) for request in requests if (status := await send(sandbox, request)) not in answers
        ]
    assert odd == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_body_that_breaks_off_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A client that disconnects in the middle of a body leaves nothing in the log, and the next request is served."""
    async with Sandbox(**SMALL) as sandbox:
        async with connected(sandbox) as (_, writer):
            writer.write(f"POST /{PAYMENTS} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n[1".encode())
            await writer.drain()
        assert await send(sandbox, get("page=1")) == 200
    assert caplog.records == []


async def test_a_client_that_expects_100_continue_gets_it() -> None:
    """The interim answer precedes the body, as behind any HTTP server."""
    async with Sandbox(**SMALL) as sandbox, connected(sandbox) as (reader, writer), asyncio.timeout(30):
        head = post(b"", b"Expect: 100-continue").replace(b"Length: 0", b"Length: %d" % len(RAW))
        writer.write(head.replace(b"%s\r\n", f"Host: x\r\nX-API-Key: {sandbox.token()}\r\n\r\n".encode()))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(RAW.encode())
        assert await read_status(reader) == 201


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.sampled_from(HUGE),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ("amount", "_id", "references.case", "", "$and", "$or", "$not", "$in", "$elemMatch", "$mod", "$size")
            )
            | st.sampled_from(("$type", "$all", "$exists", "$gt", "currency", "\ud800")),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_random_requests_get_an_answer(data: st.DataObject) -> None:
    """Random JSON in every parameter and as a body gets an answer of Eve's."""
    texts = data.draw(
        st.lists(JSON_VALUES.map(json.dumps) | st.text(st.characters(codec="utf-8"), max_size=9), min_size=8)
    )
    wanted = {200, 201, 400, 409, 422, 500}

    async def send_each() -> list[tuple[str, int]]:
        async with Sandbox(**SMALL) as sandbox:
            found = []
            for place, text in enumerate(texts):
                name = ("where", "sort", "projection", "page")[place % 4]
                statuses = await send(sandbox, get(f"{name}={quote(text)}")), await send(sandbox, post(text.encode()))
                found += [(text, status) for status in statuses if status not in wanted]
            return found

    assert asyncio.run(send_each()) == []


AS_EVE = {
    "GET": (
        '{"amount":1e99999999999999999999}',
        '{"amount":{"$mod":[1e999,1]}}',
        '{"amount":{"$type":[]}}',
        nested(60, "[", "1", "]"),
    ),
    "POST": (
        *(
            RAW.replace("100.1", amount)
            for amount in ("1e99999999999999999999", "1e-99999999999999999999", "1" * 25, "1" * 4400)
        ),
        *(
            RAW.replace("100.1", amount)
            for amount in ('"1e99999999999999999999"', '"NaN"', f'"{"1" * 25}"', f'"{"[" * 2000}"')
        ),
        *(json.dumps(GOOD | change) for change in ({"currency": "\ud800"}, {"\ud800": 1}, {"origin": "\ud800"})),
        *(json.dumps(value) for value in ({"\ud800": "\udfff"}, ["\ud800"], [GOOD, "\ud800"])),
        *(nested(depth, "[", "", "") for depth in (500, 100_000)),
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning:(eve|mongomock|flask|werkzeug|ast)")
async def test_hostile_requests_get_the_status_of_eve() -> None:
    """Where mongomock decides as MongoDB does, the sandbox has the status of a real Eve."""
    unequal = []
    async with open_pair() as pair:
        for text in AS_EVE["GET"]:
            ours, theirs = await pair.send("GET", f"/{PAYMENTS}?where={quote(text)}")
            unequal += [(text[:90], ours[0], theirs.status_code)] if ours[0] != theirs.status_code else []
        for text in AS_EVE["POST"]:
            kind = {"Content-Type": "application/json"}
            ours, theirs = await pair.send("POST", f"/{PAYMENTS}", data=text.encode(), headers=kind)
            unequal += [(text[:200], ours[0], theirs.status_code)] if ours[0] != theirs.status_code else []
        for coding in ("gzip", "deflate"):
            kind = {"Content-Type": "application/json", "Content-Encoding": coding}
            ours, theirs = await pair.send("POST", f"/{PAYMENTS}", data=b"garbage", headers=kind)
            unequal += [(coding, ours[0], theirs.status_code)] if ours[0] != theirs.status_code else []
    assert unequal == []
