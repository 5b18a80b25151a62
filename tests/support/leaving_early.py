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
from tests.support.clocks import settle


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
    while not any(call.was_sent for call in internals.running_calls(amili)):
        await settle(1)
    await settle(50)  # until the request has arrived, of which the server holds the response
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
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    assert [task for task in tasks if "RequestHandler" not in repr(task)] == []  # the sandbox has one a connection
    assert internals.running_iterations(amili) == set()
    assert sandbox.in_flight == 0


async def hold_a_while() -> None:
    """For `internals.hold_responses`: respond once the client has sent every request that it may send."""
    await settle(100)
