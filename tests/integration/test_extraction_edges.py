"""Extraction in unusual cases: wrong clocks, ids, missing etags, long filters, and iterations that are abandoned."""

import asyncio
from typing import Any

import pytest

from amili_async import field
from amili_async.errors import ClientClosed, ConfigurationError, ExtractionInterrupted, ServerFault, UnreadableResponse
from amili_async.extraction import Checkpoint, Verdict
from amili_async.sandbox import Fault, ReceivedRequest
from tests.support import internals
from tests.support.clocks import HastyClock
from tests.support.rows import SPECIFICATIONS, count_pages, fill, make_id, make_row, spread_evenly
from tests.support.starting import Connect, StartSandbox


async def test_an_iteration_can_be_restarted_at_once(start_sandbox: StartSandbox, connect: Connect) -> None:
    """After a break nothing has to be closed: the last record is delivered again, and then the rest."""
    sandbox = await start_sandbox(specifications=450)
    amili = await connect(sandbox)
    extraction = amili.payout_specifications.extract()
    taken: list[str] = []
    for count in (1, 130, 1000):
        async for record in extraction:
            if len(taken) == count:
                break
            taken.append(record.id)
    assert sorted(taken) == sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))
    assert extraction.manifest.verdict is Verdict.COMPLETE
    assert internals.running_iterations(amili) == set()


