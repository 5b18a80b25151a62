"""The ordered window: how many at once, how far ahead, in which order, and what is left behind."""

import asyncio
import random

import pytest

from amili_async._paging.prefetch import PrefetchWindow
from amili_async.errors import ConfigurationError, ServerFault
from tests.support.clocks import JumpingLoop, settle


class Pages:
    """Fetches that end when the test says so, and a note of what was started."""

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


def make_window(pages: Pages, *, width: int, ahead: int, last: int | None) -> PrefetchWindow[int]:
    window = PrefetchWindow(pages.fetch, width=width)
    window.ahead, window.last = ahead, last
    return window


async def test_never_more_in_flight_than_the_width() -> None:
    """Of a hundred pages, three are in flight; when one ends, one more starts."""
    pages = Pages()
    window = make_window(pages, width=3, ahead=100, last=100)
    window.top_up()
    await settle()
    assert pages.started == [1, 2, 3]
    pages.finish(2)
    await settle()
    assert pages.started == [1, 2, 3, 4]
    await window.aclose()


async def test_never_farther_ahead_than_allowed() -> None:
    """With nobody consuming, fetching stops at `ahead` pages, finished ones included."""
    pages = Pages()
    window = make_window(pages, width=3, ahead=4, last=100)
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


def test_pages_come_in_order_whatever_their_latencies() -> None:
    """Random latencies change nothing in the order, and the window keeps its connections busy."""

    async def fetch(number: int) -> int:
        await asyncio.sleep(random.Random(number).lognormvariate(0, 0.5))
        return number

    async def run() -> tuple[list[int], float]:
        window = PrefetchWindow(fetch, width=10)
        window.ahead, window.last = 40, 400
        received = []
        while (page := await window.take()) is not None:
            received.append(page)
        return received, asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        received, seconds = runner.run(run())
    assert received == list(range(1, 401))
    work = sum(random.Random(number).lognormvariate(0, 0.5) for number in range(1, 401))
    assert seconds < 1.1 * work / 10


async def test_a_failure_comes_in_its_turn_and_starts_nothing_more() -> None:
    """Pages before the failed one are delivered; then its error is raised."""
    pages = Pages()
    window = make_window(pages, width=2, ahead=10, last=10)
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


async def test_closing_cancels_and_awaits_what_is_under_way() -> None:
    """After aclose no task is left, and nothing more is started."""
    pages = Pages()
    window = make_window(pages, width=5, ahead=10, last=10)
    window.top_up()
    await settle()
    await window.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert all(future.cancelled() for future in pages.open.values())
    with pytest.raises(ConfigurationError):
        await window.take()


async def test_who_waits_while_somebody_else_closes_is_told_so() -> None:
    """A consumer that was not cancelled itself gets an error, not a cancellation."""
    window = make_window(Pages(), width=1, ahead=1, last=1)
    consumer = asyncio.create_task(window.take())
    await settle()
    await window.aclose()
    with pytest.raises(ConfigurationError):
        await consumer


async def test_a_page_that_arrives_as_the_window_closes_is_told_as_closed() -> None:
    """Closing in the same step in which a page arrives is no IndexError."""
    pages = Pages()
    window = make_window(pages, width=1, ahead=1, last=1)
    consumer = asyncio.create_task(window.take())
    await settle()
    (task,) = window._tasks
    task.add_done_callback(lambda _: window._tasks.clear())
    window._is_closed = True
    pages.finish(1)
    with pytest.raises(ConfigurationError):
        await consumer


async def test_a_consumer_that_is_cancelled_stays_cancelled() -> None:
    """Cancelling the consumer is not turned into an error."""
    window = make_window(Pages(), width=1, ahead=1, last=1)
    consumer = asyncio.create_task(window.take())
    await settle()
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    await window.aclose()


async def test_who_has_plenty_in_hand_lets_others_run_after_each_fourth_page() -> None:
    """While as many pages wait as may be in flight, the loop turns once in four pages; with fewer, at each."""
    pages = Pages()
    window = make_window(pages, width=2, ahead=12, last=12)
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
    return [place for place, turn in enumerate(turns) if turn == 0][nth - 1]
