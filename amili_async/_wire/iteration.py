"""An iteration that never looks finished after it was cut off.

Python finishes an async generator that raises, so that the next `anext` ends the loop as if the list were over. A
`wait_for(anext(items), 5)` in a loop that continues after its `TimeoutError` would then lose the rest in silence.
"""

from collections.abc import AsyncGenerator
from typing import Any, TypeVar

from amili_async.errors import ClientClosed

T = TypeVar("T")


class Iteration(AsyncGenerator[T, None]):
    """A generator that, after a cancellation or an error has ended it, raises `ClientClosed` instead of finishing."""

    def __init__(self, generator: AsyncGenerator[T, None]) -> None:
        self._generator = generator
        self._cut_off_by = ""

    async def asend(self, value: None) -> T:
        if self._cut_off_by:
            raise ClientClosed(
                f"the iteration was cut off by {self._cut_off_by}, so the rest of it is missing: start another one"
            )
        try:
            return await self._generator.asend(value)
        except StopAsyncIteration:
            raise
        except BaseException as error:
            # A second `anext` at the same time raises too, and ends nothing: the frame shows which it is.
            if getattr(self._generator, "ag_frame", None) is None:
                self._cut_off_by = type(error).__name__
            raise

    async def athrow(self, *error: Any) -> T:
        return await self._generator.athrow(*error)

    async def aclose(self) -> None:
        await self._generator.aclose()
