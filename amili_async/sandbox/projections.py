"""Which fields of a row are shown: Eve's reading of `projection`."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from .errors import Broken, Refused, refuse_constant

Document: TypeAlias = dict[str, Any]
AUTOMATIC = ("_id", "_created", "_updated", "_etag")


@dataclass(frozen=True, slots=True)
class Projection:
    """The fields to show, or those to hide. The automatic four are always shown."""

    shown: frozenset[str] | None = None
    hidden: frozenset[str] = frozenset()

    def apply(self, document: Document) -> Document:
        """The part of a document that is shown, its fields in their own order."""
        if self.shown is None:
            return {name: value for name, value in document.items() if name not in self.hidden}
        return _pick(document, self.shown.union(AUTOMATIC))


EVERYTHING = Projection()


def read_projection(text: str | None) -> Projection:
    """The projection in a parameter; Refused unless it is a JSON object.

    One that names any field with 1 shows what it names; any other hides what it names with 0. Hiding a part of a nested
    object does nothing.
    """
    if not text:
        return EVERYTHING
    try:
        asked = json.loads(text, parse_constant=refuse_constant)
    except ValueError as error:
        raise Refused(400) from error
    if not isinstance(asked, dict):
        raise Refused(400)
    named = {name: value for name, value in asked.items() if name.split(".")[0] not in AUTOMATIC}
    if 1 in asked.values():
        return Projection(shown=_without_collisions(name for name, value in named.items() if value))
    _without_collisions([*{name.split(".")[0] for name in named}, *(n for n in named if "." in n and named[n])])
    return Projection(hidden=frozenset(name for name, value in named.items() if not value and "." not in name))


def _without_collisions(names: Iterable[str]) -> frozenset[str]:
    """MongoDB refuses to show both a field and a part of it."""
    unique = frozenset(names)
    for name in unique:
        parts = name.split(".")
        if any(".".join(parts[:end]) in unique for end in range(1, len(parts))):
            raise Broken("path collision")
    return unique


def _pick(document: Document, names: Iterable[str]) -> Document:
    parts: dict[str, list[str]] = {}
    for name in names:
        first, _, rest = name.partition(".")
        parts.setdefault(first, []).append(rest)
    return {name: value for name, value in _picked(document, parts) if value is not _NOTHING}


_NOTHING = object()


def _picked(document: Document, parts: dict[str, list[str]]) -> Iterable[tuple[str, Any]]:
    for name, value in document.items():
        if name in parts:
            yield name, value if "" in parts[name] else _pick_inside(value, parts[name])


def _pick_inside(value: Any, names: list[str]) -> Any:
    if isinstance(value, dict):
        return _pick(value, names)
    if isinstance(value, list):
        return [part for part in (_pick_inside(each, names) for each in value) if part is not _NOTHING]
    return _NOTHING
