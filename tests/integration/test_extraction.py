"""Extraction against the sandbox: cost, delivery, unusual servers, checkpoints, interruptions and progress."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from math import ceil
from typing import Any

import msgspec
import pytest

from amili_async import AmiliClient, RateLimit, RetryPolicy, Timestamp, field
from amili_async.conditions import Where
from amili_async.errors import (
    AmiliError,
    ConfigurationError,
    ExtractionInterrupted,
    ServerFault,
    UnreadableResponse,
)
from amili_async.events import Event, PageReceived
from amili_async.extraction import Checkpoint, Extraction, Verdict
from amili_async.sandbox import Fault, ReceivedRequest
from tests.support import internals
from tests.support.clocks import HastyClock, happens, settle
from tests.support.exhaustive import sampled
from tests.support.leaving_early import WAYS, assert_nothing_is_left, hold_a_while
from tests.support.rows import (
    SPECIFICATIONS,
    count_pages,
    crowd_a_month,
    crowd_a_second,
    fill,
    make_id,
    spread_evenly,
)
from tests.support.starting import Connect, StartSandbox

DISTRIBUTIONS = [spread_evenly, crowd_a_month, crowd_a_second]


async def read_all(extraction: Extraction[Any], *, into: list[str] | None = None) -> list[str]:
    """The ids of all records that are left; *into* is a list that keeps them if the extraction fails."""
    taken = [] if into is None else into
    async for record in extraction:
        taken.append(record.id)
    return taken


async def leave_after(extraction: Extraction[Any], count: int) -> list[str]:
    """The records taken before the iteration is left; the record of the loop body does not count as taken."""
    taken: list[str] = []
    async with aclosing(aiter(extraction)) as records:
        async for record in records:
            if len(taken) == count:
                break
            taken.append(record.id)
    return taken


# What it costs


@sampled("count, distribute", list(product([0, 1, 99, 100, 101, 250, 1000, 5000], DISTRIBUTIONS)))
async def test_it_costs_one_request_per_page_and_few_more(
    distribute: Callable[[int], list[str]], count: int, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Unchanged rows cost one request per hundred, plus at most two, plus one per part, however old they are."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, distribute(count))
    amili = await connect(sandbox)
    for parts in (None, 1, 4, 8):
        sandbox.requests.clear()
        extraction = amili.payout_specifications.extract(parts=parts)
        assert sorted(await read_all(extraction)) == ids
        assert count_pages(sandbox) <= ceil(count / 100) + 2 + (parts or 10)
        assert extraction.manifest.requests == count_pages(sandbox)
        assert (extraction.rows, extraction.total) == (count, count)
        assert extraction.manifest.verdict is Verdict.COMPLETE


async def test_nothing_is_sent_before_iteration(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Creating an extraction sends nothing, and its counts are not known yet."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    extraction = amili.payout_specifications.extract()
    await settle(100)
    assert sandbox.requests == []
    assert (extraction.rows, extraction.total, extraction.checkpoint.is_finished) == (0, None, False)
    assert extraction.manifest.verdict is Verdict.PARTIAL
    await extraction.aclose()


@pytest.mark.parametrize("distribute", DISTRIBUTIONS)
async def test_no_worker_is_idle(
    distribute: Callable[[int], list[str]], start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Exactly as many requests are in flight as the concurrency allows, even if one month has all rows."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, distribute(6000))
    in_flight: list[int] = []
    answering = asyncio.Lock()

    async def respond_once_all_are_sent() -> None:
        async with answering:
            # At least sixty pages are requested: after the first response and before the last sixteen no worker has
            # a reason to be idle, however long the machine takes to open its connections.
            if 0 < len(in_flight) < 60 - 16:
                await happens(lambda: sandbox.in_flight == 8)
            else:
                await settle(100)
            in_flight.append(sandbox.in_flight)

    internals.hold_responses(sandbox, respond_once_all_are_sent)
    amili = await connect(sandbox, concurrency=8, auth=sandbox.token())
    assert sorted(await read_all(amili.payout_specifications.extract())) == ids
    assert sandbox.most_in_flight == 8
    assert min(in_flight[1 : 60 - 16]) == 8


async def test_a_slow_consumer_stops_the_fetching(start_sandbox: StartSandbox, connect: Connect) -> None:
    """While a consumer keeps a batch, at most three pages per allowed request are fetched ahead."""
    sandbox = await start_sandbox(specifications=0)
    fill(sandbox, spread_evenly(10_000))
    amili = await connect(sandbox, concurrency=4)
    async with aclosing(amili.payout_specifications.extract().batches()) as batches:
        await anext(batches)
        await settle(500)
        waiting = count_pages(sandbox)
        assert waiting <= 3 * 4 + 1
        for taken in range(1, 20):
            await anext(batches)
            await settle(100)
            assert count_pages(sandbox) <= 3 * 4 + 1 + taken


# What is delivered


@pytest.mark.parametrize("distribute", DISTRIBUTIONS)
async def test_batches_are_ranges_of_ids(
    distribute: Callable[[int], list[str]], start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A batch is a page, never empty, sorted by id, and no other batch has an id between its first and its last."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, distribute(2345))
    amili = await connect(sandbox)
    async with aclosing(amili.payout_specifications.extract().batches()) as batches:
        found = [[record.id for record in batch] async for batch in batches]
    assert all(1 <= len(batch) <= 100 and batch == sorted(batch) for batch in found)
    assert [row_id for batch in sorted(found) for row_id in batch] == ids


async def test_only_rows_that_match_are_delivered(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A filter is combined with the ranges, including filters on ids and filters with alternatives."""
    sandbox = await start_sandbox(specifications=1500)
    amili = await connect(sandbox)
    rows = sandbox.rows(SPECIFICATIONS)
    middle = sorted(row["_id"] for row in rows)[700]
    cases: list[tuple[Where, Callable[[dict[str, Any]], bool]]] = [
        (field("article") == "capital", lambda row: row["article"] == "capital"),
        (field("id") >= middle, lambda row: row["_id"] >= middle),
        ({"_id": {"$in": [middle]}}, lambda row: row["_id"] == middle),
        (
            (field("state") == "reminder") | (field("amount") > 1000),
            lambda row: row.get("state") == "reminder" or row["amount"] > 1000,
        ),
    ]
    for where, matches in cases:
        extraction = amili.payout_specifications.extract(where)
        assert sorted(await read_all(extraction)) == sorted(row["_id"] for row in rows if matches(row))
        assert extraction.manifest.verdict is Verdict.COMPLETE


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
async def test_rows_made_after_the_bound_are_left_for_the_next_extraction(
    ahead: float, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """The bound is ten seconds before the earlier of both clocks; newer rows are counted, not delivered."""
    sandbox = await start_sandbox(specifications=0, clock=lambda: clock.wall() + ahead)
    now = int(clock.wall() + min(ahead, 0))
    old = fill(sandbox, [make_id(now - 60, 1), make_id(now - 11, 1), *spread_evenly(300)])
    fill(sandbox, [make_id(now - 5, 1), make_id(now - 5, 2), make_id(now, 1)])
    amili = await connect(sandbox, auth=sandbox.token())
    extraction = amili.payout_specifications.extract()
    assert sorted(await read_all(extraction)) == sorted(old)
    manifest = extraction.manifest
    assert (manifest.count_past_bound, manifest.count_before, manifest.count_after, manifest.rows) == (3, 302, 302, 302)
    assert manifest.verdict is Verdict.COMPLETE
    bound = manifest.bound
    assert bound is not None
    assert abs(bound - datetime.fromtimestamp(now - 10, UTC)) <= timedelta(seconds=2)


@pytest.mark.parametrize("ahead", [2 * 86_400.0, -2 * 86_400.0, -1_700_000_000.0])
async def test_clocks_that_are_days_apart_raise(
    ahead: float, start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """If it is not known which records are too new, nothing is delivered, and the error states why."""
    sandbox = await start_sandbox(clock=lambda: clock.wall() + ahead)
    amili = await connect(sandbox, auth=sandbox.token())
    with pytest.raises(UnreadableResponse, match="differs from this machine's clock by more than a day"):
        await read_all(amili.payout_specifications.extract())


class Line(msgspec.Struct):
    """The fields that a report needs."""

    total_amount: Decimal | None = None
    booking_date: datetime | None = None


class FastLine(msgspec.Struct, frozen=True):
    """The same fields and the id, in a struct that is decoded directly."""

    id: str
    total_amount: Decimal | None = None
    booking_date: Timestamp | None = None


async def test_into_a_struct_or_a_dict(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A struct needs no id; a dict has every field; in each form every record is delivered once."""
    sandbox = await start_sandbox(specifications=550)
    amili = await connect(sandbox)
    rows = {row["_id"]: row for row in sandbox.rows(SPECIFICATIONS)}
    lines = [line async for line in amili.payout_specifications.extract(into=Line)]
    assert {type(line) for line in lines} == {Line}
    assert sorted(line.total_amount or 0 for line in lines) == sorted(row["total_amount"] for row in rows.values())
    assert all(line.booking_date.tzinfo is UTC for line in lines if line.booking_date)
    fast = [line async for line in amili.payout_specifications.extract(into=FastLine)]
    assert {line.id: line.total_amount for line in fast} == {each: rows[each]["total_amount"] for each in rows}
    found: list[dict[str, Any]] = [record async for record in amili.payout_specifications.extract(into=dict)]
    assert {record["_id"]: record for record in found} == rows
    some: list[dict[str, Any]] = [
        record async for record in amili.payout_specifications.extract(into=dict, projection=["amount"])
    ]
    assert sorted(record["amount"] for record in some) == sorted(row["amount"] for row in rows.values())


async def test_every_resource_can_be_extracted(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Payouts and payments can be extracted too."""
    sandbox = await start_sandbox(payouts=120, payments=130)
    amili = await connect(sandbox)
    payouts = amili.payouts.extract()
    payments = amili.creditor_payments.extract()
    assert len(await read_all(payouts)) == 120
    assert len(await read_all(payments)) == 130
    assert payouts.manifest.resource == payouts.checkpoint.resource == amili.payouts.path == "finance--payouts"
    assert payments.manifest.resource == amili.creditor_payments.path == "creditor--payments"


# Unusual servers


def without(*names: str) -> Callable[[ReceivedRequest, dict[str, Any]], dict[str, Any]]:
    """Remove these counts from a page."""
    return lambda _, page: page | {"_meta": {key: each for key, each in page["_meta"].items() if key not in names}}


@pytest.mark.parametrize("names", [("total",), ("total", "max_results"), ("max_results",)])
@pytest.mark.parametrize("distribute", DISTRIBUTIONS)
async def test_a_server_without_totals(
    distribute: Callable[[int], list[str]], names: tuple[str, ...], start_sandbox: StartSandbox, connect: Connect
) -> None:
    """If the server does not count, every row is still delivered once, with few more requests."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, distribute(1500))
    amili = await connect(sandbox)
    sandbox.override(page=without(*names))
    extraction = amili.payout_specifications.extract()
    assert sorted(await read_all(extraction)) == ids
    assert count_pages(sandbox) <= 15 + 2 + 3 * 10
    if "total" in names:
        manifest = extraction.manifest
        assert (extraction.total, manifest.count_before, manifest.count_after) == (None, None, None)


async def test_a_server_without_meta(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Without `_meta` every row is delivered once."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(750))
    amili = await connect(sandbox)
    sandbox.override(page=lambda _, page: {"_items": page["_items"]})
    assert sorted(await read_all(amili.payout_specifications.extract())) == ids


@pytest.mark.parametrize("reports_size", [True, False])
@pytest.mark.parametrize("distribute", DISTRIBUTIONS)
async def test_a_server_that_puts_fewer_rows_on_a_page(
    distribute: Callable[[int], list[str]], reports_size: bool, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A page size that is clamped, reported or not, costs requests, not rows."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, distribute(700))
    amili = await connect(sandbox)

    def show(_: ReceivedRequest, page: dict[str, Any]) -> dict[str, Any]:
        return page if reports_size else page | {"_meta": page["_meta"] | {"max_results": 100}}

    sandbox.override(
        query=lambda received: {**received.query, "max_results": str(min(25, int(received.query["max_results"])))},
        page=show,
    )
    extraction = amili.payout_specifications.extract()
    assert sorted(await read_all(extraction)) == ids
    assert extraction.manifest.verdict is Verdict.COMPLETE
    assert count_pages(sandbox) <= 28 + 2 + 10


def ignore_ranges(received: ReceivedRequest) -> dict[str, str]:
    return {name: text for name, text in received.query.items() if name != "where"}


def match_nothing(received: ReceivedRequest) -> dict[str, str]:
    has_range = "_id" in received.query.get("where", "")
    return {**received.query, **({"where": '{"_id": 5}'} if has_range else {})}


def ignore_sort(received: ReceivedRequest) -> dict[str, str]:
    return {name: text for name, text in received.query.items() if name != "sort"}


def sort_descending(received: ReceivedRequest) -> dict[str, str]:
    return {**received.query, "sort": "-_id"}


@pytest.mark.parametrize("count", [150, 1000, 5000])
@pytest.mark.parametrize("defect", [ignore_ranges, match_nothing, ignore_sort, sort_descending])
async def test_a_server_that_ignores_ranges_raises(
    defect: Callable[[ReceivedRequest], dict[str, str]], count: int, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Before the first record is delivered, an error recommends stream()."""
    sandbox = await start_sandbox(specifications=count)
    amili = await connect(sandbox)
    sandbox.override(query=defect)
    extraction = amili.payout_specifications.extract()
    with pytest.raises(AmiliError, match=r"_id.*stream\(\)"):
        await anext(aiter(extraction))
    assert extraction.rows == 0
    assert extraction.manifest.verdict is Verdict.PARTIAL
    assert count_pages(sandbox) <= 1 + 10 + 1 + 2 * 3  # one of the ten is empty, and is requested again


async def test_a_server_that_ignores_page_numbers_loses_nothing(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Page numbers only decide where ranges are split: if they are ignored, each row is still delivered once."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(1000))
    amili = await connect(sandbox)
    sandbox.override(query=lambda received: {**received.query, "page": "1"})
    extraction = amili.payout_specifications.extract()
    assert sorted(await read_all(extraction)) == ids


# Checkpoints and resuming


async def test_a_checkpoint_covers_exactly_what_was_taken(start_sandbox: StartSandbox, connect: Connect) -> None:
    """In the body of the loop a checkpoint covers exactly the records before the current one."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(420))
    amili = await connect(sandbox, concurrency=3)
    for count in (0, 1, 50, 99, 100, 101, 333, 419):
        extraction = amili.payout_specifications.extract()
        taken = await leave_after(extraction, count)
        assert len(taken) == extraction.rows == count
        checkpoint = Checkpoint.from_json(extraction.checkpoint.to_json())
        assert not checkpoint.is_finished
        rest = amili.payout_specifications.extract(checkpoint=checkpoint)
        assert sorted(taken + await read_all(rest)) == ids
        assert rest.rows == 420
        assert rest.checkpoint.is_finished


async def test_a_checkpoint_covers_batches_too(start_sandbox: StartSandbox, connect: Connect) -> None:
    """In the body of a loop over batches a checkpoint covers exactly the batches before the current one."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, crowd_a_month(1000))
    amili = await connect(sandbox)
    extraction = amili.payout_specifications.extract()
    taken: list[str] = []
    checkpoints: list[tuple[int, str]] = []
    async with aclosing(extraction.batches()) as batches:
        async for batch in batches:
            checkpoints.append((len(taken), extraction.checkpoint.to_json()))
            assert extraction.rows == len(taken)
            taken += [record.id for record in batch]
    for count, checkpoint in checkpoints:
        rest = amili.payout_specifications.extract(checkpoint=Checkpoint.from_json(checkpoint.encode()))
        assert sorted(taken[:count] + await read_all(rest)) == ids


async def test_resuming_repeats_only_what_was_not_taken(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Resuming costs one request per hundred rows left, one per range left, and few more."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(5000))
    amili = await connect(sandbox, concurrency=4)
    for count in (50, 1234, 2500, 4990):
        extraction = amili.payout_specifications.extract()
        taken = await leave_after(extraction, count)
        sandbox.requests.clear()
        rest = amili.payout_specifications.extract(checkpoint=extraction.checkpoint)
        assert sorted(taken + await read_all(rest)) == ids
        assert count_pages(sandbox) <= ceil((5000 - count) / 100) + 2 + 2 * 4


async def test_resuming_a_finished_extraction_sends_nothing(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A finished checkpoint has nothing left, and its manifest stays unchanged."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    extraction = amili.payout_specifications.extract()
    await read_all(extraction)
    sandbox.requests.clear()
    again = amili.payout_specifications.extract(checkpoint=extraction.checkpoint)
    assert await read_all(again) == []
    assert await read_all(extraction) == []
    assert count_pages(sandbox) == 0
    assert (again.rows, again.checkpoint.is_finished) == (250, True)
    assert again.manifest.verdict is Verdict.COMPLETE


async def test_a_resumed_extraction_keeps_its_bound(
    start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """Rows created between leaving and resuming are left for the next extraction."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(400))
    amili = await connect(sandbox)
    extraction = amili.payout_specifications.extract()
    taken = await leave_after(extraction, 150)
    created = sandbox.insert(SPECIFICATIONS, {"amount": 1})
    await clock.move(3600)
    rest = amili.payout_specifications.extract(checkpoint=extraction.checkpoint)
    found = await read_all(rest)
    assert sorted(taken + found) == ids
    assert created not in found
    assert rest.manifest.bound == extraction.manifest.bound == rest.checkpoint.bound
    assert rest.manifest.verdict is Verdict.COMPLETE


async def test_a_checkpoint_is_small_and_shows_no_contents(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A few hundred bytes per range, however much was taken, without a filter's value or a record's contents."""
    sandbox = await start_sandbox(specifications=0)
    fill(sandbox, crowd_a_month(5000))
    amili = await connect(sandbox, concurrency=8)
    where = (field("article") == "capital") & (field("reference_number") != "canary-4711")
    extraction = amili.payout_specifications.extract(where)
    sizes = []
    async with aclosing(extraction.batches()) as batches:
        async for _ in batches:
            text = extraction.checkpoint.to_json()
            sizes.append(len(text))
            assert "canary" not in text
            assert "capital" not in text
    assert max(sizes) <= 300 * (8 + 2)
    assert "canary" not in repr(extraction) + repr(extraction.checkpoint) + repr(extraction.manifest)
    assert "canary" not in extraction.manifest.to_json()


async def test_a_checkpoint_of_something_else_raises(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Another filter, resource or version, and JSON that is no checkpoint, raise before anything is sent."""
    sandbox = await start_sandbox()
    amili = await connect(sandbox)
    where = field("article") == "capital"
    extraction = amili.payout_specifications.extract(where)
    await leave_after(extraction, 10)
    sandbox.requests.clear()
    checkpoint = extraction.checkpoint
    for other in (None, field("article") == "reminder", {"article": "capital", "amount": 1}):
        with pytest.raises(ConfigurationError, match="filter"):
            amili.payout_specifications.extract(other, checkpoint=checkpoint)
    with pytest.raises(ConfigurationError, match="finance--payout-specifications"):
        amili.payouts.extract(where, checkpoint=checkpoint)
    fields = msgspec.json.decode(checkpoint.to_json())
    assert "version" in fields
    for text in (
        msgspec.json.encode(fields | {"version": 99}),
        b"",
        b"[]",
        b"{}",
        b"null",
        checkpoint.to_json()[:-20],
        extraction.manifest.to_json(),
    ):
        with pytest.raises(ConfigurationError):
            Checkpoint.from_json(text)
    assert sandbox.requests == []
    equal = amili.payout_specifications.extract({"article": {"$eq": "capital"}}, checkpoint=None)
    assert equal.checkpoint.resource == SPECIFICATIONS


# Interruptions


async def test_iterating_again_resumes(start_sandbox: StartSandbox, connect: Connect) -> None:
    """After a break the next loop delivers the rest; together they deliver everything."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(700))
    amili = await connect(sandbox)
    extraction = amili.payout_specifications.extract()
    taken = []
    for count in (0, 1, 120, 300):
        taken += await leave_after(extraction, count)
    assert sorted(taken + await read_all(extraction)) == ids
    assert extraction.manifest.verdict is Verdict.COMPLETE
    assert extraction.manifest.rows == 700


async def test_an_outage_interrupts_and_carries_the_checkpoint(start_sandbox: StartSandbox, connect: Connect) -> None:
    """When the retries are used up, the error has a checkpoint; resuming from it completes the set."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(2000))
    amili = await connect(sandbox, retry=RetryPolicy(attempts=2), concurrency=3)
    extraction = amili.payout_specifications.extract()
    taken: list[str] = []

    async def read() -> None:
        async for record in extraction:
            taken.append(record.id)
            if len(taken) == 350:
                sandbox.fail(Fault.unavailable(), times=None)

    with pytest.raises(ExtractionInterrupted) as caught:
        await read()
    assert isinstance(caught.value.__cause__, ServerFault)
    assert extraction.manifest.verdict is Verdict.PARTIAL
    sandbox.stop_failing()
    checkpoint = caught.value.checkpoint
    assert checkpoint == extraction.checkpoint
    rest = amili.payout_specifications.extract(checkpoint=Checkpoint.from_json(checkpoint.to_json()))
    assert sorted(taken + await read_all(rest)) == ids
    assert 350 <= len(taken) < 2000


async def test_an_interrupted_extraction_resumes_when_iterated_again(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """The same extraction can be iterated again after the outage."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(1000))
    amili = await connect(sandbox, retry=RetryPolicy(attempts=1))
    extraction = amili.payout_specifications.extract()
    taken: list[str] = []

    for after in (3, 2):
        sandbox.fail(Fault.unavailable(), path=SPECIFICATIONS, after=after)
        with pytest.raises(ExtractionInterrupted):
            await read_all(extraction, into=taken)
    await read_all(extraction, into=taken)
    assert sorted(taken) == ids


async def test_a_row_that_cannot_be_decoded_is_named(start_sandbox: StartSandbox, connect: Connect) -> None:
    """The error names the row and not its contents; once the row is fixed, resuming completes the set."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(1000))
    for bad in (ids[130], ids[230], ids[555], ids[-1]):
        sandbox.update(SPECIFICATIONS, bad, {"amount": {"canary": "4711"}})
        amili = await connect(sandbox, concurrency=3)
        taken: list[str] = []

        with pytest.raises(ExtractionInterrupted) as caught:
            await read_all(amili.payout_specifications.extract(), into=taken)
        cause = caught.value.__cause__
        assert isinstance(cause, UnreadableResponse)
        assert cause.record_id == bad
        assert bad in str(caught.value)
        assert "canary" not in str(caught.value) + str(cause)
        assert bad not in taken
        sandbox.update(SPECIFICATIONS, bad, {"amount": 1})
        rest = await read_all(amili.payout_specifications.extract(checkpoint=caught.value.checkpoint))
        assert sorted(taken + rest) == ids


async def test_a_row_on_the_first_page_that_cannot_be_decoded_is_named(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """On the first page there is no checkpoint yet, so the plain error is raised."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(300))
    for bad in (ids[0], ids[30]):
        sandbox.update(SPECIFICATIONS, bad, {"amount": {"canary": "4711"}})
        amili = await connect(sandbox, concurrency=1)
        extraction = amili.payout_specifications.extract()
        with pytest.raises(UnreadableResponse, match=bad) as caught:
            await read_all(extraction)
        assert caught.value.record_id == bad
        sandbox.update(SPECIFICATIONS, bad, {"amount": 1})
        assert sorted(await read_all(extraction)) == ids


async def test_a_page_that_fails_is_requested_again(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A reset, a truncated body, a 503, a 429 and a revoked token lose and repeat no row."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(2000))
    amili = await connect(sandbox)
    faults = [Fault(reset="before"), Fault(cut=50), Fault.unavailable(), Fault.too_many_requests(), Fault(revoke=True)]
    for place, fault in enumerate(faults):
        sandbox.fail(fault, path=SPECIFICATIONS, after=place * 2)
    extraction = amili.payout_specifications.extract()
    assert sorted(await read_all(extraction)) == ids
    assert extraction.manifest.verdict is Verdict.COMPLETE


async def leave_by_closing_the_extraction(extraction: Extraction[Any], amili: AmiliClient) -> None:
    async with extraction:
        batches = extraction.batches()
        await anext(batches)
    with pytest.raises(AmiliError):
        await anext(batches)


@pytest.mark.parametrize("leave", [*WAYS, leave_by_closing_the_extraction])
async def test_leaving_early_leaves_nothing_behind(
    leave: Callable[[Extraction[Any], AmiliClient], Awaitable[None]], start_sandbox: StartSandbox, connect: Connect
) -> None:
    """In every way of leaving, no task, no open request and no warning remains, and it can be resumed."""
    sandbox = await start_sandbox(specifications=0)
    internals.hold_responses(sandbox, hold_a_while)
    ids = fill(sandbox, spread_evenly(3000))
    amili = await connect(sandbox, auth=sandbox.token())
    extraction = amili.payout_specifications.extract()
    await leave(extraction, amili)
    assert count_pages(sandbox) >= 1
    await assert_nothing_is_left(amili, sandbox)
    rest = amili.payout_specifications.extract(checkpoint=extraction.checkpoint)
    assert extraction.rows + len(await read_all(rest)) == len(ids)
    assert rest.manifest.verdict is Verdict.COMPLETE


# Progress


async def test_progress_is_reported(start_sandbox: StartSandbox, connect: Connect) -> None:
    """The total is known with the first batch, the rows rise to it, and the time left falls to zero."""
    sandbox = await start_sandbox(specifications=0)
    fill(sandbox, spread_evenly(3000))
    amili = await connect(sandbox, concurrency=2)
    extraction = amili.payout_specifications.extract()
    rows = []
    async with aclosing(extraction.batches()) as batches:
        async for _ in batches:
            assert extraction.total == 3000
            rows.append(extraction.rows)
    assert rows == sorted(rows)
    assert rows[0] == 0
    assert extraction.rows == 3000


async def test_the_time_left_follows_from_the_rate_limit(
    start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """With a hundred requests a minute, three hundred pages need some two more minutes, and a finished one none."""
    sandbox = await start_sandbox(specifications=0)
    fill(sandbox, spread_evenly(900))
    amili = await connect(sandbox, concurrency=4, page_size=3, rate_limit=RateLimit())
    extraction = amili.payout_specifications.extract()
    async with aclosing(extraction.batches()) as batches:
        left = [(clock.now(), extraction.seconds_left) async for _ in batches]
    began, ended = left[0][0], clock.now()
    known = [(now, seconds) for now, seconds in left if seconds is not None]
    assert len(known) > 250
    assert 90 <= known[0][1] <= 190
    assert all(seconds <= ended - now + 15 for now, seconds in known)
    assert known[-1][1] <= 60
    assert ended - began >= 120


async def test_observers_get_an_event_for_each_page(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Each page is reported once, under the path of the resource, numbered from 1, with its rows and the total."""
    events: list[Event] = []
    sandbox = await start_sandbox()
    amili = await connect(sandbox, observers=[events.append])
    taken = await read_all(amili.payout_specifications.extract())
    pages = [event for event in events if isinstance(event, PageReceived)]
    assert [(page.path, page.number) for page in pages] == [(SPECIFICATIONS, n + 1) for n in range(len(pages))]
    assert sum(page.items for page in pages) == len(taken) == 250
    assert pages[-1].total == 250


async def test_two_iterations_that_begin_at_once_do_not_share_an_extraction(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """One of them raises, and the other delivers every record once."""
    amili = await connect(await start_sandbox())
    extraction = amili.payout_specifications.extract()
    results = await asyncio.gather(read_all(extraction), read_all(extraction), return_exceptions=True)
    (error,) = (each for each in results if isinstance(each, BaseException))
    (taken,) = (each for each in results if not isinstance(each, BaseException))
    assert isinstance(error, ConfigurationError)
    assert "already being iterated" in str(error)
    assert len(taken) == len(set(taken)) == 250


async def test_a_closed_client_ends_an_extraction(start_sandbox: StartSandbox, connect: Connect) -> None:
    """The client owns the extraction while it is iterated, ends it when it closes, and the next page raises."""
    sandbox = await start_sandbox(specifications=2_000)
    amili = await connect(sandbox)
    async with aclosing(amili.payout_specifications.extract().batches()) as batches:
        await anext(batches)
        sandbox.fail(Fault(hang=True), times=None)
        assert sum("PartitionedScan" in repr(each) for each in internals.running_iterations(amili)) == 1
        await amili.aclose()
        with pytest.raises(ExtractionInterrupted, match="closed"):
            _ = [batch async for batch in batches]
    assert internals.running_iterations(amili) == set()


async def test_the_time_left_is_that_of_the_pages_left_and_one_count(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """The forecast is of a request per page of the rows that are left, and one more, which counts."""
    requests: list[int] = []
    amili = await connect(await start_sandbox(specifications=250), page_size=30)
    extraction = amili.payout_specifications.extract()

    def forecast(count: int) -> float:
        requests.append(count)
        return count

    internals.replace_forecast(extraction, forecast)
    assert extraction.seconds_left is None
    async with aclosing(extraction.batches()) as batches:
        async for _ in batches:
            rows = internals.rows_left(extraction)
            assert rows is not None
            assert extraction.seconds_left == requests[-1] == ceil(rows / 30) + 1
    assert requests
