"""`for_each()` of an extraction: how many handlers run, what is covered, and how it ends."""

import asyncio
from functools import partial
from typing import Any

import msgspec
import pytest

from amili_async import AmiliClient, PayoutSpecification, Verdict
from amili_async.errors import AmiliError, ClientClosed, ConfigurationError, ExtractionInterrupted, ServerFault
from amili_async.sandbox import Fault, Sandbox
from tests.support.clocks import happens, settle
from tests.support.leaving_early import assert_nothing_is_left
from tests.support.rows import count_pages, fill, spread_evenly
from tests.support.starting import Connect, StartSandbox

ROWS = 100


class Desk:
    """A handler that finishes a record when the test lets it, and notes what happens."""

    def __init__(self, *, needs: int = 0) -> None:
        self.open: dict[str, asyncio.Future[None]] = {}
        """The records that are being handled."""
        self.finished: list[str] = []
        self.cancelled: list[str] = []
        self.most = 0
        """How many were handled at once."""
        self._needs = needs

    async def handle(self, line: PayoutSpecification) -> None:
        release = self.open[line.id] = asyncio.get_running_loop().create_future()
        self.most = max(self.most, len(self.open))
        try:
            await release
            self.finished.append(line.id)
        except asyncio.CancelledError:
            await settle(self._needs)
            self.cancelled.append(line.id)
            raise
        finally:
            del self.open[line.id]

    def stands_at(self, finished: int, running: int) -> bool:
        """Whether so many are finished, and so many are being handled."""
        return (len(self.finished), len(self.open)) == (finished, running)

    def release(self, row_id: str, error: BaseException | None = None) -> None:
        if error is None:
            self.open[row_id].set_result(None)
        else:
            self.open[row_id].set_exception(error)


@pytest.fixture
async def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    """A sandbox with a hundred specifications."""
    sandbox = await start_sandbox(specifications=0)
    fill(sandbox, spread_evenly(ROWS))
    return sandbox


@pytest.fixture
async def amili(sandbox: Sandbox, connect: Connect) -> AmiliClient:
    """Its client, with small pages."""
    return await connect(sandbox, auth=sandbox.token(), page_size=3)


async def test_each_record_is_handled_once_and_the_manifest_is_returned(amili: AmiliClient) -> None:
    """Without an interruption, with its records, and its verdict is complete."""
    handled: list[PayoutSpecification] = []

    async def handle(line: PayoutSpecification) -> None:
        await settle(int(line.id[-1], 16) % 3)
        handled.append(line)

    lines = amili.payout_specifications.extract()
    manifest = await lines.for_each(handle)
    assert len(handled) == len({line.id for line in handled}) == manifest.rows == ROWS
    assert manifest == lines.manifest
    assert manifest.verdict is Verdict.COMPLETE


@pytest.mark.parametrize("concurrency", [1, 2, 8])
async def test_so_many_run_at_once_across_the_ends_of_pages(concurrency: int, amili: AmiliClient) -> None:
    """As soon as one finishes the next one begins, while the others still work on an earlier page."""
    desk = Desk()
    running = asyncio.ensure_future(
        amili.payout_specifications.extract().for_each(desk.handle, concurrency=concurrency)
    )
    for done in range(ROWS):
        await happens(partial(desk.stands_at, done, min(concurrency, ROWS - done)))
        desk.release(list(desk.open)[-(done % 3 > 0)])
    assert (await running).verdict is Verdict.COMPLETE
    assert desk.most == concurrency


async def test_more_than_thirty_run_where_a_page_has_one_record(sandbox: Sandbox, connect: Connect) -> None:
    """The limit of unfinished deliveries never keeps handlers from running."""
    amili, desk = await connect(sandbox, page_size=1), Desk()
    running = asyncio.ensure_future(amili.payout_specifications.extract().for_each(desk.handle, concurrency=50))
    await happens(lambda: len(desk.open) == 50)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_slow_handler_does_not_hold_up_the_others(amili: AmiliClient) -> None:
    """They go on for thirty pages; the checkpoint does not pass the slow one, and at the end all wait for it."""
    desk = Desk()
    lines = amili.payout_specifications.extract(parts=1)
    running = asyncio.ensure_future(lines.for_each(desk.handle, concurrency=2))
    await happens(lambda: desk.open)
    slow = next(iter(desk.open))
    for done in range(30 * 3 - 1):
        await happens(partial(desk.stands_at, done, 2))
        desk.release((set(desk.open) - {slow}).pop())
    await settle(100)
    assert list(desk.open) == [slow]
    assert lines.rows == 0
    desk.release(slow)
    for done in range(30 * 3, ROWS):
        await happens(partial(desk.stands_at, done, min(2, ROWS - done)))
        desk.release(next(iter(desk.open)))
    assert (await running).verdict is Verdict.COMPLETE


