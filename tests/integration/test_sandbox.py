"""The sandbox over its socket: tokens, limits, rows that change under way, start and end."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from amili_async.sandbox import RateWindow, Sandbox

SPECIFICATIONS, PAYMENTS = "finance--payout-specifications", "creditor--payments"
SMALL: dict[str, Any] = {"payouts": 3, "specifications": 30, "payments": 4}


class Clock:
    """A clock that stands still until it is moved."""

    now = 1_750_000_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that the test moves."""
    return Clock()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


async def ask(http: aiohttp.ClientSession, sandbox: Sandbox, path: str, key: str | None = None) -> tuple[int, Any]:
    """Status and JSON of a GET."""
    async with http.get(sandbox.url + path, headers={"X-API-Key": key} if key else {}) as response:
        return response.status, json.loads(await response.read(), parse_float=Decimal)


def signed(sandbox: Sandbox, key: str, *, algorithm: str = "ES256", now: float, **claims: Any) -> str:
    """A token request, with some claims other than they should be."""
    payload = {"api_code": sandbox.api_code, "exp": int(now) + 600, **claims}
    return jwt.encode({name: value for name, value in payload.items() if value is not None}, key, algorithm)


async def test_a_signed_request_gets_a_token_that_works(http: aiohttp.ClientSession, clock: Clock) -> None:
    """The exchange answers with a token and its lifetime, and the token opens the resources."""
    async with Sandbox(**SMALL, clock=clock, token_lifetime=300) as sandbox:
        request = signed(sandbox, sandbox.private_key, now=clock.now)
        status, answer = await ask(http, sandbox, "/authenticates/api-code", request)
        assert (status, answer["expires_in"]) == (200, 300)
        assert (await ask(http, sandbox, f"/{SPECIFICATIONS}", answer["access_token"]))[0] == 200


@pytest.mark.parametrize(
    "claims",
    [{"api_code": "other"}, {"api_code": None}, {"exp": None}, {"exp": 0}, {"exp": "soon"}, {"exp": 9_999_999_999}],
)
async def test_a_wrong_claim_is_refused(http: aiohttp.ClientSession, clock: Clock, claims: dict[str, Any]) -> None:
    """The code must be ours; the expiry must be there, in the future and within the hour."""
    async with Sandbox(**SMALL, clock=clock) as sandbox:
        request = signed(sandbox, sandbox.private_key, now=clock.now, **claims)
        status, answer = await ask(http, sandbox, "/authenticates/api-code", request)
        assert (status, answer["_status"], answer["_error"]["code"]) == (401, "ERR", 401)


async def test_a_request_that_has_expired_by_the_sandboxes_clock_is_refused(
    http: aiohttp.ClientSession, clock: Clock
) -> None:
    """The expiry is judged by the clock given, not by the system's."""
    async with Sandbox(**SMALL, clock=clock) as sandbox:
        request = signed(sandbox, sandbox.private_key, now=clock.now)
        clock.now += 600
        assert (await ask(http, sandbox, "/authenticates/api-code", request))[0] == 401


def pem_pair(private: Any) -> tuple[str, str]:
    """Both halves of a key."""
    own = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return own.decode(), public.decode()


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ec.generate_private_key(ec.SECP521R1()), "ES512"),
        (rsa.generate_private_key(65537, 2048), "RS512"),
    ],
)
async def test_a_registered_key_verifies(http: aiohttp.ClientSession, key: Any, algorithm: str) -> None:
    """Each algorithm of Amili's is accepted from the registered key, and no longer from another."""
    private, public = pem_pair(key)
    async with Sandbox(**SMALL, public_key=public) as sandbox, Sandbox(**SMALL) as other:
        request = signed(sandbox, private, algorithm=algorithm, now=time.time())
        assert (await ask(http, sandbox, "/authenticates/api-code", request))[0] == 200
        foreign = signed(sandbox, other.private_key, now=time.time())
        assert (await ask(http, sandbox, "/authenticates/api-code", foreign))[0] == 401
        with pytest.raises(LookupError):
            _ = sandbox.private_key


async def test_a_token_ends_with_its_lifetime_or_its_revocation(http: aiohttp.ClientSession, clock: Clock) -> None:
    """An expired, a revoked, an unknown and a missing token are all refused; one minted afterwards works."""
    async with Sandbox(**SMALL, clock=clock, token_lifetime=600, rate_limit=None) as sandbox:
        path, token = f"/{PAYMENTS}", sandbox.token()
        assert (await ask(http, sandbox, path, token))[0] == 200
        clock.now += 600
        assert (await ask(http, sandbox, path, token))[0] == 401
        token = sandbox.token()
        sandbox.revoke_tokens()
        assert [(await ask(http, sandbox, path, key))[0] for key in (token, "unknown", None)] == [401, 401, 401]
        assert (await ask(http, sandbox, path, sandbox.token()))[0] == 200


