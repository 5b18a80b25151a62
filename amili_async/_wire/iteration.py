"""What the package hands out to be iterated: an async generator that never seems complete when it was cut off.

Invariant: after a cancellation or an error, the next request for an item raises `ClientClosed`. A generator of Python's
own is finished then, and ends the loop of a consumer that continues after a timeout as if the list were complete.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Never, TypeVar
from weakref import ref

from amili_async._wire.frames import hide_own_frames
from amili_async._wire.tasks import not_picklable
from amili_async.errors import ClientClosed

C = TypeVar("C")
T = TypeVar("T")


@not_picklable
class Iteration(AsyncGenerator[T, None]):
    """The items of each chunk of a generator, one by one; closing it closes that generator."""

    # A method would cost Python code for each record: as an attribute, it is the generator's own, which is C.
    __slots__ = ("__anext__", "__weakref__", "_generator")
    __anext__: Callable[[], Coroutine[Any, Any, T]]

    def __init__(self, chunks: AsyncGenerator[C, None], items_of: Callable[[C], Iterable[T]]) -> None:
        # By a weak reference: in a cycle, what a `break` leaves in flight would run on until the next collection.
        self._generator = _flatten(ref(self), chunks, items_of)
        self.__anext__ = self._generator.__anext__

    def asend(self, _: None) -> Coroutine[Any, Any, T]:
        """The next item."""
        return self.__anext__()

    def athrow(self, *error: Any) -> Coroutine[Any, Any, T]:
        """Raise an error where the generator is."""
        return self._generator.athrow(*error)

    def aclose(self) -> Coroutine[Any, Any, None]:
        """Cancel what is in flight."""
        return self._generator.aclose()


async def _flatten(
    iteration: "ref[Iteration[T]]", chunks: AsyncGenerator[C, None], items_of: Callable[[C], Iterable[T]]
) -> AsyncGenerator[T, None]:
    try:
        async for chunk in chunks:
            for item in items_of(chunk):
                yield item
            # Reports of errors show the variables of each frame, and a later chunk may fail.
            item = chunk = None  # type: ignore[assignment]
    except GeneratorExit:
        raise
    except BaseException as error:
        hide_own_frames(error)
        found = iteration()
        if found is not None:
            found.__anext__ = partial(_raise_cut_off, type(error).__name__)
        del found  # the traceback holds this frame: a cycle, which would keep all of this until the next collection
        raise
    finally:
        # The collection of a cycle finalizes both generators; the inner one can be first, and is closing then.
        if not getattr(chunks, "ag_running", False):
            await chunks.aclose()


async def _raise_cut_off(reason: str) -> Never:
    raise ClientClosed(
        f"this iteration was cut off by {reason}, so the rest of it is missing: begin another one. To wait for a "
        "limited time, use asyncio.wait() with a task for anext(); asyncio.wait_for() cancels it"
    )


def alone(chunk: C) -> tuple[C]:
    """The chunk as the only item."""
    return (chunk,)
