"""Deliveries and handlers of a stream: its order, its checkpoint, what is rejected, failures and leaving early."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from amili_async import AmiliClient, Delivery, PayoutSpecification, Stream, StreamCheckpoint, field
from amili_async.errors import ClientClosed, ConfigurationError, DeliveryFailed, ServerFault
from amili_async.sandbox import Fault, Sandbox
from tests.support import internals
from tests.support.clocks import happens, settle
from tests.support.deliveries import fail_while_it_waits, take
from tests.support.leaving_early import WAYS, assert_nothing_is_left, hold_a_while
from tests.support.rows import BEGINNING, SPECIFICATIONS, count_pages, fill, make_id, make_row, spread_evenly
from tests.support.starting import Connect, StartSandbox

Page = Delivery[PayoutSpecification]


class NoId(msgspec.Struct):
    """Records without an id."""

    article: str


async def finish(stream: Stream[PayoutSpecification]) -> list[str]:
    """The ids in their order, each delivery done at once."""
    ids = []
    async for page in stream.deliveries():
        ids += [line.id for line in page.records]
        page.done()
    return ids


@pytest.fixture
async def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    """A sandbox with a hundred specifications."""
    sandbox = await start_sandbox(specifications=0)
    fill(sandbox, spread_evenly(100))
    return sandbox


@pytest.fixture
async def amili(sandbox: Sandbox, connect: Connect) -> AmiliClient:
    """Its client, with ten pages."""
    return await connect(sandbox, auth=sandbox.token(), page_size=10)


@pytest.mark.parametrize("sort", ["_id", "-_id", "amount", "-booking_date"])
async def test_deliveries_are_the_pages_of_the_stream(sort: str, amili: AmiliClient) -> None:
    """In its order, whatever that is."""
    records = [page.items async for page in amili.payout_specifications.stream(sort=sort).pages()]
    taken = []
    async for page in amili.payout_specifications.stream(sort=sort).deliveries():
        taken.append(page.records)
        page.done()
    assert taken == records


async def test_an_empty_list_has_no_delivery(amili: AmiliClient) -> None:
    """The iteration ends at once, and no handler is called."""
    stream = amili.payout_specifications.stream(field("article") == "nothing")
    assert await finish(stream) == []
    assert await stream.for_each(lambda _: pytest.fail("called")) == 0


@pytest.mark.parametrize("sort", ["_id", "-_id", "amount"])
async def test_each_record_is_handled_in_order(sort: str, amili: AmiliClient) -> None:
    """Handlers begin in the order of the stream; the count is returned."""
    begun: list[PayoutSpecification] = []

    async def handle(line: PayoutSpecification) -> None:
        begun.append(line)
        await settle(int(line.id[-1], 16) % 4)

    assert await amili.payout_specifications.stream(sort=sort).for_each(handle) == 100
    assert begun == await amili.payout_specifications.stream(sort=sort).collect()


async def test_max_items_ends_the_deliveries(amili: AmiliClient) -> None:
    """The last one holds what is left of the number."""
    sizes = []
    async for page in amili.payout_specifications.stream(max_items=25).deliveries():
        sizes.append(len(page.records))
        page.done()
    assert sizes == [10, 10, 5]


# The checkpoint


@pytest.mark.parametrize("sort", ["_id", "-_id", None])
async def test_a_stream_continues_after_the_first_that_is_not_done(sort: str | None, amili: AmiliClient) -> None:
    """From JSON, with the rows counted on; a filter of the caller's still applies."""
    where = field("article") == "capital"
    stream = amili.payout_specifications.stream(where, sort=sort)
    whole = await finish(amili.payout_specifications.stream(where, sort=sort))
    async with aclosing(stream.deliveries()) as pages:
        first, second, third, fourth = await take(pages, 4)
        for page in (fourth, second, first):
            page.done()
        assert (stream.checkpoint.last_id, stream.checkpoint.rows) == (second.records[-1].id, 20)
        text = stream.checkpoint.to_json()
    third.done()
    assert stream.checkpoint.rows == 40
    rest = amili.payout_specifications.stream(where, sort=sort, checkpoint=StreamCheckpoint.from_json(text))
    assert await finish(rest) == whole[20:]
    assert (rest.checkpoint.last_id, rest.checkpoint.rows) == (whole[-1], 100)
    end = amili.payout_specifications.stream(where, sort=sort, checkpoint=rest.checkpoint)
    assert await finish(end) == []