async def test_all_requests_share_the_limit(http: aiohttp.ClientSession, clock: Clock) -> None:
    """Token calls, unknown paths and bad requests count too; a bare 429 follows, and time heals it."""
    async with Sandbox(**SMALL, clock=clock, rate_limit=[RateWindow(3, 1.0)]) as sandbox:
        paths = ("/authenticates/api-code", "/nowhere", f"/{PAYMENTS}?where=x", f"/{PAYMENTS}")
        assert [(await ask(http, sandbox, path, sandbox.token()))[0] for path in paths] == [401, 404, 400, 429]
        async with http.get(sandbox.url) as response:
            assert response.status == 429
            assert not [name for name in response.headers if "rate" in name.lower() or name == "Retry-After"]
        clock.now += 1
        assert (await ask(http, sandbox, f"/{PAYMENTS}", sandbox.token()))[0] == 200


async def test_limits_are_shown_where_asked_for(http: aiohttp.ClientSession, clock: Clock) -> None:
    """With the headers on, every answer tells what is left, and a 429 how long to wait."""
    async with Sandbox(**SMALL, clock=clock, rate_limit=[RateWindow(1, 9.0)], rate_limit_headers=True) as sandbox:
        async with http.get(sandbox.url + "/nowhere") as response:
            assert response.headers["X-RateLimit-Remaining"] == "0"
        async with http.get(sandbox.url + "/nowhere") as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "9")
            assert response.headers["X-RateLimit-Reset"] == str(int(clock.now) + 9)


async def test_changes_show_on_the_next_page(http: aiohttp.ClientSession) -> None:
    """Rows inserted, changed and deleted meanwhile move what the next request sees."""
    async with Sandbox(**SMALL, rate_limit=None) as sandbox:
        token, path = sandbox.token(), f"/{SPECIFICATIONS}?sort=-_id&max_results=10"
        first = (await ask(http, sandbox, path, token))[1]
        inserted = sandbox.insert(SPECIFICATIONS, {"amount": Decimal("60.50"), "article": "capital"})
        sandbox.delete(SPECIFICATIONS, first["_items"][9]["_id"])
        sandbox.update(SPECIFICATIONS, first["_items"][0]["_id"], {"article": "changed"})
        second = (await ask(http, sandbox, path, token))[1]
        assert [row["_id"] for row in second["_items"]] == [inserted, *(row["_id"] for row in first["_items"][:9])]
        assert str(second["_items"][0]["amount"]) == "60.50"
        assert second["_items"][1]["article"] == "changed"
        assert second["_items"][1]["_etag"] != first["_items"][0]["_etag"]
        assert second["_meta"]["total"] == 30


async def test_changes_to_rows_that_are_not_there_are_refused() -> None:
    """An unknown id or resource is a KeyError, an id that is taken a ValueError."""
    sandbox = Sandbox(**SMALL)
    taken = sandbox.rows(PAYMENTS)[0]["_id"]
    with pytest.raises(ValueError, match=taken):
        sandbox.insert(PAYMENTS, {"_id": taken})
    with pytest.raises(KeyError):
        sandbox.delete(PAYMENTS, "x")
    with pytest.raises(KeyError):
        sandbox.update(PAYMENTS, "x", {})
    with pytest.raises(KeyError):
        sandbox.rows("unknown")


async def test_a_posted_payment_keeps_its_digits_and_appears(http: aiohttp.ClientSession, clock: Clock) -> None:
    """The answer tells only what was added; the row holds the posted amount to the digit and the documented extras."""
    body = (
        '{"creditor": "674dbeb208847b9501cc9138", "invoice_number": "INV-1", "currency": "SEK", "amount": 100.10,'
        ' "bank_transaction_date": "Fri, 04 Jul 2025 16:20:41 GMT", "origin": "creditor_system"}'
    )
    async with Sandbox(**SMALL, clock=clock) as sandbox:
        headers = {"X-API-Key": sandbox.token(), "Content-Type": "application/json"}
        async with http.post(f"{sandbox.url}/{PAYMENTS}", data=body, headers=headers) as response:
            created = await response.json()
        assert (response.status, created["_status"], created["_payment_status"]) == (201, "OK", "completed")
        assert created.keys() == {"_id", "_created", "_updated", "_etag", "_status", "_payment_status"}
        row = (await ask(http, sandbox, f"/{PAYMENTS}/{created['_id']}", sandbox.token()))[1]
        assert (str(row["amount"]), str(row["settled_amount"]), row["status"]) == ("100.10", "100.10", "completed")
        assert row["_created"] == "Sun, 15 Jun 2025 15:06:40 GMT"
        assert sandbox.rows(PAYMENTS)[-1] == row


