"""The parameter `sort`, as Eve 2.3 reads it, and the sort key of a row."""

import re
from collections.abc import Callable
from typing import TypeAlias

from .bson_values import ARRAY_KIND, EMPTY_ARRAY_IN_A_SORT, NULL, BsonValue, RowFields, path_reader
from .errors import HttpError, ServerCrash, not_implemented

SortOrder: TypeAlias = tuple[tuple[str, int], ...]

_LITERAL_STARTS = tuple("[({'\"0123456789")
_NAME = re.compile(r"-*[^\W\d]\w*(?:[.-][^\W\d]\w*)*")


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
    if value[0] != ARRAY_KIND:
        return (value,)
    return value[1] or (EMPTY_ARRAY_IN_A_SORT,)
