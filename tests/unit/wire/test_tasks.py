"""Task helpers: a cancellation waits for work that must be finished, and no repr shows what a struct hides."""

import asyncio
import gc
import weakref
from contextlib import suppress

import pytest
from msgspec import Struct
from rich.pretty import pretty_repr

from amili_async._wire.tasks import (
    Cancellable,
    Redacted,
    RunningCall,
    cancel_all,
    count_cancellations,
    finish_uncancelled,
    hide_contents,
)
from amili_async.errors import ClientClosed
from tests.support.clocks import GUARD, settle


class Result:
    """The result of the work."""


async def test_a_result_is_freed_once_the_work_is_dropped() -> None:
    """The cancellation forms no cycle with the result, which would live on until the garbage collector runs."""
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


async def test_an_error_after_a_cancellation_is_not_logged_as_never_retrieved() -> None:
    """The cancelled caller has no use for the error, so it counts as retrieved."""
    logged: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: logged.append(context))
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
    assert logged == []


async def wait_within(running: set[Cancellable], *, was_sent: bool = False) -> str:
    """A call that waits for ever."""
    with RunningCall(running, "GET /x") as call:
        call.was_sent = was_sent
        await asyncio.Event().wait()
    raise call.closed()


@pytest.mark.parametrize("was_sent", [False, True])
async def test_closing_ends_a_call_without_cancelling_its_task(was_sent: bool) -> None:
    """The error knows whether anything was sent; the task can go on, also one that once caught a cancellation."""
    running: set[Cancellable] = set()
    errors: list[ClientClosed] = []

    async def work() -> int:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        try:
            await wait_within(running, was_sent=was_sent)
        except ClientClosed as error:
            errors.append(error)
        await asyncio.sleep(0)
        return count_cancellations()

    task = asyncio.create_task(work())
    await settle()
    task.cancel()
    await settle()
    await cancel_all(running)
    assert await asyncio.wait_for(task, GUARD) == 1
    (error,) = errors
    assert (error.was_sent, error.was_not_processed, error.request) == (was_sent, not was_sent, "GET /x")
    assert error.__context__ is None
    assert running == set()


@pytest.mark.parametrize("is_closed_first", [False, True])
async def test_a_cancellation_of_the_task_wins_over_closing(is_closed_first: bool) -> None:
    """A caller that is cancelled while the client closes gets its `CancelledError`, whichever is first."""
    running: set[Cancellable] = set()
    task = asyncio.create_task(wait_within(running))
    await settle()
    if is_closed_first:
        await cancel_all(running)
    task.cancel()
    await cancel_all(running)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_that_closes_its_own_client_is_not_cancelled() -> None:
    """Its task runs and cannot be woken; the call sees that it is closed."""
    running: set[Cancellable] = set()
    with RunningCall(running) as call:
        await cancel_all(running)
        await asyncio.sleep(0)
    assert call.is_closed


@hide_contents
class Labelled(Struct):
    """A struct with a `__repr__` of its own."""

    label: str
    secret: str

    def __repr__(self) -> str:
        return f"Labelled({self.label})"


class Derived(Labelled):
    """A subclass without a decorator."""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Redacted(["secret"]), "Redacted(<hidden>)"),
        (Labelled("label", "secret"), "Labelled(label)"),
        (Derived("label", "secret"), "Labelled(label)"),
    ],
)
def test_no_repr_shows_hidden_contents(value: Struct, expected: str) -> None:
    """`repr`, also inside another value, and rich show the class or what the class's own `__repr__` returns."""
    assert (repr(value), repr([value]), pretty_repr(value)) == (expected, f"[{expected}]", expected)