# Failures


async def test_a_handler_that_raises_stops_the_run(amili: AmiliClient) -> None:
    """The error names the record; the other handlers are cancelled and awaited, however long they need for it."""
    desk = Desk(needs=50)
    lines = amili.payout_specifications.extract()
    running = asyncio.ensure_future(lines.for_each(desk.handle, concurrency=4))
    await happens(lambda: len(desk.open) == 4)
    failing, *others = desk.open
    error = ValueError("Anna Andersson")
    desk.release(failing, error)
    with pytest.raises(ExtractionInterrupted, match=f"record {failing} failed with ValueError") as caught:
        await running
    assert caught.value.__cause__ is error
    assert caught.value.record_id == failing
    assert "Anna" not in str(caught.value)
    assert sorted(desk.cancelled) == sorted(others)
    assert desk.open == {}
    assert caught.value.checkpoint.rows == 0


async def test_what_was_not_covered_is_handled_after_a_failure(amili: AmiliClient) -> None:
    """The same extraction, and one with the checkpoint of the error, both continue; nothing is lost."""
    finished: list[str] = []

    async def handle(line: PayoutSpecification) -> None:
        if len(finished) == 40 or len(finished) == 70:
            finished.append("")
            raise ValueError
        finished.append(line.id)

    lines = amili.payout_specifications.extract()
    with pytest.raises(ExtractionInterrupted):
        await lines.for_each(handle)
    assert 30 <= lines.rows <= 40
    with pytest.raises(ExtractionInterrupted) as caught:
        await lines.for_each(handle)
    rest = amili.payout_specifications.extract(checkpoint=caught.value.checkpoint)
    manifest = await rest.for_each(handle)
    assert (manifest.rows, manifest.verdict) == (ROWS, Verdict.COMPLETE)
    assert len(set(finished) - {""}) == ROWS


async def test_a_failure_does_not_wait_for_the_server(sandbox: Sandbox, amili: AmiliClient) -> None:
    """It ends the run while a page is fetched, for which nothing waits any more."""
    desk = Desk()
    running = asyncio.ensure_future(amili.payout_specifications.extract(parts=1).for_each(desk.handle, concurrency=30))
    await happens(lambda: desk.open)
    requests = count_pages(sandbox)
    sandbox.fail(Fault(hang=True), times=None)
    await happens(lambda: count_pages(sandbox) > requests)
    desk.release(next(iter(desk.open)), ValueError())
    with pytest.raises(ExtractionInterrupted):
        await running
    await assert_nothing_is_left(amili, sandbox)


async def test_a_cancellation_that_a_handler_raises_is_a_failure(amili: AmiliClient) -> None:
    """The run was not cancelled, so it neither hangs nor ends as if it were cancelled or complete."""
    desk = Desk()
    running = asyncio.ensure_future(amili.payout_specifications.extract().for_each(desk.handle, concurrency=2))
    await happens(lambda: len(desk.open) == 2)
    next(iter(desk.open.values())).cancel()
    with pytest.raises(ExtractionInterrupted, match="failed with CancelledError"):
        await running


async def test_an_error_of_the_api_cancels_the_handlers(sandbox: Sandbox, amili: AmiliClient) -> None:
    """They have ended when it is raised, with the checkpoint of what is finished."""
    desk = Desk()
    running = asyncio.ensure_future(amili.payout_specifications.extract(parts=1).for_each(desk.handle, concurrency=30))
    await happens(lambda: desk.open)
    sandbox.fail(Fault.unavailable(), times=None)
    with pytest.raises(ExtractionInterrupted) as caught:
        await running
    assert isinstance(caught.value.__cause__, ServerFault)
    assert desk.open == {}
    assert desk.cancelled


