"""An iteration that was cut off raises when it is asked again; one that is complete or closed ends."""

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from amili_async._wire.iteration import Iteration, alone
from amili_async.errors import ClientClosed
from tests.support.clocks import settle


class Source:
    """Chunks of two items, of which each waits at a gate once the first ones were delivered."""

    def __init__(self, chunks: int = 3, failure: type[Exception] | None = None) -> None:
        self.chunks = chunks
        self.failure = failure
        self.gate = asyncio.Event()
        self.is_closed = False

    async def generate(self) -> AsyncGenerator[tuple[int, int], None]:
        try:
            for number in range(self.chunks):
                if number == 1:
                    await self.gate.wait()
                    if self.failure is not None:
                        raise self.failure
                yield (2 * number, 2 * number + 1)
        finally:
            self.is_closed = True


def flat(source: Source) -> Iteration[int]:
    return Iteration(source.generate(), lambda chunk: chunk)


async def test_every_item_is_delivered_once_and_the_end_stays_the_end() -> None:
    """A complete iteration ends with `StopAsyncIteration`, however often it is asked."""
    source = Source()
    source.gate.set()
    items = flat(source)
    assert [item async for item in items] == [0, 1, 2, 3, 4, 5]
    for _ in range(2):
        assert await anext(items, "end") == "end"


async def test_a_chunk_can_be_an_item() -> None:
    """With `alone` the chunks themselves are delivered."""
    source = Source(chunks=1)
    assert [chunk async for chunk in Iteration(source.generate(), alone)] == [(0, 1)]


WAYS_TO_ASK: list[Callable[[Iteration[int]], Any]] = [
    anext,
    lambda items: items.asend(None),
    lambda items: items.__anext__(),
]


@pytest.mark.parametrize("ask", WAYS_TO_ASK, ids=["anext", "asend", "dunder"])
async def test_after_a_cancellation_it_raises_each_time(ask: Callable[[Iteration[int]], Any]) -> None:
    """A consumer that continues after a timeout does not mistake the cancellation for the end of the list."""
    source = Source()
    items = flat(source)
    assert [await anext(items), await anext(items)] == [0, 1]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(items), 0.001)
    assert source.is_closed
    for _ in range(2):
        with pytest.raises(ClientClosed, match="cut off by CancelledError"):
            await ask(items)


async def test_after_an_error_it_raises_each_time() -> None:
    """A consumer that catches an error and continues does not mistake it for the end of the list either."""
    source = Source(failure=KeyError)
    source.gate.set()
    items = flat(source)
    assert [await anext(items), await anext(items)] == [0, 1]
    with pytest.raises(KeyError):
        await anext(items)
    for _ in range(2):
        with pytest.raises(ClientClosed, match="cut off by KeyError"):
            await anext(items)


async def test_closing_it_closes_its_source() -> None:
    """`aclose()` closes the generator of the chunks at once, and the iteration has ended then."""
    source = Source()
    items = flat(source)
    await anext(items)
    await items.aclose()
    assert source.is_closed
    assert await anext(items, "end") == "end"


async def test_an_error_can_be_thrown_into_it() -> None:
    """`athrow()` raises where the generator is, which closes the source."""
    source = Source()
    items = flat(source)
    await anext(items)
    with pytest.raises(KeyError):
        await items.athrow(KeyError())
    assert source.is_closed


async def test_one_that_is_dropped_is_closed_without_the_garbage_collector() -> None:
    """After a `break` the source is closed by the next passes of the loop: no reference cycle keeps it."""
    source = Source()
    gc.disable()
    try:
        items = flat(source)
        await anext(items)
        dropped = weakref.ref(items)
        del items
        assert dropped() is None
        await settle(5)
        assert source.is_closed
    finally:
        gc.enable()
