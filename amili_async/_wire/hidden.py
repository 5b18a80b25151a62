"""What a task brings, when it is records or is made of them: asyncio's debug mode logs the result of every task."""

from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Hidden(Struct, Generic[T], frozen=True):
    """Something that no text shows."""

    content: T
    """To be taken out by whoever waits for the task."""

    def __repr__(self) -> str:
        return f"Hidden({type(self.content).__name__})"

    __rich_repr__ = None  # type: ignore[assignment]  # rich would show what repr hides
