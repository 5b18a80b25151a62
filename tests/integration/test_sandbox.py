"""The sandbox over its socket: tokens, limits, rows that change between requests, start and close."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from copy import deepcopy
from decimal import Decimal
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from amili_async.sandbox import RateWindow, Sandbox
from tests.support.clocks import happens
from tests.support.leaving_early import hold_until

SPECIFICATIONS, PAYMENTS = "finance--payout-specifications", "creditor--payments"
SMALL: dict[str, Any] = {"payouts": 3, "specifications": 30, "payments": 4}


class Clock:
    """A clock that advances only by assignment."""

    now = 1_750_000_000.0

    def __call__(self) -> float:
        """The time in epoch seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that the test advances."""
    return Clock()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


async def get(http: aiohttp.ClientSession, sandbox: Sandbox, path: str, key: str | None = None) -> tuple[int, Any]:
    """Status and JSON of a GET."""
    async with http.get(sandbox.url + path, headers={"X-API-Key": key} if key else {}) as response:
        return response.status, json.loads(await response.read(), parse_float=Decimal)


def signed(sandbox: Sandbox, key: str, *, algorithm: str = "ES256", now: float, **claims: Any) -> str:
    """A signed token request; *claims* replace the valid ones, and None leaves one out."""
    payload = {"api_code": sandbox.api_code, "exp": int(now) + 600, **claims}
    return jwt.encode({name: value for name, value in payload.items() if value is not None}, key, algorithm)


async def test_a_signed_request_gets_a_valid_token(http: aiohttp.ClientSession, clock: Clock) -> None:
    """The exchange answers with a token and its lifetime, and the resources accept the token."""
    async with Sandbox(**SMALL, clock=clock, token_lifetime=300) as sandbox:
        request = signed(sandbox, sandbox.private_key, now=clock.now)
        status, answer = await get(http, sandbox, "/authenticates/api-code", request)
        assert (status, answer["expires_in"]) == (200, 300)
        assert (await get(http, sandbox, f"/{SPECIFICATIONS}", answer["access_token"]))[0] == 200


@pytest.mark.parametrize(
    "claims",
    [{"api_code": "other"}, {"api_code": None}, {"exp": None}, {"exp": 0}, {"exp": "soon"}, {"exp": 9_999_999_999}],
)
async def test_a_wrong_claim_is_rejected(http: aiohttp.ClientSession, clock: Clock, claims: dict[str, Any]) -> None:
    """The API code must match; the expiry must be present, in the future and within an hour."""
    async with Sandbox(**SMALL, clock=clock) as sandbox:
        request = signed(sandbox, sandbox.private_key, now=clock.now, **claims)
        status, answer = await get(http, sandbox, "/authenticates/api-code", request)
        assert (status, answer["_status"], answer["_error"]["code"]) == (401, "ERR", 401)


async def test_a_token_request_expires_by_the_clock_of_the_sandbox(http: aiohttp.ClientSession, clock: Clock) -> None:
    """The expiry is compared with the given clock, not with the clock of the system."""
    async with Sandbox(**SMALL, clock=clock) as sandbox:
        request = signed(sandbox, sandbox.private_key, now=clock.now)
        clock.now += 600
        assert (await get(http, sandbox, "/authenticates/api-code", request))[0] == 401


def pem_pair(private: Any) -> tuple[str, str]:
    """The private and the public key as PEM."""
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
    """Each documented algorithm is accepted from the registered key, and from no other key."""
    private, public = pem_pair(key)
    async with Sandbox(**SMALL, public_key=public) as sandbox, Sandbox(**SMALL) as other:
        request = signed(sandbox, private, algorithm=algorithm, now=time.time())
        assert (await get(http, sandbox, "/authenticates/api-code", request))[0] == 200
        foreign = signed(sandbox, other.private_key, now=time.time())
        assert (await get(http, sandbox, "/authenticates/api-code", foreign))[0] == 401
        with pytest.raises(LookupError):
            _ = sandbox.private_key


async def test_a_token_is_valid_until_it_expires_or_is_revoked(http: aiohttp.ClientSession, clock: Clock) -> None:
    """An expired, a revoked, an unknown and a missing token are rejected; one issued afterwards is valid."""
    async with Sandbox(**SMALL, clock=clock, token_lifetime=600, rate_limit=None) as sandbox:
        path, token = f"/{PAYMENTS}", sandbox.token()
        assert (await get(http, sandbox, path, token))[0] == 200
        clock.now += 600
        assert (await get(http, sandbox, path, token))[0] == 401
        token = sandbox.token()
        sandbox.revoke_tokens()
        assert [(await get(http, sandbox, path, key))[0] for key in (token, "unknown", None)] == [401, 401, 401]
        assert (await get(http, sandbox, path, sandbox.token()))[0] == 200


async def test_all_requests_share_the_limit(http: aiohttp.ClientSession, clock: Clock) -> None:
    """Token requests, unknown paths and bad requests count too; the 429 has no headers and ends with the window."""
    async with Sandbox(**SMALL, clock=clock, rate_limit=[RateWindow(3, 1.0)]) as sandbox:
        paths = ("/authenticates/api-code", "/nowhere", f"/{PAYMENTS}?where=x", f"/{PAYMENTS}")
        assert [(await get(http, sandbox, path, sandbox.token()))[0] for path in paths] == [401, 404, 400, 429]
        async with http.get(sandbox.url) as response:
            assert response.status == 429
            assert not [name for name in response.headers if "rate" in name.lower() or name == "Retry-After"]
        clock.now += 1
        assert (await get(http, sandbox, f"/{PAYMENTS}", sandbox.token()))[0] == 200


async def test_limits_are_sent_on_request(http: aiohttp.ClientSession, clock: Clock) -> None:
    """With `rate_limit_headers` every answer has the remaining requests, and a 429 the wait."""
    async with Sandbox(**SMALL, clock=clock, rate_limit=[RateWindow(1, 9.0)], rate_limit_headers=True) as sandbox:
        async with http.get(sandbox.url + "/nowhere") as response:
            assert response.headers["X-RateLimit-Remaining"] == "0"
        async with http.get(sandbox.url + "/nowhere") as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "9")
            assert response.headers["X-RateLimit-Reset"] == str(int(clock.now) + 9)


async def test_changes_appear_on_the_next_page(http: aiohttp.ClientSession) -> None:
    """Rows inserted, changed and deleted between two requests change the second answer."""
    async with Sandbox(**SMALL, rate_limit=None) as sandbox:
        token, path = sandbox.token(), f"/{SPECIFICATIONS}?sort=-_id&max_results=10"
        first = (await get(http, sandbox, path, token))[1]
        inserted = sandbox.insert(SPECIFICATIONS, {"amount": Decimal("60.50"), "article": "capital"})
        sandbox.delete(SPECIFICATIONS, first["_items"][9]["_id"])
        sandbox.update(SPECIFICATIONS, first["_items"][0]["_id"], {"article": "changed"})
        second = (await get(http, sandbox, path, token))[1]
        assert [row["_id"] for row in second["_items"]] == [inserted, *(row["_id"] for row in first["_items"][:9])]
        assert str(second["_items"][0]["amount"]) == "60.50"
        assert second["_items"][1]["article"] == "changed"
        assert second["_items"][1]["_etag"] != first["_items"][0]["_etag"]
        assert second["_meta"]["total"] == 30


async def test_changes_to_missing_rows_raise() -> None:
    """An unknown id or resource is a KeyError, an id in use a ValueError."""
    sandbox = Sandbox(**SMALL)
    used_id = sandbox.rows(PAYMENTS)[0]["_id"]
    with pytest.raises(ValueError, match=used_id):
        sandbox.insert(PAYMENTS, {"_id": used_id})
    with pytest.raises(KeyError):
        sandbox.delete(PAYMENTS, "x")
    with pytest.raises(KeyError):
        sandbox.update(PAYMENTS, "x", {})
    with pytest.raises(KeyError):
        sandbox.rows("unknown")


async def test_a_posted_payment_keeps_its_digits(http: aiohttp.ClientSession, clock: Clock) -> None:
    """The answer holds the added fields only; the row has the posted amount to the digit and the documented extras."""
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
        row = (await get(http, sandbox, f"/{PAYMENTS}/{created['_id']}", sandbox.token()))[1]
        assert (str(row["amount"]), str(row["settled_amount"]), row["status"]) == ("100.10", "100.10", "completed")
        assert row["_created"] == "Sun, 15 Jun 2025 15:06:40 GMT"
        assert sandbox.rows(PAYMENTS)[-1] == row


async def test_nan_is_accepted_and_crashes_every_list_that_holds_it(http: aiohttp.ClientSession) -> None:
    """As in Eve: the POST of a payment of NaN is a 201, and a page that holds it is a 500."""
    payment = {"creditor": "6" * 24, "case": "6" * 24, "currency": "SEK", "amount": float("nan")}
    payment |= {"bank_transaction_date": "Fri, 04 Jul 2025 16:20:41 GMT", "origin": "creditor_system"}
    async with Sandbox(**SMALL) as sandbox:
        headers = {"X-API-Key": sandbox.token()}
        async with http.post(f"{sandbox.url}/{PAYMENTS}", json=payment, headers=headers) as response:
            assert response.status == 201
        async with http.get(f"{sandbox.url}/{PAYMENTS}", headers=headers) as response:
            assert (response.status, response.content_type) == (500, "text/html")
        assert (await get(http, sandbox, f"/{PAYMENTS}?max_results=2", sandbox.token()))[0] == 200


async def test_rows_are_generated_on_demand() -> None:
    """Start and close generate no rows, whatever their number; the sandbox can be started again."""
    sandbox = Sandbox(specifications=10**9)
    began = time.perf_counter()
    async with sandbox:
        first = sandbox.url
    await sandbox.start()
    assert time.perf_counter() - began < 30
    assert first.startswith("http://127.0.0.1:")
    await sandbox.aclose()
    await sandbox.aclose()
    with pytest.raises(RuntimeError):
        _ = sandbox.url


async def test_requests_are_counted_and_recorded(http: aiohttp.ClientSession, clock: Clock) -> None:
    """The journal holds method, path, query and status in order of arrival; open requests are counted."""
    sandbox = Sandbox(**SMALL, clock=clock, rate_limit=None)
    hold_until(sandbox, 3)
    async with sandbox:
        token = sandbox.token()
        await asyncio.gather(*(get(http, sandbox, f"/{PAYMENTS}?page={n}&page=9", token) for n in range(3)))
        assert (sandbox.in_flight, sandbox.most_in_flight) == (0, 3)
        assert {request.query["page"] for request in sandbox.requests} == {"0", "1", "2"}
        assert {(each.method, each.path, each.status) for each in sandbox.requests} == {("GET", f"/{PAYMENTS}", 200)}
        assert all(each.received_at == each.sent_at == clock.now for each in sandbox.requests)
        assert token not in repr(sandbox.requests)
        sandbox.requests.clear()
        assert not sandbox.requests


async def test_close_ends_open_requests_at_once(http: aiohttp.ClientSession) -> None:
    """No slow request and no connection outlives the sandbox."""
    before = asyncio.all_tasks()
    async with Sandbox(**SMALL, latency=60) as sandbox:
        waiting = asyncio.create_task(get(http, sandbox, f"/{PAYMENTS}", sandbox.token()))
        await happens(lambda: sandbox.in_flight == 1)
        began = time.perf_counter()
    assert time.perf_counter() - began < 30
    await asyncio.wait([waiting])
    assert waiting.exception() is None or isinstance(waiting.exception(), aiohttp.ClientError)
    assert asyncio.all_tasks() <= before | {waiting}


def test_the_sandbox_runs_in_one_loop_after_another() -> None:
    """Rows, key and tokens outlive a loop; waits belong to the loop of `start`."""
    sandbox = Sandbox(**SMALL, latency=0.001)
    token = sandbox.token()

    async def use() -> int:
        async with sandbox, aiohttp.ClientSession() as http:
            return (await get(http, sandbox, f"/{PAYMENTS}", token))[0]

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
    """A feature of Eve that the sandbox does not implement is a 400 that names it, not a silent difference."""
    async with Sandbox(**SMALL) as sandbox:
        url, headers = f"{sandbox.url}/{PAYMENTS}", {"X-API-Key": sandbox.token(), **headers}
        async with http.request(method, url, params=query, headers=headers, data=body) as response:
            content = await response.json()
    assert response.status == 400
    assert "The sandbox does not implement" in content["_error"]["message"]
    assert missing in content["_error"]["message"]


async def test_sandboxes_with_the_same_rows_change_them_apart() -> None:
    """What one sandbox updates, deletes or inserts is unchanged in another one of the same numbers and seed."""
    async with Sandbox(payouts=3) as one, Sandbox(payouts=3) as other:
        before = deepcopy(other.rows("finance--payouts"))
        first, second, _ = (row["_id"] for row in before)
        one.update("finance--payouts", first, {"summary": {}})
        one.delete("finance--payouts", second)
        one.insert("finance--payouts", {"currency": "EUR"})
        one.rows("finance--payouts")[1]["summary"]["changed"] = True  # of the third, which both sandboxes share
        assert other.rows("finance--payouts") == before
        async with Sandbox(payouts=3) as third:
            assert third.rows("finance--payouts") == before
