"""The parameters `page` and `max_results`, as Eve 2.3 reads them."""

from collections.abc import Mapping

from msgspec import Struct

from .errors import ServerCrash

# Named after the settings of Eve 2.3; the API documents both values.
PAGINATION_DEFAULT = 25
PAGINATION_LIMIT = 100
_MAX_SKIP = 2**63


class PageSlice(Struct, frozen=True):
    """One page of a list, numbered from 1."""

    page: int
    max_results: int

    @property
    def start(self) -> int:
        """The number of rows before the page."""
        return (self.page - 1) * self.max_results


def parse_page_slice(query: Mapping[str, str]) -> PageSlice:
    """The requested page. An odd value becomes the default or crashes the server, as `max_results=inf` does."""
    page_slice = PageSlice(page=_read_page(query.get("page")), max_results=_read_size(query.get("max_results")))
    if page_slice.start >= _MAX_SKIP:
        raise ServerCrash("MongoDB skips at most 2**63 - 1 rows")
    return page_slice


def _read_size(text: str | None) -> int:
    try:
        size = int(float(text)) if text is not None else PAGINATION_DEFAULT
    except ValueError:
        return PAGINATION_DEFAULT
    except OverflowError as error:  # int(float("inf")): Eve 2.3 catches ValueError only
        raise ServerCrash("an infinite page size") from error
    return min(size, PAGINATION_LIMIT) if size > 0 else PAGINATION_DEFAULT


def _read_page(text: str | None) -> int:
    try:
        return abs(int(text)) or 1 if text is not None else 1  # Eve 2.3: page=-2 is page 2
    except ValueError:
        return 1
