"""The prefetch window under any order of responses, failures, takes, cancellations and closings."""

import asyncio
from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from amili_async._paging.prefetch import PrefetchWindow
from amili_async.errors import ClientClosed, ServerFault
from tests.support.clocks import settle
from tests.support.exhaustive import examples

Operation: TypeAlias = tuple[Any, ...]

operations = st.lists(
    st.one_of(
        st.tuples(st.just("take")),
        st.tuples(st.just("finish"), st.integers(0, 9)),
        st.tuples(st.just("finish"), st.integers(0, 9)),
        st.tuples(st.just("finish several")),
        st.tuples(st.just("fail"), st.integers(0, 9)),
        st.tuples(st.just("raise ahead"), st.integers(1, 3)),
        st.tuples(st.just("settle")),
    ),
    max_size=60,
)
ends = st.sampled_from(["drain", "close", "cancel", "close while taking", "cancel with the result"])


class WindowModel:
    """A window, its fetches in flight, and the consumer that takes from it."""

    def __init__(self, concurrency: int, pages_ahead: int, last: int | None) -> None:
        self.window: PrefetchWindow[int] = PrefetchWindow(self._fetch, concurrency=concurrency)
        self.window.pages_ahead, self.window.last_page = pages_ahead, last
        self.concurrency = concurrency
        self.open: dict[int, asyncio.Future[int]] = {}
        self.started: list[int] = []
        self.failed: set[int] = set()
        self.taken: list[int] = []
        self.consumer: asyncio.Task[None] | None = None
        self.has_ended = False
        self.error: BaseException | None = None

    async def _fetch(self, number: int) -> int:
        self.started.append(number)
        self.open[number] = asyncio.get_running_loop().create_future()
        assert len(self.open) <= self.concurrency, "more in flight than the concurrency"
        assert number - len(self.taken) <= self.window.pages_ahead + 1, "farther ahead than allowed"
        assert self.window.last_page is None or number <= self.window.last_page, "beyond the last page"
        try:
            return await self.open[number]
        finally:
            del self.open[number]

    async def _consume(self) -> None:
        try:
            page = await self.window.take()
        except ServerFault as error:
            self.error = error
            return
        if page is None:
            self.has_ended = True
        else:
            self.taken.append(page)

    async def do(self, what: str, *details: Any) -> None:
        if what == "take" and (self.consumer is None or self.consumer.done()) and self.error is None:
            self.consumer = asyncio.create_task(self._consume())
        elif what == "finish" and self.open:
            self._finish(sorted(self.open)[details[0] % len(self.open)])
        elif what == "finish several":
            for number in sorted(self.open, reverse=True):
                self._finish(number)
        elif what == "fail" and self.open:
            number = sorted(self.open)[details[0] % len(self.open)]
            self.failed.add(number)
            self.open[number].set_exception(ServerFault("down", status=503))
        elif what == "raise ahead":
            self.window.pages_ahead += details[0]
        await settle(6)
        assert self.taken == list(range(1, len(self.taken) + 1)), "out of order"
        assert self.started == sorted(set(self.started)), "fetched twice, or out of order"
        assert self.error is None or len(self.taken) + 1 in self.failed, "a failure that was raised out of order"

    def _finish(self, number: int) -> None:
        if not self.open[number].done():
            self.open[number].set_result(number)

    async def end(self, how: str) -> None:
        """Leave the window in one way; nothing may stay behind."""
        if how == "drain":
            for _ in range(3 * (self.window.last_page or 0) + 9):
                await self.do("finish several")
                await self.do("take")
            expected = min(self.failed, default=(self.window.last_page or 0) + 1) - 1
            if self.window.last_page is not None:
                assert len(self.taken) == expected
                assert self.has_ended == (not self.failed)
        else:
            await self._leave(how)
        await self.window.aclose()
        if self.consumer is not None:  # a consumer that waited while it was closed raises
            (end,) = await asyncio.gather(self.consumer, return_exceptions=True)
            assert end is None or isinstance(end, ClientClosed | asyncio.CancelledError)
        assert asyncio.all_tasks() - {asyncio.current_task()} == set()
        assert self.open == {}

    async def _leave(self, how: str) -> None:
        await self.do("take")
        consumer, is_waiting = self.consumer, self.consumer is not None and not self.consumer.done()
        if consumer is None or not is_waiting or how == "close":
            return
        if how == "cancel with the result" and len(self.taken) + 1 in self.open:
            self._finish(len(self.taken) + 1)
        if how == "close while taking":
            await self.window.aclose()
        else:
            consumer.cancel()
        (end,) = await asyncio.gather(consumer, return_exceptions=True)
        assert isinstance(end, ClientClosed if how == "close while taking" else asyncio.CancelledError)


@examples(400)
@given(st.integers(1, 4), st.integers(1, 9), st.none() | st.integers(0, 15), operations, ends)
def test_pages_are_delivered_in_order_and_nothing_stays_behind(
    concurrency: int, pages_ahead: int, last: int | None, history: list[Operation], how: str
) -> None:
    """The limits hold, each failure is raised in order, and no task is left."""

    async def run() -> None:
        model = WindowModel(concurrency, pages_ahead, last)
        for operation in history:
            await model.do(*operation)
        await model.end(how)

    asyncio.run(run())
