"""JSON that may be anything: it is what it should be, or it is not, and no text says what it is instead."""

from contextlib import suppress
from typing import TypeVar

import msgspec

T = TypeVar("T")


def decode_json(text: str | bytes, form: type[T]) -> T | None:
    """The value, or `None` where it is no JSON of that form; what is wrong with it would quote it."""
    with suppress(msgspec.MsgspecError, ValueError, RecursionError):
        return msgspec.json.decode(text, type=form)
    return None
