"""A sandbox in a process of its own, so that the server's work is not counted as the client's."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from amili_async.sandbox import Sandbox


@contextmanager
def serve(*, specifications: int, latency: float) -> Iterator[tuple[str, str]]:
    """Url and token of a running sandbox without a rate limit."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, specifications, latency), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join()


def _serve(pipe: Connection, specifications: int, latency: float) -> None:
    async def run() -> None:
        async with Sandbox(
            specifications=specifications, rate_limit=None, latency=latency, token_lifetime=86_400
        ) as sandbox:
            pipe.send((sandbox.url, sandbox.token()))
            await asyncio.to_thread(pipe.recv)

    asyncio.run(run())
