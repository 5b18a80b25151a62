"""Streaming against the sandbox: requests made, order, concurrency, leaving early."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from amili_async import AmiliClient, PayoutSpecification, RateLimit, RetryPolicy, Stream, Timestamp, field
from amili_async.errors import ClientClosed
from amili_async.events import Event, PageReceived, StreamDrifted
from amili_async.sandbox import AMILI_LIMITS, Fault, Sandbox
from tests.support import internals
from tests.support.clocks import GUARD, settle
from tests.support.leaving_early import WAYS, assert_nothing_is_left, hold_a_while, hold_until
from tests.support.starting import Connect, StartSandbox

SPECIFICATIONS = "finance--payout-specifications"


def count_pages(sandbox: Sandbox) -> int:
    return sum(request.path == f"/{SPECIFICATIONS}" for request in sandbox.requests)


async def test_five_thousand_records_cost_fifty_requests_and_one_for_the_token(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A whole stream costs one request per page and one token request, and delivers every row once."""
    sandbox = await start_sandbox(specifications=5000)
    amili = await connect(sandbox)
    ids = [record.id async for record in amili.payout_specifications.stream()]
    assert len(sandbox.requests) == 51
    assert ids == sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))


async def test_records_are_delivered_in_the_order_of_the_sort(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Two sort keys, one of them descending, hold across pages, and ties are broken by id."""
    sandbox = await start_sandbox(specifications=1000)
    amili = await connect(sandbox)
    stream = amili.payout_specifications.stream(sort="-booking_date,article", page_size=17)
    keys = [
        (-record.booking_date.timestamp() if record.booking_date else 0, record.article or "", record.id)
        async for record in stream
    ]
    assert len(keys) == 1000
    assert keys == sorted(keys)


async def test_never_more_in_flight_than_the_concurrency(start_sandbox: StartSandbox, connect: Connect) -> None:
    """With concurrency=8 the server never has more than eight requests open, and does have eight."""
    sandbox = await start_sandbox(specifications=5000)
    amili = await connect(sandbox, auth=sandbox.token())
    hold_until(sandbox, 8, after=1)
    await amili.payout_specifications.stream(concurrency=8).collect()
    assert sandbox.most_in_flight == 8


async def test_the_default_rate_limit_never_causes_a_429(
    start_sandbox: StartSandbox, connect: Connect, clock: Any
) -> None:
    """A server that enforces 100 requests a minute and 10 a second rejects none of 250 pages."""
    sandbox = await start_sandbox(specifications=5000, rate_limit=AMILI_LIMITS)
    amili = await connect(sandbox, rate_limit=RateLimit())
    began = clock.now()
    records = await amili.payout_specifications.stream(page_size=20).collect()
    assert len(records) == 5000
    assert {request.status for request in sandbox.requests} == {200}
    assert len(sandbox.requests) == 251
    assert clock.now() - began >= 120


async def test_breaking_at_the_first_record_costs_at_most_three_pages(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A consumer that takes one record does not use up the rate limit."""
    sandbox = await start_sandbox(specifications=5000)
    amili = await connect(sandbox)
    async for record in amili.payout_specifications.stream():
        await settle(500)
        assert record.id
        break
    assert count_pages(sandbox) <= 3


async def test_max_items_costs_only_the_pages_it_needs(start_sandbox: StartSandbox, connect: Connect) -> None:
    """150 records cost two pages; five cost one short page."""
    sandbox = await start_sandbox(specifications=5000)
    amili = await connect(sandbox)
    assert len([record async for record in amili.payout_specifications.stream(max_items=150)]) == 150
    assert count_pages(sandbox) == 2
    sandbox.requests.clear()
    assert len(await amili.payout_specifications.stream(max_items=5).collect()) == 5
    assert [request.query["max_results"] for request in sandbox.requests] == ["5"]


async def test_first_requests_one_record(start_sandbox: StartSandbox, connect: Connect) -> None:
    """first() is one request for one record, and returns `None` if nothing matches."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    stream = amili.payout_specifications.stream(sort="-created")
    first = await stream.first()
    assert first is not None
    assert stream.total == 250
    assert sandbox.requests[-1].query["max_results"] == "1"
    assert await amili.payout_specifications.stream(field("article") == "nothing").first() is None


async def test_nothing_is_sent_before_iteration(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Creating a stream sends nothing."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    amili.payout_specifications.stream()
    await settle(100)
    assert sandbox.requests == []


async def leave_by_closing_the_stream(stream: Stream[Any], amili: AmiliClient) -> None:
    async with stream:
        pages = stream.pages()
        await anext(pages)
    with pytest.raises(ClientClosed):
        await anext(pages)


async def leave_by_closing_the_stream_and_being_cancelled(stream: Stream[Any], amili: AmiliClient) -> None:
    iterations = [stream.pages() for _ in range(3)]
    for pages in iterations:
        await anext(pages)
    closing = asyncio.create_task(stream.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    for pages in iterations:
        with pytest.raises(ClientClosed):
            await anext(pages)


@pytest.mark.parametrize("leave", [*WAYS, leave_by_closing_the_stream, leave_by_closing_the_stream_and_being_cancelled])
async def test_leaving_early_leaves_nothing_behind(
    leave: Callable[[Stream[Any], AmiliClient], Awaitable[None]], start_sandbox: StartSandbox, connect: Connect
) -> None:
    """In every way of leaving, no task, no open request and no warning remains, and the client still works."""
    sandbox = await start_sandbox(specifications=5000)
    internals.hold_responses(sandbox, hold_a_while)
    amili = await connect(sandbox)
    await amili.auth.get_valid_token()
    stream = amili.payout_specifications.stream()
    await leave(stream, amili)
    assert count_pages(sandbox) >= 1
    await assert_nothing_is_left(amili, sandbox)
    assert await amili.payouts.count() == 5


async def test_a_token_revoked_with_eight_pages_in_flight_costs_one_refresh(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Eight rejected pages share one new token, and every row is still delivered once and in order."""
    sandbox = await start_sandbox(specifications=5000)
    internals.hold_responses(sandbox, hold_a_while)
    amili = await connect(sandbox, concurrency=8)
    ids = []
    async for record in amili.payout_specifications.stream():
        ids.append(record.id)
        if len(ids) == 1500:
            async with asyncio.timeout(GUARD):
                while sandbox.in_flight < 8:  # noqa: ASYNC110 - a server has no event for that
                    await asyncio.sleep(0)
            sandbox.revoke_tokens()
    rejected = sum(request.status == 401 for request in sandbox.requests)
    tokens = sum(request.path == "/authenticates/api-code" for request in sandbox.requests)
    assert rejected == 8
    assert tokens == 2
    assert len(sandbox.requests) == 50 + 2 + rejected
    assert ids == sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))


