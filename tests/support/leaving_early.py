"""Ways of leaving records that are being read, be they a stream's or an extraction's."""

import asyncio
from collections.abc import AsyncIterable
from typing import Any

import pytest

from amili_async import AmiliClient


async def leave_by_breaking(records: AsyncIterable[Any], amili: AmiliClient) -> None:
    async for _ in records:
        break


async def leave_by_an_exception(records: AsyncIterable[Any], amili: AmiliClient) -> None:
    async def consume() -> None:
        async for _ in records:
            raise KeyError

    with pytest.raises(KeyError):
        await consume()


async def leave_by_cancellation(records: AsyncIterable[Any], amili: AmiliClient) -> None:
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