async def test_nan_is_taken_and_breaks_every_list_that_holds_it(http: aiohttp.ClientSession) -> None:
    """As in Eve: a payment of NaN is a 201, and a page with it on is a 500."""
    payment = {"creditor": "6" * 24, "case": "6" * 24, "currency": "SEK", "amount": float("nan")}
    payment |= {"bank_transaction_date": "Fri, 04 Jul 2025 16:20:41 GMT", "origin": "creditor_system"}
    async with Sandbox(**SMALL) as sandbox:
        headers = {"X-API-Key": sandbox.token()}
        async with http.post(f"{sandbox.url}/{PAYMENTS}", json=payment, headers=headers) as response:
            assert response.status == 201
        async with http.get(f"{sandbox.url}/{PAYMENTS}", headers=headers) as response:
            assert (response.status, response.content_type) == (500, "text/html")
        assert (await ask(http, sandbox, f"/{PAYMENTS}?max_results=2", sandbox.token()))[0] == 200


async def test_nothing_is_made_before_it_is_needed() -> None:
    """Starting and stopping makes no rows, however many are asked for; it can be started again."""
    sandbox = Sandbox(specifications=10**9)
    began = time.perf_counter()
    async with sandbox:
        first = sandbox.url
    await sandbox.start()
    assert time.perf_counter() - began < 0.5
    assert first.startswith("http://127.0.0.1:")
    await sandbox.aclose()
    await sandbox.aclose()
    with pytest.raises(RuntimeError):
        _ = sandbox.url


async def test_requests_are_counted_and_remembered(http: aiohttp.ClientSession, clock: Clock) -> None:
    """The journal holds method, path, query and status in order of arrival; open requests are counted."""
    async with Sandbox(**SMALL, clock=clock, rate_limit=None, latency=0.01) as sandbox:
        token = sandbox.token()
        await asyncio.gather(*(ask(http, sandbox, f"/{PAYMENTS}?page={n}&page=9", token) for n in range(3)))
        assert (sandbox.in_flight, sandbox.most_in_flight) == (0, 3)
        assert {request.query["page"] for request in sandbox.requests} == {"0", "1", "2"}
        assert {(each.method, each.path, each.status) for each in sandbox.requests} == {("GET", f"/{PAYMENTS}", 200)}
        assert all(each.received_at == each.sent_at == clock.now for each in sandbox.requests)
        assert token not in repr(sandbox.requests)
        sandbox.requests.clear()
        assert not sandbox.requests


async def test_closing_ends_open_requests_at_once(http: aiohttp.ClientSession) -> None:
    """Neither a slow request nor a connection outlives the sandbox."""
    before = asyncio.all_tasks()
    async with Sandbox(**SMALL, latency=60) as sandbox:
        waiting = asyncio.create_task(ask(http, sandbox, f"/{PAYMENTS}", sandbox.token()))
        await asyncio.wait([waiting], timeout=0.02)
        assert sandbox.in_flight == 1
        began = time.perf_counter()
    assert time.perf_counter() - began < 0.5
    await asyncio.wait([waiting])
    assert waiting.exception() is None or isinstance(waiting.exception(), aiohttp.ClientError)
    assert asyncio.all_tasks() <= before | {waiting}


def test_it_can_be_used_in_one_loop_after_another() -> None:
    """Rows, key and tokens outlive a loop; waits belong to the loop of their start."""
    sandbox = Sandbox(**SMALL, latency=0.001)
    token = sandbox.token()

    async def use() -> int:
        async with sandbox, aiohttp.ClientSession() as http:
            return (await ask(http, sandbox, f"/{PAYMENTS}", token))[0]

    assert [asyncio.run(use()) for _ in range(2)] == [200, 200]


@pytest.mark.parametrize(
    ("method", "query", "headers", "body", "missing"),
    [
        ("GET", {"where": "amount > 60"}, {}, None, "Python comparisons"),
        ("GET", {"sort": '[("amount", -1)]'}, {}, None, "literal"),
        ("GET", {"embedded": '{"creditor": 1}'}, {}, None, "`embedded`"),
        ("GET", {}, {"If-None-Match": "x"}, None, "conditional"),
        ("GET", {}, {"If-Modified-Since": "Wed, 01 Jan 2020 00:00:00 GMT"}, None, "conditional"),
        ("OPTIONS", {}, {}, None, "OPTIONS"),
        ("POST", {}, {"Content-Type": "application/x-www-form-urlencoded"}, "amount=5", "form-encoded"),
        ("POST", {}, {"Content-Type": "application/json"}, '"abc"', "string"),
    ],
)
async def test_what_the_sandbox_leaves_out_of_eve_is_named(
    http: aiohttp.ClientSession, method: str, query: dict[str, str], headers: dict[str, str], body: Any, missing: str
) -> None:
    """A feature of Eve's that the sandbox does not implement is a 400 that names it, never a silent difference."""
    async with Sandbox(**SMALL) as sandbox:
        url, headers = f"{sandbox.url}/{PAYMENTS}", {"X-API-Key": sandbox.token(), **headers}
        async with http.request(method, url, params=query, headers=headers, data=body) as response:
            content = await response.json()
    assert response.status == 400
    assert "The sandbox does not implement" in content["_error"]["message"]
    assert missing in content["_error"]["message"]
