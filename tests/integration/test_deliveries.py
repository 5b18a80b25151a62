"""Deliveries of an extraction: a checkpoint that covers what is finished, backpressure, failures, leaving early."""

import asyncio
import copy
import pickle
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from amili_async import AmiliClient, Checkpoint, Delivery, PayoutSpecification, Verdict
from amili_async.errors import ClientClosed, ConfigurationError, ExtractionInterrupted, ServerFault
from amili_async.extraction import Extraction
from amili_async.sandbox import Fault
from tests.support import internals
from tests.support.clocks import happens, settle
from tests.support.deliveries import fail_while_it_waits, take
from tests.support.leaving_early import WAYS, assert_nothing_is_left, hold_a_while
from tests.support.rows import fill, spread_evenly
from tests.support.starting import Connect, StartSandbox

Lines = Extraction[PayoutSpecification]
Page = Delivery[PayoutSpecification]


async def finish_rest(extraction: Lines) -> list[str]:
    """The ids that are delivered from here on, each delivery done at once."""
    ids = []
    async for page in extraction.deliveries():
        ids += [line.id for line in page.records]
        page.done()
    return ids


async def take_until_it_waits(extraction: Lines, unfinished: int) -> tuple[list[Page], "asyncio.Task[None]"]:
    """What an iteration hands out until it waits for work, for room or at the end; and its task."""
    taken: list[Page] = []

    async def consume() -> None:
        async for page in extraction.deliveries(unfinished=unfinished):
            taken.append(page)  # noqa: PERF401 - seen while the iteration waits

    consuming = asyncio.ensure_future(consume())
    await happens(lambda: len(taken) == unfinished or sum(len(page.records) for page in taken) == 100)
    await settle(50)
    return taken, consuming


@pytest.fixture
async def amili(start_sandbox: StartSandbox, connect: Connect) -> AmiliClient:
    """A client of a sandbox with ten pages of specifications."""
    sandbox = await start_sandbox(specifications=0)
    fill(sandbox, spread_evenly(100))
    return await connect(sandbox, auth=sandbox.token(), page_size=10)


@pytest.fixture
def lines(amili: AmiliClient) -> Lines:
    """An extraction of all of them."""
    return amili.payout_specifications.extract()


# The checkpoint


async def test_every_record_is_delivered_and_the_manifest_is_that_of_a_plain_extraction(
    amili: AmiliClient, lines: Lines
) -> None:
    """Finished at once, deliveries are the batches, numbered from one, and cost the same requests."""
    plain = amili.payout_specifications.extract()
    batches = {batch async for batch in plain.batches()}
    pages = []
    async for page in lines.deliveries():
        pages.append(page)
        page.done()
    assert {page.records for page in pages} == batches
    assert [page.number for page in pages] == list(range(1, len(pages) + 1))
    assert lines.manifest == plain.manifest
    assert lines.manifest.verdict is Verdict.COMPLETE


async def test_the_checkpoint_covers_all_up_to_the_first_that_is_not_done(lines: Lines) -> None:
    """Whatever the order in which they are done, and a second call changes nothing."""
    async with aclosing(lines.deliveries()) as pages:
        first, second, third = await take(pages, 3)
        seen = []
        for page in (second, second, third, first, third):
            page.done()
            seen.append((lines.rows, lines.checkpoint.rows))
    sizes = [len(page.records) for page in (first, second, third)]
    assert seen == [(0, 0)] * 3 + [(sum(sizes), sum(sizes))] * 2


async def test_an_extraction_resumed_from_json_repeats_exactly_what_was_not_covered(
    amili: AmiliClient, lines: Lines
) -> None:
    """The rows and the sums of both together are those of one extraction, and the verdict is complete."""
    async with aclosing(lines.deliveries()) as pages:
        taken = await take(pages, 5)
        for page in (taken[0], taken[1], taken[3]):
            page.done()
        text = lines.checkpoint.to_json()
    rest = amili.payout_specifications.extract(checkpoint=Checkpoint.from_json(text))
    ids = await finish_rest(rest)
    finished = [line.id for page in taken[:2] for line in page.records]
    assert len(finished + ids) == len({*finished, *ids}) == 100
    assert len(text) < 4000
    whole = amili.payout_specifications.extract()
    await finish_rest(whole)
    assert rest.manifest.sums == whole.manifest.sums
    assert rest.manifest.verdict is Verdict.COMPLETE


