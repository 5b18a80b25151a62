"""Outlasting: who is cancelled waits for what cannot be, and keeps nothing of it."""

import asyncio
import gc
import weakref
from contextlib import suppress

from amili_async._wire.tasks import finish_uncancelled
from tests.support.clocks import settle


class Result:
    """What the work brought."""


async def test_what_the_work_brought_lives_no_longer_than_it_is_wanted() -> None:
    """A cancellation that has waited is in no cycle with it, so that nothing has to wait for the garbage collector."""
    work: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(finish_uncancelled(work))
    await settle()
    waiting.cancel()
    await settle()
    assert not waiting.done()
    work.set_result(Result())
    gc.disable()
    try:
        with suppress(asyncio.CancelledError):
            await waiting
        assert waiting.cancelled()
        result = weakref.ref(work.result())
        del work, waiting
        await settle()
        assert result() is None
    finally:
        gc.enable()


async def test_an_error_that_nobody_waits_for_is_not_reported_as_forgotten() -> None:
    """It was looked at: who was cancelled has no use for it."""
    told: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    work: asyncio.Future[None] = loop.create_future()
    waiting = asyncio.create_task(finish_uncancelled(work))
    await settle()
    waiting.cancel()
    await settle()
    work.set_exception(OSError())
    with suppress(asyncio.CancelledError):
        await waiting
    del work, waiting
    await settle()
    gc.collect()
    assert told == []
