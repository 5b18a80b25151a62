"""What `sort` asks for, as Eve and its database driver read it, and the order of rows that follows."""

import re
from collections.abc import Callable
from typing import TypeAlias

from .bson_values import ARRAY_KIND, EMPTY_ARRAY_IN_A_SORT, NULL, Fields, Held, reader
from .errors import Broken, Refused, not_implemented

_LITERALS = tuple("[({'\"0123456789")
_NAME = re.compile(r"-*[^\W\d]\w*(?:[.-][^\W\d]\w*)*")

Order: TypeAlias = tuple[tuple[str, int], ...]


def read_sort(text: str | None) -> Order:
    """The names and directions (1 or -1), the most significant first."""
    if not text:
        return ()
    if text.lstrip()[:1] in _LITERALS:
        raise not_implemented("`sort` as a Python or JSON literal; list the fields, as in `-_created,_id`")
    *names, last = (name.strip() for name in text.split(","))
    if not all(map(_NAME.fullmatch, names)) or not (_NAME.fullmatch(last) or (names and not last)):
        raise Refused(400)
    return tuple(dict(_read_name(name) for name in (*names, last)).items())


def _read_name(name: str) -> tuple[str, int]:
    if not name:
        raise Broken("a trailing comma: Eve 2.3 looks at the first character of each name")
    return (name[1:], -1) if name[0] == "-" else (name, 1)


def sort_key(name: str, direction: int) -> Callable[[Fields], Held]:
    """A row's place under one name. A missing field counts as null, an array as its smallest or largest element."""
    read, choose = reader(name), min if direction > 0 else max

    def place(fields: Fields) -> Held:
        found = read(fields)
        if len(found) == 1 and (found[0] is None or found[0][0] != ARRAY_KIND):
            return found[0] or NULL
        return choose((each for held in found for each in _places(held or NULL)), default=NULL)

    return place


def _places(held: Held) -> tuple[Held, ...]:
    if held[0] != ARRAY_KIND:
        return (held,)
    return held[1] or (EMPTY_ARRAY_IN_A_SORT,)