class Amount(msgspec.Struct):
    """A record without an id."""

    amount: Any


@pytest.mark.parametrize("into", [dict, Amount])
async def test_the_error_names_the_record_where_it_has_an_id(into: type[Any], amili: AmiliClient) -> None:
    """A dict has one, and a struct only if it asks for it."""
    seen: list[Any] = []

    async def handle(record: Any) -> None:
        seen.append(record)
        raise KeyError

    with pytest.raises(ExtractionInterrupted) as caught:
        await amili.payout_specifications.extract(into=into).for_each(handle, concurrency=1)
    assert caught.value.record_id == (seen[0]["_id"] if into is dict else None)


# Ends


async def test_a_cancelled_caller_cancels_and_awaits_the_handlers(sandbox: Sandbox, amili: AmiliClient) -> None:
    """What they needed to end is finished when the cancellation is raised; the checkpoint covers what was done."""
    desk = Desk(needs=50)
    lines = amili.payout_specifications.extract()
    running = asyncio.ensure_future(lines.for_each(desk.handle, concurrency=4))
    await happens(lambda: len(desk.open) == 4)
    open_ones = sorted(desk.open)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(desk.cancelled) == open_ones
    await assert_nothing_is_left(amili, sandbox)
    finished: list[str] = []

    async def handle(line: PayoutSpecification) -> None:
        finished.append(line.id)

    manifest = await lines.for_each(handle)
    assert len(finished) == manifest.rows == ROWS


async def test_closing_the_client_ends_it_at_once(sandbox: Sandbox, amili: AmiliClient) -> None:
    """The handlers that run are cancelled, and have ended when the client is closed; the error shows what happened."""
    desk = Desk(needs=50)
    lines = amili.payout_specifications.extract()
    running = asyncio.ensure_future(lines.for_each(desk.handle, concurrency=4))
    await happens(lambda: len(desk.open) == 4)
    await amili.aclose()
    assert desk.open == {}
    with pytest.raises(ExtractionInterrupted, match="closed") as caught:
        await running
    assert isinstance(caught.value.__cause__, ClientClosed)
    await assert_nothing_is_left(amili, sandbox)


async def test_closing_the_client_before_a_handler_has_begun_ends_it(amili: AmiliClient) -> None:
    """Whatever the iteration of the loop in which it is closed, it neither hangs nor ends as if it were complete."""
    desk = Desk()
    for rounds in range(0, 200, 7):
        await amili.open()
        running = asyncio.ensure_future(amili.payout_specifications.extract().for_each(desk.handle, concurrency=2))
        await settle(rounds)
        await amili.aclose()
        with pytest.raises(AmiliError, match=r"closed|not open"):
            await running
    await amili.open()


async def test_closing_the_extraction_ends_it_at_the_next_page(sandbox: Sandbox, amili: AmiliClient) -> None:
    """The handlers that run are finished, since nothing is wrong with them."""
    desk = Desk()
    lines = amili.payout_specifications.extract()
    running = asyncio.ensure_future(lines.for_each(desk.handle, concurrency=4))
    await happens(lambda: len(desk.open) == 4)
    await lines.aclose()
    while not running.done():
        await settle(1)
        for row_id, release in list(desk.open.items()):
            if not release.done():
                desk.release(row_id)
    with pytest.raises(AmiliError, match="closed"):
        await running
    await assert_nothing_is_left(amili, sandbox)


async def agen(_: Any) -> Any:
    """An async generator, which a call does not run."""
    yield 1


@pytest.mark.parametrize("handler", [None, "book", Desk, agen])
async def test_a_handler_that_cannot_be_awaited_is_rejected(handler: Any, sandbox: Sandbox, amili: AmiliClient) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError, match="handler must be an async function"):
        await amili.payout_specifications.extract().for_each(handler)
    assert count_pages(sandbox) == 0


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, True, None])
async def test_a_wrong_concurrency_is_rejected(concurrency: Any, sandbox: Sandbox, amili: AmiliClient) -> None:
    """Before anything is sent, with the name of the argument."""
    with pytest.raises(ConfigurationError, match="concurrency must be a whole number"):
        await amili.payout_specifications.extract().for_each(Desk().handle, concurrency=concurrency)
    assert count_pages(sandbox) == 0