async def test_an_overtaken_iteration_raises(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A second iteration resumes where the first was; the first delivers nothing more and raises."""
    amili = await connect(await start_sandbox(specifications=450))
    extraction = amili.payout_specifications.extract()
    first = aiter(extraction)
    await anext(first)
    assert len([record async for record in extraction]) == 450
    with pytest.raises(ClientClosed, match="another iteration of it began"):
        await anext(first)


async def test_a_page_that_is_cancelled_from_outside_raises(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Cancelling every task of the loop must not make an extraction look finished."""
    amili = await connect(await start_sandbox(specifications=2000, latency=0.01))
    extraction = amili.payout_specifications.extract()

    async def read_and_cancel() -> None:
        async for _ in extraction.batches():
            for task in asyncio.all_tasks():
                if "PartitionedScan" in repr(task.get_coro()):
                    task.cancel()

    with pytest.raises(ExtractionInterrupted, match="cancelled from outside"):
        await read_and_cancel()
    assert extraction.manifest.verdict is Verdict.PARTIAL


async def test_a_failed_count_leaves_the_extraction_unfinished(start_sandbox: StartSandbox, connect: Connect) -> None:
    """All records were delivered, but no count confirms it; resuming requests the count alone."""
    sandbox = await start_sandbox(specifications=250)
    amili = await connect(sandbox)
    extraction = amili.payout_specifications.extract()

    def fail_the_count(received: ReceivedRequest, page: dict[str, Any]) -> dict[str, Any]:
        return {"_status": "ERR", "_error": {"code": 503}} if received.query["max_results"] == "1" else page

    sandbox.override(page=fail_the_count)
    with pytest.raises(ExtractionInterrupted) as caught:
        await read_all(extraction)
    assert isinstance(caught.value.__cause__, ServerFault)
    assert (extraction.rows, extraction.manifest.verdict) == (250, Verdict.PARTIAL)
    sandbox.override()
    pages = count_pages(sandbox)
    assert await read_all(extraction) == []
    assert count_pages(sandbox) - pages == 1
    assert extraction.manifest.verdict is Verdict.COMPLETE


async def test_a_gap_that_was_not_rechecked_is_left_in_the_checkpoint(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """After a last page that is full, resuming requests what may have been inserted behind it."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(200))
    amili = await connect(sandbox)
    sandbox.fail(Fault(status=503), times=None, after=2, path=SPECIFICATIONS)
    extraction = amili.payout_specifications.extract()
    with pytest.raises(ExtractionInterrupted) as caught:
        await read_all(extraction)
    checkpoint = caught.value.checkpoint
    assert (extraction.rows, checkpoint.ranges, len(checkpoint.gaps)) == (200, (), 1)
    sandbox.stop_failing()
    late = make_id(int(ids[-1][:8], 16) + 1, 0)
    sandbox.insert(SPECIFICATIONS, make_row(late))
    resumed = amili.payout_specifications.extract(checkpoint=Checkpoint.from_json(checkpoint.to_json()))
    assert await read_all(resumed) == [late]
    assert resumed.manifest.verdict is Verdict.DRIFTED


async def read_all(extraction: Any) -> list[str]:
    return [record.id async for record in extraction]


async def test_a_row_whose_id_is_ahead_of_its_change_is_not_lost(
    start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """An id made by a fast clock is past the bound at first; once it is older, `since` delivers its row."""
    sandbox = await start_sandbox(specifications=0)
    fill(sandbox, spread_evenly(20))
    amili = await connect(sandbox)
    early = make_id(int(clock.wall()) + 7200, 1)
    sandbox.insert(SPECIFICATIONS, make_row(early, _updated="Fri, 13 Jun 2025 08:00:00 GMT"))
    extraction = amili.payout_specifications.extract()
    assert early not in await read_all(extraction)
    assert extraction.manifest.count_past_bound == 1
    for _ in range(2):
        await clock.move(3700)
        extraction = amili.payout_specifications.extract(since=extraction.manifest)
        taken = await read_all(extraction)
    assert taken == [early]


async def test_a_change_without_an_etag_is_delivered_again(
    start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """If two versions cannot be distinguished, a row is delivered once too often rather than not at all."""
    sandbox = await start_sandbox(specifications=0)
    (row_id, *_) = fill(sandbox, [make_id(int(clock.wall()) - 60, 1)])
    amili = await connect(sandbox)
    sandbox.override(page=_leave_out_the_etags)
    extraction = amili.payout_specifications.extract()
    assert await read_all(extraction) == [row_id]
    sandbox.update(SPECIFICATIONS, row_id, {"amount": 7})
    assert await read_all(amili.payout_specifications.extract(since=extraction.manifest)) == [row_id]


def _leave_out_the_etags(_: ReceivedRequest, page: dict[str, Any]) -> dict[str, Any]:
    return {**page, "_items": [{name: row[name] for name in row if name != "_etag"} for row in page["_items"]]}


async def test_a_server_clock_that_is_set_back_repeats_nothing(
    start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """Versions delivered before the clock was set back are recognised after it."""
    behind = [0.0]
    sandbox = await start_sandbox(specifications=0, clock=lambda: clock.wall() - behind[0])
    fill(sandbox, [make_id(int(clock.wall()) - 60, place) for place in range(20)])
    amili = await connect(sandbox, auth=sandbox.token())
    extraction = amili.payout_specifications.extract()
    counts = [len(await read_all(extraction))]
    for behind[0] in (600.0, 0.0):
        extraction = amili.payout_specifications.extract(since=extraction.manifest)
        counts.append(len(await read_all(extraction)))
    assert counts == [20, 0, 0]


async def test_many_rows_past_the_bound_are_no_drift(
    start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """If rows are inserted faster than they are counted, the rows up to the bound are still complete."""
    sandbox = await start_sandbox(specifications=0)
    old = fill(sandbox, spread_evenly(450))
    fill(sandbox, [make_id(int(clock.wall()), place) for place in range(700)])
    amili = await connect(sandbox)
    extraction = amili.payout_specifications.extract()
    assert sorted(await read_all(extraction)) == old
    manifest = extraction.manifest
    assert (manifest.count_past_bound, manifest.count_before, manifest.count_after) == (700, 450, 450)
    assert manifest.verdict is Verdict.COMPLETE


async def test_a_sweep_of_an_incomplete_list_raises(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A row that the server left out of a page need not be gone, so no id is reported."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(250))
    amili = await connect(sandbox)
    assert await amili.payout_specifications.sweep([]) == frozenset()
    assert count_pages(sandbox) == 0
    sandbox.override(page=lambda _, page: {**page, "_items": page["_items"][:3] + page["_items"][4:]})
    with pytest.raises(UnreadableResponse, match="missing ids need not be gone"):
        await amili.payout_specifications.sweep(ids)


@pytest.mark.parametrize("length", [10, 5900, 6200, 7000, 7400, 7500, 7600, 7700])
async def test_a_sweep_with_a_long_filter_raises_at_once_or_never(
    length: int, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """However few ids fit beside the filter into a request line, each that is missing is looked up again."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(150))
    for row_id in ids[::2]:
        sandbox.delete(SPECIFICATIONS, row_id)
    amili = await connect(sandbox)
    where = field("creditor_name") != "x" * length
    if length < 7500:
        assert await amili.payout_specifications.sweep(ids, where) == set(ids[::2])
        return
    try:
        assert await amili.payout_specifications.sweep(ids, where) == set(ids[::2])
    except ConfigurationError:
        assert count_pages(sandbox) == 0


async def test_a_filter_that_is_too_long_raises_at_once_or_never(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Close to the longest request line, every filter that extract() accepts can be extracted to the end."""
    sandbox = await start_sandbox(specifications=0)
    fill(sandbox, spread_evenly(250))
    amili = await connect(sandbox)
    rejected = 0
    for length in range(7480, 7760, 20):
        where = field("creditor_name") != "x" * length
        try:
            extraction = amili.payout_specifications.extract(where)
        except ConfigurationError:
            rejected += 1
            continue
        assert rejected == 0
        assert len(await read_all(extraction)) == 250
    assert 0 < rejected < 14
