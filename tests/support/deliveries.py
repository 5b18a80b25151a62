"""What tests of deliveries share: taking some, and failing one while the iteration waits for the server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from amili_async import Delivery
from amili_async.sandbox import Fault, Sandbox
from tests.support.clocks import happens
from tests.support.rows import count_pages


async def take(pages: AsyncIterator[Delivery[Any]], count: int) -> list[Delivery[Any]]:
    """The next deliveries, none of them done."""
    return [await anext(pages) for _ in range(count)]


async def fail_while_it_waits(pages: AsyncIterator[Delivery[Any]], sandbox: Sandbox) -> "asyncio.Task[None]":
    """Fail the first delivery while the request for a later one gets no response; the task that iterates."""
    (first,) = await take(pages, 1)
    sandbox.fail(Fault(hang=True), times=None)

    async def consume() -> None:
        async for page in pages:
            page.done()

    consuming = asyncio.create_task(consume())
    requests = count_pages(sandbox)
    await happens(lambda: count_pages(sandbox) > requests)
    first.failed(ValueError())
    return consuming
