"""Callbacks of tests: rows that change before a request, overridden queries and pages; and the date of answers."""

import json
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from amili_async.sandbox import Fault, ReceivedRequest, Sandbox

PAYMENTS = "creditor--payments"
NOW = 1_750_000_000.0
SMALL: dict[str, Any] = {"payouts": 2, "specifications": 10, "payments": 6, "rate_limit": None, "clock": lambda: NOW}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A small sandbox without a rate limit, whose clock does not advance."""
    async with Sandbox(**SMALL) as sandbox:
        yield sandbox


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A session that uses each connection once, because aiohttp resends a GET on a stale one."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


async def get(http: aiohttp.ClientSession, sandbox: Sandbox, path: str = f"/{PAYMENTS}") -> tuple[int, Any, Any]:
    """Status, headers and JSON of a GET."""
    async with http.get(sandbox.url + path, headers={"X-API-Key": sandbox.token()}) as response:
        text = await response.text()
        is_json = response.content_type == "application/json"
        return response.status, response.headers, json.loads(text, parse_float=Decimal) if is_json else text


async def test_rows_change_right_before_each_request(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """The callback runs before each request is carried out and changes its answer, until it is removed."""
    seen: list[ReceivedRequest] = []

    def change(received: ReceivedRequest) -> None:
        seen.append(received)
        sandbox.insert(PAYMENTS, {"amount": len(seen)})

    sandbox.before_each_request(change)
    totals = [(await get(http, sandbox, f"/{PAYMENTS}?page={page}"))[2]["_meta"]["total"] for page in (1, 2)]
    assert totals == [7, 8]
    assert [(each.path, each.query["page"]) for each in seen] == [(f"/{PAYMENTS}", "1"), (f"/{PAYMENTS}", "2")]
    sandbox.before_each_request(None)
    assert (await get(http, sandbox))[2]["_meta"]["total"] == 8


async def test_the_callback_skips_requests_that_are_not_carried_out(
    http: aiohttp.ClientSession, sandbox: Sandbox
) -> None:
    """A request with a false answer is not carried out; a delayed one is, after the delay."""
    calls: list[int] = []
    sandbox.before_each_request(lambda _: calls.append(sandbox.in_flight))
    sandbox.fail(Fault.unavailable())
    sandbox.fail(Fault(delay=0.01))
    assert (await get(http, sandbox))[0] == 503
    assert calls == []
    assert (await get(http, sandbox))[0] == 200
    assert calls == [1]


async def test_a_page_can_lack_and_duplicate_rows(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """The page of the callback is sent: numbers keep their digits, and no header repeats a removed total."""

    def duplicate_first_row(received: ReceivedRequest, page: dict[str, Any]) -> dict[str, Any]:
        first, _, *others = page["_items"]
        return {"_items": [first, first, *others], "_meta": {"page": int(received.query["page"])}}

    original = (await get(http, sandbox, f"/{PAYMENTS}?page=1"))[2]
    sandbox.override(page=duplicate_first_row)
    _, headers, page = await get(http, sandbox, f"/{PAYMENTS}?page=1")
    assert page == {
        "_items": [original["_items"][0], *original["_items"][:1], *original["_items"][2:]],
        "_meta": {"page": 1},
    }
    assert "X-Total-Count" not in headers
    sandbox.override()
    assert (await get(http, sandbox, f"/{PAYMENTS}?page=1"))[2] == original


async def test_the_header_repeats_an_overridden_total(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """`X-Total-Count` equals `_meta.total` of the overridden page."""
    sandbox.override(page=lambda _, page: page | {"_meta": page["_meta"] | {"total": 99}})
    _, headers, page = await get(http, sandbox)
    assert (headers["X-Total-Count"], page["_meta"]["total"]) == ("99", 99)


async def test_an_overridden_query_is_carried_out_instead(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """A server that ignores a filter can be simulated; the journal holds the query received."""

    def ignore_filter(received: ReceivedRequest) -> Mapping[str, str]:
        return {name: value for name, value in received.query.items() if name != "where"}

    no_match = f'/{PAYMENTS}?where={{"_id":"{"0" * 24}"}}'
    assert (await get(http, sandbox, no_match))[2]["_items"] == []
    sandbox.override(query=ignore_filter)
    assert len((await get(http, sandbox, no_match))[2]["_items"]) == 6
    assert "where" in sandbox.requests[-1].query


async def test_only_pages_and_queries_are_overridden(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """A single record, an error and a token exchange are not overridden."""
    sandbox.override(query=lambda _: {"max_results": "1"}, page=lambda _, page: page | {"_items": []})
    row_id = sandbox.rows(PAYMENTS)[0]["_id"]
    assert (await get(http, sandbox, f"/{PAYMENTS}/{row_id}"))[2]["_id"] == row_id
    assert (await get(http, sandbox, "/nowhere"))[2]["_error"]["code"] == 404
    assert (await get(http, sandbox, "/authenticates/api-code"))[0] == 401
    assert (await get(http, sandbox))[2]["_items"] == []


@pytest.mark.parametrize("fault", [None, Fault.unavailable(), Fault(status=500), Fault.too_many_requests()])
async def test_every_answer_has_the_date_of_the_clock(
    http: aiohttp.ClientSession, sandbox: Sandbox, fault: Fault | None
) -> None:
    """`Date` is the time of the given clock, not of the system, on errors too."""
    if fault is not None:
        sandbox.fail(fault)
    assert (await get(http, sandbox))[1].getall("Date") == ["Sun, 15 Jun 2025 15:06:40 GMT"]


async def test_an_answer_that_is_cut_off_has_a_date(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """The head of an answer whose body is cut off is complete."""
    sandbox.fail(Fault(cut=0))
    async with http.get(f"{sandbox.url}/{PAYMENTS}") as response:
        assert response.headers["Date"] == "Sun, 15 Jun 2025 15:06:40 GMT"


async def test_a_fault_can_have_another_date(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """A gateway whose clock is wrong can be simulated."""
    sandbox.fail(Fault(headers={"Date": "Sun, 15 Jun 2025 00:00:00 GMT"}))
    assert (await get(http, sandbox))[1].getall("Date") == ["Sun, 15 Jun 2025 00:00:00 GMT"]


async def test_the_date_of_an_answer_is_the_time_of_sending(http: aiohttp.ClientSession) -> None:
    """Time that passes while a request is carried out is included in `Date`."""
    now = [NOW]
    async with Sandbox(**SMALL | {"clock": lambda: now[0]}) as sandbox:
        sandbox.before_each_request(lambda _: now.append(now.pop() + 60))
        assert (await get(http, sandbox))[1]["Date"] == "Sun, 15 Jun 2025 15:07:40 GMT"