async def test_a_delivery_that_is_done_after_the_iteration_was_left_still_counts(lines: Lines) -> None:
    """Workers may finish after the loop was left; a new iteration begins at the first that is not done then."""
    async with aclosing(lines.deliveries()) as pages:
        first, second, third = await take(pages, 3)
    first.done()
    assert lines.rows == len(first.records)
    third.done()
    rest = lines.deliveries()
    again = await anext(rest)
    second.done()
    assert lines.rows == len(first.records)
    again.done()
    async for page in rest:
        page.done()
    assert (lines.rows, lines.manifest.verdict) == (100, Verdict.COMPLETE)


async def test_another_kind_of_iteration_repeats_what_was_not_done(lines: Lines) -> None:
    """Records that were handed out in deliveries and not finished are delivered by a plain loop too."""
    async with aclosing(lines.deliveries()) as pages:
        first, second = await take(pages, 2)
        first.done()
    ids = [line.id async for line in lines]
    assert len({*ids, *(line.id for line in first.records)}) == len(ids) + len(first.records) == 100
    assert {line.id for line in second.records} < set(ids)


# Backpressure


@pytest.mark.parametrize("unfinished", [1, 2, 5])
async def test_it_waits_while_so_many_are_not_done(unfinished: int, lines: Lines) -> None:
    """They are counted from the first that is not done, so that a killed process repeats so many pages at most."""
    async with aclosing(lines.deliveries(unfinished=unfinished)) as pages:
        taken = await take(pages, unfinished)
        waiting = asyncio.ensure_future(anext(pages))
        await settle(200)
        for page in taken[1:]:
            page.done()
        await settle()
        assert not waiting.done()
        taken[0].done()
        assert (await waiting).number == unfinished + 1


async def test_it_ends_when_all_are_done(lines: Lines) -> None:
    """After the loop the work is complete, not only handed out."""
    taken, consuming = await take_until_it_waits(lines, 30)
    for page in taken:
        await settle(50)
        assert not consuming.done()
        page.done()
    await consuming
    assert lines.manifest.verdict is Verdict.COMPLETE


async def test_a_thread_finishes_deliveries_through_the_loop(lines: Lines) -> None:
    """`loop.call_soon_threadsafe(page.done)` wakes an iteration that waits, as the docstring shows."""
    loop = asyncio.get_running_loop()
    count = 0
    async for page in lines.deliveries(unfinished=2):
        count += len(page.records)
        loop.run_in_executor(None, loop.call_soon_threadsafe, page.done)
    assert count == lines.rows == 100


@pytest.mark.parametrize("unfinished", [0, -1, 2.5, True, None])
async def test_a_wrong_limit_is_rejected_at_the_call(unfinished: Any, lines: Lines) -> None:
    """Before anything is sent, with the name of the argument."""
    with pytest.raises(ConfigurationError, match="unfinished must be a whole number"):
        lines.deliveries(unfinished=unfinished)


async def test_a_delivery_cannot_be_sent_to_another_process(lines: Lines) -> None:
    """It belongs to this event loop; its records can be pickled."""
    async with aclosing(lines.deliveries()) as pages:
        (page,) = await take(pages, 1)
    for copying in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(ConfigurationError, match="cannot be pickled or copied"):
            copying(page)
    assert pickle.loads(pickle.dumps(page.records)) == page.records  # noqa: S301 - our own


# Failures


async def test_a_failure_is_raised_from_its_error(amili: AmiliClient, lines: Lines) -> None:
    """The next delivery raises it, with the checkpoint, the record and no text of the error, which may be personal."""
    error = ValueError("Anna Andersson")
    pages = lines.deliveries()
    first, second, _ = await take(pages, 3)
    first.done()
    second.failed(error, record_id=second.records[3].id)
    with pytest.raises(ExtractionInterrupted, match=f"record {second.records[3].id} failed with ValueError") as caught:
        await anext(pages)
    assert caught.value.__cause__ is error
    assert caught.value.record_id == second.records[3].id
    assert caught.value.checkpoint.rows == len(first.records)
    assert "Anna" not in str(caught.value)
    rest = amili.payout_specifications.extract(checkpoint=caught.value.checkpoint)
    assert len(await finish_rest(rest)) == 100 - len(first.records)
    assert rest.manifest.verdict is Verdict.COMPLETE


async def test_of_done_and_failed_the_first_call_counts(lines: Lines) -> None:
    """A failure after done() does not stop the run, and done() after a failure covers nothing."""
    async with aclosing(lines.deliveries()) as pages:
        first, second = await take(pages, 2)
        first.done()
        first.failed(ValueError())
        third = await anext(pages)
        for page in (third, second):
            page.failed(KeyError())
            page.done()
        with pytest.raises(ExtractionInterrupted) as caught:
            await anext(pages)
    assert isinstance(caught.value.__cause__, KeyError)
    assert lines.rows == len(first.records)


