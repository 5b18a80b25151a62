"""What Eve makes of `page` and `max_results`."""

from collections.abc import Mapping

import msgspec

from .errors import Broken

DEFAULT_SIZE = 25
LARGEST_SIZE = 100
_LARGEST_SKIP = 2**63


class Window(msgspec.Struct, frozen=True):
    """One page of a listing, numbered from 1."""

    page: int
    max_results: int

    @property
    def start(self) -> int:
        """How many rows come before it."""
        return (self.page - 1) * self.max_results


def read_window(query: Mapping[str, str]) -> Window:
    """The page asked for. Odd values become the default or, as `max_results=inf` does, break the server."""
    window = Window(page=_read_page(query.get("page")), max_results=_read_size(query.get("max_results")))
    if window.start >= _LARGEST_SKIP:
        raise Broken("the database counts with 64 bits")
    return window


def _read_size(text: str | None) -> int:
    try:
        size = int(float(text)) if text is not None else DEFAULT_SIZE
    except ValueError:
        return DEFAULT_SIZE
    except OverflowError as error:
        raise Broken("an infinite page") from error
    return min(size, LARGEST_SIZE) if size > 0 else DEFAULT_SIZE


def _read_page(text: str | None) -> int:
    try:
        return abs(int(text)) or 1 if text is not None else 1
    except ValueError:
        return 1
