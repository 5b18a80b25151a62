"""Ways of leaving an iteration before its end, and the check that nothing of it is left behind."""

import asyncio
import gc
from collections.abc import AsyncIterable
from contextlib import aclosing
from typing import Any

import pytest

from amili_async import AmiliClient, AmiliError
from amili_async.sandbox import Sandbox
from tests.support import internals
from tests.support.clocks import happens, settle


def iterate(records: Any) -> Any:
    """An iterator over the pages of a stream, the batches of an extraction, or whatever else can be iterated."""
    by_pages = getattr(records, "pages", None) or getattr(records, "batches", None)
    return aiter(records) if by_pages is None else by_pages()


async def leave_by_breaking(records: AsyncIterable[Any], amili: AmiliClient) -> None:
    """`break` out of the loop."""
    async for _ in records:
        break


async def leave_by_an_exception(records: AsyncIterable[Any], amili: AmiliClient) -> None:
    """Raise in the body of the loop."""

    async def consume() -> None:
        async for _ in records:
            raise KeyError

    with pytest.raises(KeyError):
        await consume()


async def leave_by_cancellation(records: AsyncIterable[Any], amili: AmiliClient) -> None:
    """Cancel a consumer that waits in the body of the loop."""
    has_begun = asyncio.Event()

    async def consume() -> None:
        async for _ in records:
            has_begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(consume())
    await has_begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def leave_while_waiting_for_a_page(records: AsyncIterable[Any], amili: AmiliClient) -> None:
    """Cancel a consumer whose request is in flight; the server must hold its responses."""

    async def consume() -> None:
        async for _ in records:
            pass

    task = asyncio.create_task(consume())
    await happens(lambda: hold_a_while.held and any(call.was_sent for call in internals.running_calls(amili)))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def leave_by_closing_the_iterator(records: AsyncIterable[Any], amili: AmiliClient) -> None:
    """Close the iterator after its first page."""
    async with aclosing(iterate(records)) as pages:
        await anext(pages)


async def leave_by_closing_the_client(records: AsyncIterable[Any], amili: AmiliClient) -> None:
    """Close the client, and reopen it; what was fetched already may still be delivered."""
    pages = iterate(records)
    await anext(pages)
    await amili.aclose()
    with pytest.raises(AmiliError, match="closed"):
        _ = [page async for page in pages]
    await amili.open()


WAYS = [
    leave_by_breaking,
    leave_by_an_exception,
    leave_by_cancellation,
    leave_while_waiting_for_a_page,
    leave_by_closing_the_iterator,
    leave_by_closing_the_client,
]
"""The ways that every iteration can be left by."""


async def assert_nothing_is_left(amili: AmiliClient, sandbox: Sandbox) -> None:
    """No task, no request in flight and no iteration that the client would have to close; garbage warns of nothing."""
    gc.collect()
    await settle(500)
    await happens(lambda: not sandbox.in_flight)  # the server sees a moment later that a connection was closed
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    assert [task for task in tasks if "RequestHandler" not in repr(task)] == []  # the sandbox has one a connection
    assert internals.running_iterations(amili) == set()


class _Hold:
    """For `internals.hold_responses`: respond a hundred iterations of the loop later."""

    held = 0
    """Requests that are held."""

    async def __call__(self) -> None:
        self.held += 1
        try:
            await settle(100)
        finally:
            self.held -= 1


hold_a_while = _Hold()


def hold_until(sandbox: Sandbox, in_flight: int, *, after: int = 0, method: str = "GET") -> None:
    """Answer no request of a method, after the first *after* of them, before so many are in flight at once."""
    internals.hold_responses(
        sandbox,
        lambda: happens(lambda: sandbox.most_in_flight >= in_flight),
        which=lambda request: (
            request.method == method and sum(each.method == method for each in sandbox.requests) > after
        ),
    )
