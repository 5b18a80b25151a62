"""What `sort` asks for, as Eve and its database driver read it, and the order of rows that follows."""

import ast
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .bson_values import ARRAY_KIND, EMPTY_ARRAY_IN_A_SORT, NULL, Fields, Held, reader
from .errors import Broken, Refused

Order: TypeAlias = tuple[tuple[str, int], ...]


def read_sort(text: str | None) -> Order:
    """The names and directions (1 or -1), the most significant first."""
    if not text:
        return ()
    try:
        asked = ast.literal_eval(text)
    except ValueError:
        return _as_order([_read_name(name.strip()) for name in text.split(",")])
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise Refused(400) from error
    return _as_order(asked) if asked else ()


def _read_name(name: str) -> tuple[str, int]:
    if not name:
        raise Broken("Eve looks at the first character of each name")
    return (name[1:], -1) if name[0] == "-" else (name, 1)


def _as_order(asked: Any) -> Order:
    """A name that stands twice keeps its first place and takes its last direction."""
    if not isinstance(asked, list | tuple | dict):
        raise Refused(400)
    pairs = asked.items() if isinstance(asked, dict) else [_as_pair(each) for each in asked]
    return tuple({_a_name(name): _a_direction(direction) for name, direction in pairs}.items())


def _as_pair(each: Any) -> tuple[Any, Any]:
    if isinstance(each, str):
        return each, 1
    try:
        name, direction = each
    except TypeError as error:
        raise Refused(400) from error
    except ValueError as error:
        raise Broken("not a pair") from error
    return name, direction


def _a_name(name: Any) -> str:
    if not isinstance(name, str):
        raise Refused(400)
    if not name or name.startswith("$") or "" in name.split("."):
        raise Broken("not a path")
    return name


def _a_direction(direction: Any) -> int:
    if not isinstance(direction, str | int | Mapping):
        raise Refused(400)
    if direction not in (1, -1) or isinstance(direction, bool):
        raise Broken("a direction is 1 or -1")
    return int(direction)


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
