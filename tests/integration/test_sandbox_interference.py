"""What tests do to the sandbox's requests on their way: rows that change meanwhile, lies, and the time on answers."""

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
    """A small sandbox without a limit, whose time stands still."""
    async with Sandbox(**SMALL) as sandbox:
        yield sandbox


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that uses each connection once, so that it resends nothing by itself."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


async def ask(http: aiohttp.ClientSession, sandbox: Sandbox, path: str = f"/{PAYMENTS}") -> tuple[int, Any, Any]:
    """Status, headers and JSON of a GET."""
    async with http.get(sandbox.url + path, headers={"X-API-Key": sandbox.token()}) as response:
        text = await response.text()
        is_json = response.content_type == "application/json"
        return response.status, response.headers, json.loads(text, parse_float=Decimal) if is_json else text


async def test_rows_change_right_before_each_request(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """What somebody else does meanwhile shows in the answer to the very request, until it is taken away."""
    seen: list[ReceivedRequest] = []

    def change(received: ReceivedRequest) -> None:
        seen.append(received)
        sandbox.insert(PAYMENTS, {"amount": len(seen)})

    sandbox.before_each_request(change)
    totals = [(await ask(http, sandbox, f"/{PAYMENTS}?page={page}"))[2]["_meta"]["total"] for page in (1, 2)]
    assert totals == [7, 8]
    assert [(each.path, each.query["page"]) for each in seen] == [(f"/{PAYMENTS}", "1"), (f"/{PAYMENTS}", "2")]
    sandbox.before_each_request(None)
    assert (await ask(http, sandbox))[2]["_meta"]["total"] == 8


async def test_nothing_happens_before_what_is_not_carried_out(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """A fault's own answer is no request carried out; one that waits is carried out after the wait."""
    calls: list[int] = []
    sandbox.before_each_request(lambda _: calls.append(sandbox.in_flight))
    sandbox.fail(Fault.unavailable())
    sandbox.fail(Fault(delay=0.01))
    assert (await ask(http, sandbox))[0] == 503
    assert calls == []
    assert (await ask(http, sandbox))[0] == 200
    assert calls == [1]


async def test_a_page_can_lose_and_double_rows(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """A page is sent as the test makes it: its numbers keep their digits, and nothing contradicts a missing total."""

    def lie(received: ReceivedRequest, page: dict[str, Any]) -> dict[str, Any]:
        first, _, *others = page["_items"]
        return {"_items": [first, first, *others], "_meta": {"page": int(received.query["page"])}}

    honest = (await ask(http, sandbox, f"/{PAYMENTS}?page=1"))[2]
    sandbox.override(page=lie)
    _, headers, page = await ask(http, sandbox, f"/{PAYMENTS}?page=1")
    assert page == {"_items": [honest["_items"][0], *honest["_items"][:1], *honest["_items"][2:]], "_meta": {"page": 1}}
    assert "X-Total-Count" not in headers
    sandbox.override()
    assert (await ask(http, sandbox, f"/{PAYMENTS}?page=1"))[2] == honest


async def test_a_false_total_is_false_in_the_header_too(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """The header that repeats the total repeats the false one."""
    sandbox.override(page=lambda _, page: page | {"_meta": page["_meta"] | {"total": 99}})
    _, headers, page = await ask(http, sandbox)
    assert (headers["X-Total-Count"], page["_meta"]["total"]) == ("99", 99)


async def test_a_query_can_be_carried_out_as_another(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """A server that ignores part of a query is one that carries out another; the journal has the true one."""

    def forget_filter(received: ReceivedRequest) -> Mapping[str, str]:
        return {name: value for name, value in received.query.items() if name != "where"}

    nobody = f'/{PAYMENTS}?where={{"_id":"{"0" * 24}"}}'
    assert (await ask(http, sandbox, nobody))[2]["_items"] == []
    sandbox.override(query=forget_filter)
    assert len((await ask(http, sandbox, nobody))[2]["_items"]) == 6
    assert "where" in sandbox.requests[-1].query


async def test_only_pages_and_queries_are_falsified(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """A single record, an error and the exchange of a token stay as they are."""
    sandbox.override(query=lambda _: {"max_results": "1"}, page=lambda _, page: page | {"_items": []})
    row_id = sandbox.rows(PAYMENTS)[0]["_id"]
    assert (await ask(http, sandbox, f"/{PAYMENTS}/{row_id}"))[2]["_id"] == row_id
    assert (await ask(http, sandbox, "/nowhere"))[2]["_error"]["code"] == 404
    assert (await ask(http, sandbox, "/authenticates/api-code"))[0] == 401
    assert (await ask(http, sandbox))[2]["_items"] == []


@pytest.mark.parametrize("fault", [None, Fault.unavailable(), Fault(status=500), Fault.too_many_requests()])
async def test_every_answer_tells_the_sandboxes_time(
    http: aiohttp.ClientSession, sandbox: Sandbox, fault: Fault | None
) -> None:
    """`Date` is the clock that was given, not the system's, on errors too."""
    if fault is not None:
        sandbox.fail(fault)
    assert (await ask(http, sandbox))[1].getall("Date") == ["Sun, 15 Jun 2025 15:06:40 GMT"]


async def test_an_answer_cut_off_tells_the_time_too(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """The head of an answer whose body is cut off is whole."""
    sandbox.fail(Fault(cut=0))
    async with http.get(f"{sandbox.url}/{PAYMENTS}") as response:
        assert response.headers["Date"] == "Sun, 15 Jun 2025 15:06:40 GMT"


async def test_a_fault_may_tell_another_time(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """A gateway whose clock is wrong can be played."""
    sandbox.fail(Fault(headers={"Date": "Sun, 15 Jun 2025 00:00:00 GMT"}))
    assert (await ask(http, sandbox))[1].getall("Date") == ["Sun, 15 Jun 2025 00:00:00 GMT"]


async def test_the_time_on_an_answer_is_that_of_its_sending(http: aiohttp.ClientSession) -> None:
    """What happens while a request is carried out lies before the time on its answer."""
    now = [NOW]
    async with Sandbox(**SMALL | {"clock": lambda: now[0]}) as sandbox:
        sandbox.before_each_request(lambda _: now.append(now.pop() + 60))
        assert (await ask(http, sandbox))[1]["Date"] == "Sun, 15 Jun 2025 15:07:40 GMT"