async def test_a_failure_wakes_an_iteration_that_waits_for_work(lines: Lines) -> None:
    """For room or for the end alike."""
    for unfinished in (1, 30):
        taken, consuming = await take_until_it_waits(lines, unfinished)
        taken[-1].failed(ValueError())
        with pytest.raises(ExtractionInterrupted):
            await consuming


async def test_a_failure_wakes_an_iteration_that_waits_for_the_server(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Its request is cancelled: no page is fetched for a run that has stopped."""
    sandbox = await start_sandbox(specifications=0)
    fill(sandbox, spread_evenly(3000))
    amili = await connect(sandbox, auth=sandbox.token(), concurrency=1)
    pages = amili.payout_specifications.extract().deliveries()
    consuming = await fail_while_it_waits(pages, sandbox)
    with pytest.raises(ExtractionInterrupted) as caught:
        await consuming
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.checkpoint.rows == 0
    sandbox.stop_failing()
    await assert_nothing_is_left(amili, sandbox)


async def test_an_error_of_the_api_carries_what_is_done(start_sandbox: StartSandbox, connect: Connect) -> None:
    """The checkpoint of the error covers what is finished, not what was taken."""
    sandbox = await start_sandbox(specifications=0)
    fill(sandbox, spread_evenly(3000))
    amili = await connect(sandbox, auth=sandbox.token(), concurrency=1)
    lines = amili.payout_specifications.extract()
    pages = lines.deliveries()
    first, _ = await take(pages, 2)
    sandbox.fail(Fault.unavailable(), times=None)
    first.done()
    with pytest.raises(ExtractionInterrupted) as caught:
        _ = [page async for page in pages]
    assert isinstance(caught.value.__cause__, ServerFault)
    assert caught.value.checkpoint.rows == lines.rows == 100
    sandbox.stop_failing()
    assert len(await finish_rest(lines)) == 2900


# Leaving early


@pytest.mark.parametrize("unfinished", [1, 30])
@pytest.mark.parametrize("leave", WAYS)
async def test_leaving_early_leaves_nothing_behind_and_loses_nothing(
    leave: Callable[[Any, AmiliClient], Awaitable[None]],
    unfinished: int,
    start_sandbox: StartSandbox,
    connect: Connect,
) -> None:
    """In every way of leaving; what was handed out and not done is delivered again."""
    sandbox = await start_sandbox(specifications=0)
    internals.hold_responses(sandbox, hold_a_while)
    fill(sandbox, spread_evenly(3000))
    amili = await connect(sandbox, auth=sandbox.token())
    lines = amili.payout_specifications.extract()
    await leave(lines.deliveries(unfinished=unfinished), amili)
    await assert_nothing_is_left(amili, sandbox)
    assert lines.rows == 0
    rest = amili.payout_specifications.extract(checkpoint=lines.checkpoint)
    assert len(set(await finish_rest(rest))) == 3000
    assert rest.manifest.verdict is Verdict.COMPLETE


@pytest.mark.parametrize("closing", ["client", "extraction"])
async def test_closing_ends_an_iteration_that_waits_for_work(closing: str, amili: AmiliClient, lines: Lines) -> None:
    """It raises at once, with the checkpoint, whether it waits for room or for the end."""
    for unfinished in (1, 30):
        _, consuming = await take_until_it_waits(lines, unfinished)
        await (amili if closing == "client" else lines).aclose()
        with pytest.raises(ExtractionInterrupted, match="closed") as caught:
            await consuming
        assert isinstance(caught.value.__cause__, ClientClosed)
        assert caught.value.checkpoint.rows == 0
        await amili.open() if closing == "client" else None


async def test_a_second_iteration_overtakes_the_first(lines: Lines) -> None:
    """The first one raises; the second delivers what the first handed out, and done() of the first changes nothing."""
    first = lines.deliveries()
    (early,) = await take(first, 1)
    second = lines.deliveries()
    (page,) = await take(second, 1)
    early.done()
    assert lines.rows == 0
    with pytest.raises(ClientClosed, match="another iteration"):
        await anext(first)
    ids = [line.id for line in page.records]
    page.done()
    async for page in second:
        ids += [line.id for line in page.records]
        page.done()
    assert len(set(ids)) == len(ids) == lines.rows == 100
