"""Blocking work beside the event loop."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from amili_async._wire.cancellation import outlast

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Run blocking *work* beside the event loop; a cancellation waits for it: what it writes to is closed next.

    What it opens would be lost with its result: it leaves that to somebody who outlives the wait, such as an ExitStack.
    """
    # Not to_thread: a task around each page would cost as much as the page.
    working = asyncio.get_running_loop().run_in_executor(None, partial(work, *arguments, **options))
    await outlast(working)
    return working.result()
