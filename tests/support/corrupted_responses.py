"""Real responses of the API, corrupted in every way that a broken server, proxy or connection can corrupt them.

Invariant: the same seed makes the same response.
"""

import random
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import msgspec
from multidict import CIMultiDict

from amili_async._wire.protocol import Response
from amili_async.sandbox import Sandbox

SAMPLES = Path(__file__).parent.parent / "unit" / "samples"
STATUSES = (200,) * 12 + (201, 204, 206, 302, 400, 401, 403, 404, 408, 412, 422, 429, 429, 500, 503, 599, 999)
HEADERS = {
    "Retry-After": ("5", "0", "-1", "1e9", "999999999", "9" * 400, "Fri, 13 Jun 2025 08:00:00 GMT", "soon", "٣", "NaN"),
    "Date": (
        "Fri, 13 Jun 2025 08:00:00 GMT",
        "Fri, 31 Feb 2025 08:00:00 GMT",
        "",
        "\x00",
        "Mon, 01 Jan 0000 24:00:00 GMT",
    ),
    "X-RateLimit-Remaining": ("0", "99", "-1", "²", "1" * 300, ""),
    "X-RateLimit-Reset": ("1750000030", "30", "1e3", "9" * 12, "nan"),
    "X-RateLimit-Limit": ("100", "x", "0"),
}
SCALARS = [
    *(
        b"null",
        b"true",
        b"false",
        b"0",
        b"-1",
        b"-0.0",
        b"1e5",
        b"1E-400",
        b"1e400",
        b"1e999999999",
        b"1e99999999999999999999",
    ),
    *(
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"9223372036854775808",
        b"-9223372036854775809",
        b"0x10",
        b"01",
        b"1.",
        b".5",
        b"+1",
    ),
    *(b"9" * 25, b"9" * 5_000, b"0." + b"1" * 5_000, b"-" + b"8" * 10_000),
    *(
        b'""',
        b'"x"',
        b'"ERR"',
        b'"OK"',
        b'"\\ud800"',
        b'"\\u0000"',
        b'"\xff\xfe"',
        b'"\xed\xa0\x80"',
        b'"' + b"a" * 70_000 + b'"',
    ),
    *(
        b'"Fri, 13 Jun 2025 08:00:00 GMT"',
        b'"Fri, 31 Feb 2025 24:61:61 GMT"',
        b'"2025-06-13T08:00:00Z"',
        b'"507f1f77bcf86cd799439099"',
    ),
    *(
        b"[]",
        b"{}",
        b"[null]",
        b'{"":0}',
        b'{"_id":{}}',
        b"[[[[[[]]]]]]",
        b"[" * 3_000 + b"]" * 3_000,
        b'{"a":' * 3_000 + b"1" + b"}" * 3_000,
    ),
    *(
        b"[" * 200_000,
        b'{"_status":"ERR","_error":{"code":{},"message":[]}}',
        b"401",
        b"422",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"',
    ),
]
KEYS = [
    *(
        b"_items",
        b"_meta",
        b"_status",
        b"_error",
        b"_issues",
        b"_id",
        b"_etag",
        b"_created",
        b"code",
        b"message",
        b"details",
    ),
    *(
        b"amount",
        b"summary",
        b"total",
        b"max_results",
        b"access_token",
        b"expires_in",
        b"booking_date",
        b"references",
        b"",
        b"\xff",
        b"$",
    ),
]
_SCALAR = re.compile(rb'(?<=[:\[,])\s*("(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null)')
_KEY = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:')


@cache
def real_bodies() -> Sequence[bytes]:
    """The API's own examples, pages and records of the sandbox, a token, error responses."""
    sandbox = Sandbox(payouts=3, specifications=12, payments=3)
    encoder = msgspec.json.Encoder(decimal_format="number")
    bodies = [path.read_bytes() for path in sorted(SAMPLES.glob("*.json"))]
    for resource in ("finance--payouts", "finance--payout-specifications", "creditor--payments"):
        rows = sandbox.rows(resource)
        meta = {"page": 1, "max_results": 100, "total": len(rows)}
        links = {"self": {"title": resource, "href": resource}}
        bodies += [encoder.encode({"_items": rows, "_meta": meta, "_links": links}), encoder.encode(rows[0])]
    bodies.append(encoder.encode({"access_token": sandbox.token(), "expires_in": 600, "token_type": "Bearer"}))
    error = {"code": 422, "message": "Insertion failure: 1 document(s) contain(s) error(s)"}
    bodies.append(encoder.encode({"_status": "ERR", "_issues": {"case": ["x", {"y": "z"}]}, "_error": error}))
    bodies.append(b"<!doctype html><title>503 Service Unavailable</title><h1>Service Unavailable</h1>")
    return bodies


