"""Task helpers: a cancellation waits for work that must be finished, and no repr shows what a struct hides."""

import asyncio
import gc
import weakref
from contextlib import suppress

import pytest
from msgspec import Struct
from rich.pretty import pretty_repr

from amili_async._wire.tasks import Redacted, finish_uncancelled, hide_contents
from tests.support.clocks import settle


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