async def test_rows_deleted_and_inserted_before_the_position_shift_nothing(
    sandbox: Sandbox, amili: AmiliClient
) -> None:
    """The rest is requested by `_id`, so page numbers begin anew there."""
    stream = amili.payout_specifications.stream()
    async with aclosing(stream.deliveries()) as pages:
        first, second = await take(pages, 2)
        first.done()
        second.done()
    ids = await finish(amili.payout_specifications.stream())
    for row_id in ids[5:12]:
        sandbox.delete(SPECIFICATIONS, row_id)
    new = make_id(BEGINNING + 10_000_000_000 // 20, 7)
    sandbox.insert(SPECIFICATIONS, make_row(new))
    rest = amili.payout_specifications.stream(checkpoint=stream.checkpoint)
    assert await finish(rest) == sorted([*ids[20:], new])


@pytest.mark.parametrize(("limit", "expected"), [(45, 25), (20, 0), (5, 0)])
async def test_max_items_counts_what_lies_before_the_checkpoint(limit: int, expected: int, amili: AmiliClient) -> None:
    """The same call with a checkpoint ends where the first would have ended."""
    stream = amili.payout_specifications.stream()
    async with aclosing(stream.deliveries()) as pages:
        for page in await take(pages, 2):
            page.done()
    rest = amili.payout_specifications.stream(max_items=limit, checkpoint=stream.checkpoint)
    assert len(await finish(rest)) == expected


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"sort": "amount"}, "only a stream that is sorted by _id or -_id"),
        ({"sort": "-_created"}, "only a stream that is sorted by _id or -_id"),
        ({"into": NoId}, "only a stream that is sorted by _id or -_id, of records that have an _id"),
        ({"sort": "-_id"}, "a stream sorted by _id: give the same sort"),
        ({"where": {"article": "fee"}}, "another filter"),
    ],
)
async def test_a_checkpoint_of_another_stream_is_rejected(
    options: dict[str, Any], reason: str, sandbox: Sandbox, amili: AmiliClient
) -> None:
    """Before anything is sent."""
    checkpoint = amili.payout_specifications.stream().checkpoint
    with pytest.raises(ConfigurationError, match=reason):
        amili.payout_specifications.stream(**options, checkpoint=checkpoint)
    with pytest.raises(ConfigurationError, match="belongs to finance--payout-specifications, not to finance--payouts"):
        amili.payouts.stream(checkpoint=checkpoint)
    with pytest.raises(ConfigurationError, match="is a Checkpoint: decode"):
        amili.payouts.stream(checkpoint=amili.payouts.extract().checkpoint)  # type: ignore[call-overload]
    assert count_pages(sandbox) == 0


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 99}', '{"resource": "x", "fingerprint": "y"}'])
def test_what_is_no_checkpoint_is_rejected(text: str) -> None:
    """With one error that names the type."""
    with pytest.raises(ConfigurationError, match=r"^this checkpoint (is not one written by|has version 99)"):
        StreamCheckpoint.from_json(text)


@pytest.mark.parametrize("options", [{"sort": "amount"}, {"sort": "article,-_id"}, {"into": NoId}])
async def test_an_order_without_checkpoints_has_deliveries_all_the_same(
    options: dict[str, Any], amili: AmiliClient
) -> None:
    """The property explains why there is none."""
    stream = amili.payout_specifications.stream(**options)

    async def handle(_: Any) -> None:
        pass

    assert await stream.for_each(handle) == 100
    with pytest.raises(ConfigurationError, match="a row that changes can be left out"):
        _ = stream.checkpoint


# Failures


async def test_a_failure_is_raised_from_its_error(amili: AmiliClient) -> None:
    """With the number of the delivery and the record, and no text of the error, which may be personal."""
    error = ValueError("Anna Andersson")
    pages = amili.payout_specifications.stream().deliveries()
    first, second = await take(pages, 2)
    first.done()
    second.failed(error, record_id=second.records[0].id)
    with pytest.raises(DeliveryFailed, match=f"^record {second.records[0].id} failed with ValueError$") as caught:
        await anext(pages)
    assert (caught.value.__cause__, caught.value.number) == (error, 2)
    with pytest.raises(ClientClosed, match="cut off"):
        await anext(pages)


async def test_a_handler_that_raises_stops_the_run(sandbox: Sandbox, amili: AmiliClient) -> None:
    """The error names the record, and the checkpoint of the stream continues before its page."""
    seen: list[str] = []

    async def handle(line: PayoutSpecification) -> None:
        seen.append(line.id)
        if len(seen) == 35:
            raise KeyError

    stream = amili.payout_specifications.stream()
    with pytest.raises(DeliveryFailed) as caught:
        await stream.for_each(handle)
    assert caught.value.record_id == seen[34]
    assert stream.checkpoint.last_id == seen[29]
    rest = amili.payout_specifications.stream(checkpoint=stream.checkpoint)
    assert await rest.for_each(handle) == 70
    assert len(set(seen)) == 100
    await assert_nothing_is_left(amili, sandbox)


