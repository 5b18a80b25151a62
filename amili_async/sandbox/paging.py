"""The parameters `page`, `max_results` and `sort`, as Eve 2.3 reads them, and the sort key of a row."""

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from msgspec import Struct

from .answers import HttpError, ServerCrash, not_implemented
from .bson_values import ARRAY_KIND, EMPTY_ARRAY_IN_A_SORT, NULL, BsonValue, RowFields, path_reader

SortOrder: TypeAlias = tuple[tuple[str, int], ...]

# Named after the settings of Eve 2.3; the API documents both values.
PAGINATION_DEFAULT = 25
PAGINATION_LIMIT = 100
_MAX_SKIP = 2**63
_LITERAL_STARTS = tuple("[({'\"0123456789")
_NAME = re.compile(r"-*[^\W\d]\w*(?:[.-][^\W\d]\w*)*")


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


def parse_sort(text: str | None) -> SortOrder:
    """The names and directions (1 or -1), the most significant first."""
    if not text:
        return ()
    # Eve 2.3 evaluates the text as a Python literal first, so `[("amount", -1)]` is an order for it too.
    if text.lstrip().startswith(_LITERAL_STARTS):
        raise not_implemented("`sort` as a Python or JSON literal; list the fields, as in `-_created,_id`")
    *names, last = (name.strip() for name in text.split(","))
    # What is not a Python expression is a 400, such as an empty name anywhere but at the end.
    if not all(map(_NAME.fullmatch, names)) or not (_NAME.fullmatch(last) or (names and not last)):
        raise HttpError(400)
    # As a dict, because a name that appears twice keeps its first place and takes its last direction.
    return tuple(dict(_read_name(name) for name in (*names, last)).items())


def _read_name(name: str) -> tuple[str, int]:
    if not name:
        raise ServerCrash("a trailing comma: Eve 2.3 reads the first character of every name")
    return (name[1:], -1) if name[0] == "-" else (name, 1)


def sort_key(name: str, direction: int) -> Callable[[RowFields], BsonValue]:
    """The key of a row under one name. A missing field counts as null, an array as its smallest or largest element."""
    read, choose = path_reader(name), min if direction > 0 else max

    def key(fields: RowFields) -> BsonValue:
        found = read(fields)
        if len(found) == 1 and (found[0] is None or found[0][0] != ARRAY_KIND):
            return found[0] or NULL
        return choose((each for value in found for each in _candidates(value or NULL)), default=NULL)

    return key


def _candidates(value: BsonValue) -> tuple[BsonValue, ...]:
    return (value,) if value[0] != ARRAY_KIND else value[1] or (EMPTY_ARRAY_IN_A_SORT,)
