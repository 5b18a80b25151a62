"""The prefetch window: how many fetches at once, how far ahead, in which order, and what is left behind."""

import asyncio
import random

import pytest

from amili_async._paging.prefetch import PrefetchWindow
from amili_async.errors import ClientClosed, ServerFault
from tests.support import internals
from tests.support.clocks import JumpingLoop, settle


class Pages:
    """Fetches that the test finishes, and the numbers of those that were started."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.open: dict[int, asyncio.Future[int]] = {}

    async def fetch(self, number: int) -> int:
        self.started.append(number)
        self.open[number] = asyncio.get_running_loop().create_future()
        return await self.open[number]

    def finish(self, *numbers: int) -> None:
        for number in numbers:
            self.open.pop(number).set_result(number)


def make_window(pages: Pages, *, concurrency: int, pages_ahead: int, last: int | None) -> PrefetchWindow[int]:
    window = PrefetchWindow(pages.fetch, concurrency=concurrency)
    window.pages_ahead, window.last_page = pages_ahead, last
    return window


async def test_no_more_fetches_are_in_flight_than_the_concurrency() -> None:
    """Of a hundred pages, three are in flight; when one ends, one more starts."""
    pages = Pages()
    window = make_window(pages, concurrency=3, pages_ahead=100, last=100)
    window.top_up()
    await settle()
    assert pages.started == [1, 2, 3]
    pages.finish(2)
    await settle()
    assert pages.started == [1, 2, 3, 4]
    await window.aclose()


async def test_no_page_is_fetched_farther_ahead_than_allowed() -> None:
    """Without a consumer, fetching stops at `pages_ahead` pages, finished ones included."""
    pages = Pages()
    window = make_window(pages, concurrency=3, pages_ahead=4, last=100)
    window.top_up()
    await settle()
    pages.finish(1, 2, 3)
    await settle()
    pages.finish(4)
    await settle()
    assert pages.started == [1, 2, 3, 4]
    assert await window.take() == 1
    window.top_up()
    await settle()
    assert pages.started == [1, 2, 3, 4, 5]
    await window.aclose()


def test_pages_are_delivered_in_order_at_any_latency() -> None:
    """Random latencies do not change the order, and the window keeps its connections busy."""

    async def fetch(number: int) -> int:
        await asyncio.sleep(random.Random(number).lognormvariate(0, 0.5))
        return number

    async def run() -> tuple[list[int], float]:
        window = PrefetchWindow(fetch, concurrency=10)
        window.pages_ahead, window.last_page = 40, 400
        received = []
        while (page := await window.take()) is not None:
            received.append(page)
        return received, asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        received, seconds = runner.run(run())
    assert received == list(range(1, 401))
    work = sum(random.Random(number).lognormvariate(0, 0.5) for number in range(1, 401))
    assert seconds < 1.1 * work / 10


async def test_a_failure_is_raised_in_order_and_stops_the_fetching() -> None:
    """Pages before the failed one are delivered; then its error is raised."""
    pages = Pages()
    window = make_window(pages, concurrency=2, pages_ahead=10, last=10)
    window.top_up()
    await settle()
    pages.open.pop(2).set_exception(ServerFault("down", status=503))
    await settle()
    assert pages.started == [1, 2]
    pages.finish(1)
    assert await window.take() == 1
    with pytest.raises(ServerFault):
        await window.take()
    await window.aclose()


async def test_closing_cancels_and_awaits_what_is_in_flight() -> None:
    """After aclose no task is left, and nothing more is started."""
    pages = Pages()
    window = make_window(pages, concurrency=5, pages_ahead=10, last=10)
    window.top_up()
    await settle()
    await window.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert all(future.cancelled() for future in pages.open.values())
    with pytest.raises(ClientClosed):
        await window.take()


async def test_a_waiting_consumer_raises_when_the_window_is_closed() -> None:
    """A consumer that was not cancelled itself raises `ClientClosed`, not `CancelledError`."""
    window = make_window(Pages(), concurrency=1, pages_ahead=1, last=1)
    consumer = asyncio.create_task(window.take())
    await settle()
    await window.aclose()
    with pytest.raises(ClientClosed):
        await consumer


async def test_a_page_that_arrives_while_the_window_closes_raises() -> None:
    """Closing in the same loop iteration in which a page arrives raises `ClientClosed`, not IndexError."""
    pages = Pages()
    window = make_window(pages, concurrency=1, pages_ahead=1, last=1)
    consumer = asyncio.create_task(window.take())
    await settle()
    internals.close_as_the_page_arrives(window)
    pages.finish(1)
    with pytest.raises(ClientClosed):
        await consumer


async def test_a_cancelled_consumer_stays_cancelled() -> None:
    """Cancelling the consumer does not become an error."""
    window = make_window(Pages(), concurrency=1, pages_ahead=1, last=1)
    consumer = asyncio.create_task(window.take())
    await settle()
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    await window.aclose()


async def test_a_cancellation_that_was_pending_cancels_the_consumer() -> None:
    """As after Ctrl-C between two pages: the consumer is cancelled, and the window does not report that it closed."""
    window = make_window(Pages(), concurrency=1, pages_ahead=1, last=None)

    async def consume() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await window.take()

    consumer = asyncio.create_task(consume())
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert consumer.cancelled()
    await window.aclose()


async def test_with_a_full_buffer_other_tasks_run_after_every_fourth_page() -> None:
    """While as many pages are buffered as may be in flight, the window yields every fourth page; else every page."""
    pages = Pages()
    window = make_window(pages, concurrency=2, pages_ahead=12, last=12)
    window.top_up()
    await settle()
    for number in range(1, 13):
        pages.finish(number)
        await settle()
    turns: list[int] = []
    loop = asyncio.get_running_loop()
    for number in range(1, 13):
        loop.call_soon(turns.append, number)
        assert await window.take() == number
        turns.append(0)
    looked_before = [number for number in range(1, 13) if turns.index(number) < _nth_zero(turns, number)]
    assert looked_before == [4, 8, 11, 12]
    await window.aclose()


def _nth_zero(turns: list[int], nth: int) -> int:
    return [place for place, count in enumerate(turns) if count == 0][nth - 1]
