"""Blocking work beside the event loop."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Run blocking *work* beside the event loop; a cancellation waits for it: what it writes to is closed next."""
    # Not to_thread: a task around each page would cost as much as the page.
    working = asyncio.get_running_loop().run_in_executor(None, partial(work, *arguments, **options))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait((working,))
        if not working.cancelled():
            working.exception()  # looked at, so that asyncio does not report it as forgotten
        raise
