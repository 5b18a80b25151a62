"""Processes of a test: each is forked from one that has imported everything, and runs an async function until it ends.

The test and a process exchange messages in both directions, so that the test decides when what happens.
"""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.support.processes", "amili_async.shared", "asyncpg", "redis.asyncio"])


class Messages:
    """One end of the connection between a test and one of its processes."""

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self._connection = connection

    def send(self, message: object) -> None:
        """Send to the other end."""
        self._connection.send(message)

    async def receive(self) -> Any:
        """The next message of the other end; `EOFError` if it has ended."""
        return await asyncio.to_thread(self._connection.recv)


Job = Callable[..., Awaitable[object]]
"""What a process runs: an async function of its `Messages` and further arguments; its result is the last message."""


class Worker(Messages):
    """A running process."""

    def __init__(self, process: Any, connection: "Connection[Any, Any]") -> None:
        super().__init__(connection)
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self._process.pid)

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.kill()
        self._process.join()


def start_worker(stack: ExitStack, job: Job, *arguments: object) -> Worker:
    """Start a process that runs *job*; it is killed, if it still runs, when *stack* closes."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_run, args=(job, theirs, arguments), daemon=True)
    process.start()
    theirs.close()
    worker = Worker(process, ours)
    stack.callback(worker.kill)
    stack.callback(ours.close)
    return worker


def _run(job: Job, connection: "Connection[Any, Any]", arguments: tuple[object, ...]) -> None:
    async def run() -> None:
        messages = Messages(connection)
        messages.send(await job(messages, *arguments))

    asyncio.run(run())
