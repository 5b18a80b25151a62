"""Blocking work beside the event loop, and beside other blocking work."""

import asyncio
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
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


def work_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The same items, each worked out in another thread while the one before it is used; once closed, none is."""
    with ThreadPoolExecutor(1) as beside:
        nothing = object()
        coming = beside.submit(next, items, nothing)
        while (item := coming.result()) is not nothing:
            coming = beside.submit(next, items, nothing)
            yield item  # type: ignore[misc]
