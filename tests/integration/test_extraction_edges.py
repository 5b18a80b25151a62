"""Extraction where something is out of the ordinary: clocks, ids, etags, filters, and how an iteration is left."""

import asyncio
from typing import Any

import pytest

from amili_async import field
from amili_async.errors import ClientClosed, ConfigurationError, ExtractionInterrupted, ServerFault, UnreadableResponse
from amili_async.extraction import Verdict
from amili_async.sandbox import ReceivedRequest
from tests.support import internals
from tests.support.clocks import HastyClock
from tests.support.rows import SPECIFICATIONS, count_pages, fill, make_id, make_row, spread_evenly
from tests.support.starting import Connect, StartSandbox


async def test_an_iteration_can_be_begun_again_at_once(start_sandbox: StartSandbox, connect: Connect) -> None:
    """After a break nobody has to close anything: the record in hand comes again, and then the rest."""
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


async def test_an_iteration_that_was_overtaken_is_told(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A second iteration goes on where the first was; the first hands out nothing more."""
    amili = await connect(await start_sandbox(specifications=450))
    extraction = amili.payout_specifications.extract()
    first = aiter(extraction)
    await anext(first)
    assert len([record async for record in extraction]) == 450
    with pytest.raises(ClientClosed, match="another iteration of it began"):
        await anext(first)


async def test_a_page_that_is_cancelled_from_outside_ends_it_loudly(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Whoever cancels every task of the loop must not make an extraction look as if it were at its end."""
    amili = await connect(await start_sandbox(specifications=2000, latency=0.01))
    extraction = amili.payout_specifications.extract()

    async def take_and_cancel() -> None:
        async for _ in extraction.batches():
            for task in asyncio.all_tasks():
                if "PartitionedScan" in repr(task.get_coro()):
                    task.cancel()

    with pytest.raises(ExtractionInterrupted, match="cancelled from outside"):
        await take_and_cancel()
    assert extraction.manifest.verdict is Verdict.PARTIAL


async def test_a_count_that_fails_leaves_it_unfinished(start_sandbox: StartSandbox, connect: Connect) -> None:
    """All records came, but nobody has confirmed it; going on asks for the count alone."""
    sandbox = await start_sandbox(specifications=250)
    amili = await connect(sandbox)
    extraction = amili.payout_specifications.extract()

    def fail_the_count(received: ReceivedRequest, page: dict[str, Any]) -> dict[str, Any]:
        return {"_status": "ERR", "_error": {"code": 503}} if received.query["max_results"] == "1" else page

    sandbox.override(page=fail_the_count)
    with pytest.raises(ExtractionInterrupted) as caught:
        await take(extraction)
    assert isinstance(caught.value.__cause__, ServerFault)
    assert (extraction.rows, extraction.manifest.verdict) == (250, Verdict.PARTIAL)
    sandbox.override()
    pages = count_pages(sandbox)
    assert await take(extraction) == []
    assert count_pages(sandbox) - pages == 1
    assert extraction.manifest.verdict is Verdict.COMPLETE


async def take(extraction: Any) -> list[str]:
    return [record.id async for record in extraction]


async def test_a_row_whose_id_is_ahead_of_its_change_is_not_forgotten(
    start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """Made with another clock, it is too new at first; once its time has come, `since` brings it."""
    sandbox = await start_sandbox(specifications=0)
    fill(sandbox, spread_evenly(20))
    amili = await connect(sandbox)
    early = make_id(int(clock.wall()) + 7200, 1)
    sandbox.insert(SPECIFICATIONS, make_row(early, _updated="Fri, 13 Jun 2025 08:00:00 GMT"))
    extraction = amili.payout_specifications.extract()
    assert early not in await take(extraction)
    assert extraction.manifest.count_past_bound == 1
    for _ in range(2):
        await clock.move(3700)
        extraction = amili.payout_specifications.extract(since=extraction.manifest)
        taken = await take(extraction)
    assert taken == [early]


async def test_a_change_without_an_etag_is_never_taken_for_known(
    start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """Where nothing tells two versions apart, a row comes once too often rather than not at all."""
    sandbox = await start_sandbox(specifications=0)
    (row_id, *_) = fill(sandbox, [make_id(int(clock.wall()) - 60, 1)])
    amili = await connect(sandbox)
    sandbox.override(page=_leave_out_the_etags)
    extraction = amili.payout_specifications.extract()
    assert await take(extraction) == [row_id]
    sandbox.update(SPECIFICATIONS, row_id, {"amount": 7})
    assert await take(amili.payout_specifications.extract(since=extraction.manifest)) == [row_id]


def _leave_out_the_etags(_: ReceivedRequest, page: dict[str, Any]) -> dict[str, Any]:
    return {**page, "_items": [{name: row[name] for name in row if name != "_etag"} for row in page["_items"]]}


async def test_a_servers_clock_that_goes_back_brings_nothing_again(
    start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """What was known before the step is still known after it."""
    behind = [0.0]
    sandbox = await start_sandbox(specifications=0, clock=lambda: clock.wall() - behind[0])
    fill(sandbox, [make_id(int(clock.wall()) - 60, place) for place in range(20)])
    amili = await connect(sandbox, auth=sandbox.token())
    extraction = amili.payout_specifications.extract()
    counts = [len(await take(extraction))]
    for behind[0] in (600.0, 0.0):
        extraction = amili.payout_specifications.extract(since=extraction.manifest)
        counts.append(len(await take(extraction)))
    assert counts == [20, 0, 0]


async def test_many_rows_past_the_bound_are_no_drift(
    start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """Where a server makes rows faster than they are counted, what is older is still complete."""
    sandbox = await start_sandbox(specifications=0)
    old = fill(sandbox, spread_evenly(450))
    fill(sandbox, [make_id(int(clock.wall()), place) for place in range(700)])
    amili = await connect(sandbox)
    extraction = amili.payout_specifications.extract()
    assert sorted(await take(extraction)) == old
    manifest = extraction.manifest
    assert (manifest.count_past_bound, manifest.count_before, manifest.count_after) == (700, 450, 450)
    assert manifest.verdict is Verdict.COMPLETE


async def test_sweeping_a_list_that_came_incompletely_names_nothing(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """A row that the server left out of a page need not be gone, so nothing is said to be."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(250))
    amili = await connect(sandbox)
    assert await amili.payout_specifications.sweep([]) == frozenset()
    assert count_pages(sandbox) == 0
    sandbox.override(page=lambda _, page: {**page, "_items": page["_items"][:3] + page["_items"][4:]})
    with pytest.raises(UnreadableResponse, match="missing ids need not be gone"):
        await amili.payout_specifications.sweep(ids)


async def test_a_filter_is_refused_at_once_or_never(start_sandbox: StartSandbox, connect: Connect) -> None:
    """However near to the longest request line, what extract() accepts can be brought to its end."""
    sandbox = await start_sandbox(specifications=0)
    fill(sandbox, spread_evenly(250))
    amili = await connect(sandbox)
    refused = 0
    for length in range(7480, 7760, 20):
        where = field("creditor_name") != "x" * length
        try:
            extraction = amili.payout_specifications.extract(where)
        except ConfigurationError:
            refused += 1
            continue
        assert refused == 0
        assert len(await take(extraction)) == 250
    assert 0 < refused < 14