def corrupt(seed: int) -> Response:
    """The response of a seed."""
    dice = random.Random(seed)
    body = dice.choice(real_bodies())
    for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
        body = dice.choice(WAYS)(body, dice)
    headers = {name: dice.choice(values) for name, values in HEADERS.items() if dice.random() < 0.2}
    return Response(status=dice.choice(STATUSES), headers=CIMultiDict(headers), body=body)


def _flip(body: bytes, dice: random.Random) -> bytes:
    corrupted = bytearray(body)
    for _ in range(dice.choice((1, 1, 4, 30)) if corrupted else 0):
        corrupted[dice.randrange(len(corrupted))] ^= 1 << dice.randrange(8)
    return bytes(corrupted)


def _cut(body: bytes, dice: random.Random) -> bytes:
    return body[: dice.randrange(len(body) + 1)]


def _cut_out(body: bytes, dice: random.Random) -> bytes:
    start, end = _span(body, dice)
    return body[:start] + body[end:]


def _repeat(body: bytes, dice: random.Random) -> bytes:
    start, end = _span(body, dice)
    return body[:end] + body[start:end] * dice.choice((1, 1, 3)) + body[end:]


def _splice(body: bytes, dice: random.Random) -> bytes:
    other = dice.choice(real_bodies())
    start, end = _span(other, dice)
    place = dice.randrange(len(body) + 1)
    return body[:place] + other[start:end] + body[place + dice.choice((0, end - start)) :]


def _insert(body: bytes, dice: random.Random) -> bytes:
    place = dice.randrange(len(body) + 1)
    return body[:place] + dice.choice((dice.randbytes(3), b"\xc3", b"\x00", b"\xef\xbb\xbf", *SCALARS)) + body[place:]


def _swap_a_value(body: bytes, dice: random.Random) -> bytes:
    return _put(body, dice, _SCALAR, dice.choice(SCALARS))


def _swap_a_key(body: bytes, dice: random.Random) -> bytes:
    return _put(body, dice, _KEY, dice.choice(KEYS))


def _duplicate_a_key(body: bytes, dice: random.Random) -> bytes:
    objects = [found.end() for found in re.finditer(rb"\{", body)]
    place = dice.choice(objects) if objects else 0
    return body[:place] + b'"' + dice.choice(KEYS) + b'":' + dice.choice(SCALARS) + b"," + body[place:]


def _wrap(body: bytes, dice: random.Random) -> bytes:
    """Wrap the body into something that no client expects."""
    way = dice.randrange(5)
    if way == 0:
        return body.decode(errors="replace").encode("utf-16")
    if way == 1:
        return b"\xef\xbb\xbf" + body
    if way == 2:
        return b"[" + body + b"]"
    return (
        b'{"_items":' + body + b"}" if way == 3 else b'{"_status":"ERR","_issues":' + body + b',"_error":' + body + b"}"
    )


WAYS: Sequence[Callable[[bytes, random.Random], bytes]] = (
    *(_flip, _cut, _cut_out, _repeat, _splice, _insert, _duplicate_a_key, _swap_a_key, _wrap),
    *(_swap_a_value,) * 5,
)


def _span(body: bytes, dice: random.Random) -> tuple[int, int]:
    start = dice.randrange(len(body) + 1)
    return start, min(len(body), start + int(dice.expovariate(1 / 40)))


def _put(body: bytes, dice: random.Random, pattern: re.Pattern[bytes], fresh: bytes) -> bytes:
    places = [found.span(1) for found in pattern.finditer(body)]
    if not places:
        return body
    start, end = dice.choice(places)
    return body[:start] + fresh + body[end:]