async def test_a_failure_wakes_an_iteration_that_waits_for_the_server(sandbox: Sandbox, amili: AmiliClient) -> None:
    """Its request is cancelled: no page is fetched for a run that has stopped."""
    stream = amili.payout_specifications.stream(concurrency=1)
    pages = stream.deliveries()
    consuming = await fail_while_it_waits(pages, sandbox)
    with pytest.raises(DeliveryFailed):
        await consuming
    sandbox.stop_failing()
    await assert_nothing_is_left(amili, sandbox)


async def test_an_error_of_the_api_is_raised_as_by_any_stream(sandbox: Sandbox, amili: AmiliClient) -> None:
    """The checkpoint covers what is done."""
    stream = amili.payout_specifications.stream(concurrency=1)
    pages = stream.deliveries()
    first, _ = await take(pages, 2)
    sandbox.fail(Fault.unavailable(), times=None)
    first.done()
    with pytest.raises(ServerFault):
        _ = [page async for page in pages]
    assert stream.checkpoint.rows == 10


# Waiting, leaving early


@pytest.mark.parametrize("unfinished", [1, 3])
async def test_it_waits_while_so_many_are_not_done(unfinished: int, amili: AmiliClient) -> None:
    """They are counted from the first that is not done; at the end it waits for all."""
    taken: list[Page] = []

    async def consume() -> None:
        async for page in amili.payout_specifications.stream().deliveries(unfinished=unfinished):
            taken.append(page)  # noqa: PERF401 - seen while the iteration waits

    consuming = asyncio.ensure_future(consume())
    for done in range(10):
        most = min(10, done + unfinished)
        await happens(lambda: len(taken) == most)  # noqa: B023 - called in this round
        await settle(50)
        assert len(taken) == most
        assert not consuming.done()
        taken[done].done()
    await consuming


@pytest.mark.parametrize("unfinished", [1, 30])
@pytest.mark.parametrize("leave", WAYS)
async def test_leaving_early_leaves_nothing_behind(
    leave: Callable[[Any, AmiliClient], Awaitable[None]],
    unfinished: int,
    start_sandbox: StartSandbox,
    connect: Connect,
) -> None:
    """In every way of leaving, and the checkpoint covers nothing that was not done."""
    sandbox = await start_sandbox(specifications=3000)
    internals.hold_responses(sandbox, hold_a_while)
    amili = await connect(sandbox, auth=sandbox.token())
    stream = amili.payout_specifications.stream()
    await leave(stream.deliveries(unfinished=unfinished), amili)
    await assert_nothing_is_left(amili, sandbox)
    assert stream.checkpoint.last_id is None


@pytest.mark.parametrize("closing", ["client", "stream"])
@pytest.mark.parametrize("unfinished", [1, 30])
async def test_closing_ends_an_iteration_that_waits_for_work(
    closing: str, unfinished: int, sandbox: Sandbox, amili: AmiliClient
) -> None:
    """It raises at once, whether it waits for room or for the end."""
    taken: list[Page] = []
    stream = amili.payout_specifications.stream()

    async def consume() -> None:
        async for page in stream.deliveries(unfinished=unfinished):
            taken.append(page)  # noqa: PERF401 - seen while the iteration waits

    consuming = asyncio.ensure_future(consume())
    await happens(lambda: len(taken) == min(unfinished, 10))
    await settle(50)
    await (amili if closing == "client" else stream).aclose()
    with pytest.raises(ClientClosed):
        await consuming
    await assert_nothing_is_left(amili, sandbox)


async def test_closing_the_client_ends_the_handlers(sandbox: Sandbox, amili: AmiliClient) -> None:
    """At once, by a cancellation, and the call raises `ClientClosed`."""
    handling: set[str] = set()

    async def handle(line: PayoutSpecification) -> None:
        handling.add(line.id)
        try:
            await asyncio.Event().wait()
        finally:
            handling.discard(line.id)

    running = asyncio.ensure_future(amili.payout_specifications.stream().for_each(handle))
    await happens(lambda: len(handling) == 8)
    await amili.aclose()
    assert handling == set()
    with pytest.raises(ClientClosed):
        await running
    await assert_nothing_is_left(amili, sandbox)