async def test_a_page_that_fails_is_requested_again(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A reset, a truncated body, a 503 and a 429 during a stream lose and repeat no row."""
    sandbox = await start_sandbox(specifications=1000)
    amili = await connect(sandbox)
    for place, fault in enumerate(
        [Fault(reset="before"), Fault(cut=50), Fault.unavailable(), Fault.too_many_requests(retry_after=3)]
    ):
        sandbox.fail(fault, path=SPECIFICATIONS, after=place * 2)
    ids = [record.id async for record in amili.payout_specifications.stream(page_size=50)]
    assert ids == sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))


async def test_rows_inserted_while_paging_are_drift(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A row inserted on an earlier page shifts the later ones: the stream has drifted, and the event has the reason."""
    events: list[Event] = []
    sandbox = await start_sandbox(specifications=500)
    amili = await connect(sandbox, observers=[events.append])
    stream = amili.payout_specifications.stream(sort="-_created", concurrency=1)
    async for page in stream.pages():
        if page.number == 1:
            sandbox.insert(SPECIFICATIONS, {"article": "capital"})
    assert stream.drifted
    assert [event for event in events if isinstance(event, StreamDrifted)] == [
        StreamDrifted(path=SPECIFICATIONS, page=2, reason=reason) for reason in ("total", "repeated")
    ]


async def test_a_stream_of_unchanged_rows_has_not_drifted(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Without changes no drift is reported; observers get an event for each page as it is consumed."""
    events: list[Event] = []
    sandbox = await start_sandbox()
    amili = await connect(sandbox, observers=[events.append])
    stream = amili.payout_specifications.stream()
    await stream.collect()
    assert not stream.drifted
    assert [event for event in events if isinstance(event, PageReceived)] == [
        PageReceived(path=SPECIFICATIONS, number=number, items=items, total=250)
        for number, items in ((1, 100), (2, 100), (3, 50))
    ]


class Line(msgspec.Struct):
    """The fields of a specification that a report needs."""

    id: str
    total_amount: Decimal
    booking_date: datetime | None = None


class FastLine(msgspec.Struct, frozen=True):
    """The same fields, in a struct that is decoded directly."""

    total_amount: Decimal
    booking_date: Timestamp | None = None


async def test_into_makes_the_fields_the_projection(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Only the fields of the struct are requested, and the records are of exactly that type."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    full = await amili.payout_specifications.stream().collect()
    lines = await amili.payout_specifications.stream(into=Line).collect()
    assert msgspec.json.decode(sandbox.requests[-1].query["projection"]) == {
        "_id": 1,
        "total_amount": 1,
        "booking_date": 1,
    }
    assert [(line.id, line.total_amount) for line in lines] == [(record.id, record.total_amount) for record in full]
    assert {type(line) for line in lines} == {Line}
    dates = [line.booking_date for line in lines if line.booking_date]
    assert dates
    assert all(date.tzinfo is UTC for date in dates)
    fast = await amili.payout_specifications.stream(into=FastLine).collect()
    assert [line.booking_date for line in fast] == [line.booking_date for line in lines]


async def test_into_dict_has_every_field_with_exact_money(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A dict has the API's own names, unknown fields included, and contains no float."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    records: list[dict[str, Any]] = await amili.payout_specifications.stream(into=dict).collect()
    known = {each.encode_name for each in msgspec.structs.fields(PayoutSpecification)}
    assert any(set(record) - known for record in records)
    assert not any(isinstance(value, float) for record in records for value in record.values())
    assert sorted(sandbox.rows(SPECIFICATIONS), key=lambda row: str(row["_id"])) == records


async def test_each_iteration_begins_at_the_first_page(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A stream can be iterated again, and from two tasks at once, each from its first page."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    stream = amili.payout_specifications.stream()
    both = await asyncio.gather(stream.collect(), stream.collect())
    assert both[0] == both[1]
    assert count_pages(sandbox) == 6


async def test_one_payouts_specifications_add_up(start_sandbox: StartSandbox, connect: Connect) -> None:
    """payouts.specifications takes a payout or its id, and further conditions, and delivers its specifications."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    payout = await amili.payouts.stream().first()
    assert payout is not None
    lines = await amili.payouts.specifications(payout).collect()
    assert sum(line.total_amount for line in lines if line.total_amount) == payout.total_amount
    assert {line.payout for line in lines} == {payout.id}
    assert lines == await amili.payouts.specifications(payout.id.upper()).collect()
    large = await amili.payouts.specifications(payout.id, field("amount") > 1000, sort="-amount").collect()
    assert large == sorted(
        (line for line in lines if line.amount and line.amount > 1000), key=lambda line: (-(line.amount or 0), line.id)
    )


async def test_a_stream_through_a_server_that_fails_one_request_in_ten_is_whole(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Half a document, a gateway's HTML and a 503 each cost an attempt, and no row."""
    sandbox = await start_sandbox(specifications=5000)
    amili = await connect(sandbox, auth=sandbox.token(), retry=RetryPolicy(attempts=6))  # one more than faults
    html = Fault(status=200, body="<html>try later</html>")
    for after, fault in zip(range(5, 50, 10), (html, Fault.unavailable(), html, Fault(cut=200), html), strict=True):
        sandbox.fail(fault, after=after, path="finance--payout-specifications")
    ids = [record.id async for record in amili.payout_specifications.stream()]
    assert ids == sorted(row["_id"] for row in sandbox.rows("finance--payout-specifications"))
