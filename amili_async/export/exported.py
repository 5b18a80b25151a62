"""What an export tells: while it runs, and at its end."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from amili_async.extraction import Manifest

Progress: TypeAlias = Callable[[int, int | None, float | None], object]
"""Called after each page: records written so far; how many in all, where that is known; seconds that the request budget
needs at least for the rest, where that is known."""


class Exported(Struct, frozen=True, kw_only=True):
    """What an export left behind."""

    path: Path
    """The file, as it was named by the caller."""
    rows: int
    """How many records are in it."""
    drifted: bool
    """Whether rows came or went meanwhile: the file of a stream may then miss some or hold some twice. The file of a
    resource holds each row that was there throughout once; of it, this says that the verdict is not `complete`."""
    manifest: Manifest | None = None
    """What the extraction says of itself: where a file was brought up to date, of the changes alone. `None` where the
    records are no resource's."""
    changed: int | None = None
    """How many rows were new or had changed, where a file was brought up to date."""
