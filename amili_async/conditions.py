"""Conditions: `field("amount") > 100`, combined by `&`, `|` and `~`, become the API's filter JSON."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from amili_async._wire.frames import hide_variables_of_methods
from amili_async.errors import ConfigurationError
from amili_async.filters import CheckedFilter, check_name, check_where, listed


@hide_variables_of_methods
class Condition(CheckedFilter, frozen=True):
    """A filter that can be combined with others, and with mappings, by `&`, `|` and `~`."""

    def __and__(self, other: "Condition | Mapping[str, Any]") -> "Condition":
        return _combine("$and", self, other)

    def __rand__(self, other: Mapping[str, Any]) -> "Condition":
        return _combine("$and", other, self)

    def __or__(self, other: "Condition | Mapping[str, Any]") -> "Condition":
        return _combine("$or", self, other)

    def __ror__(self, other: Mapping[str, Any]) -> "Condition":
        return _combine("$or", other, self)

    def __invert__(self) -> "Condition":
        return Condition({"$nor": [filter_document(self)]})

    def __bool__(self) -> bool:
        raise ConfigurationError(
            "a condition has no truth value: combine conditions with & | ~ (in parentheses) instead of and/or/not, and "
            "write a range as field(...).between(start, end)"
        )


Where: TypeAlias = Condition | Mapping[str, Any] | None
"""A filter: a condition, a mapping in the API's JSON, or `None` for all."""


def _combine(combination: str, *conditions: Condition | Mapping[str, Any]) -> Condition:
    parts: list[Any] = []
    for condition in conditions:
        if not isinstance(condition, (Condition, Mapping)):
            raise ConfigurationError("a condition can only be combined with another condition or a mapping")
        document = filter_document(condition)
        inner = document.get(combination) if len(document) == 1 else None
        parts += inner if isinstance(inner, list) else [document]
    return Condition({combination: parts})


def filter_document(where: Where) -> Mapping[str, Any]:
    """The filter as the API's JSON, checked; empty for no filter. Raises `ConfigurationError`."""
    if where is None:
        return {}
    if isinstance(where, Condition):
        where = where.document  # checked again: a caller can construct a Condition without field(...)
    if not isinstance(where, Mapping):
        raise ConfigurationError("a filter must be made with field(...) or be a mapping, such as {'creditor': '…'}")
    return check_where(where)


@hide_variables_of_methods
class Field:
    """A field of the API's documents; comparing it with a value makes a `Condition`. See `field()`."""

    __slots__ = ("name",)
    __hash__ = None  # type: ignore[assignment]  # == makes a condition, so a set or dict could not compare two fields

    def __init__(self, name: str) -> None:
        self.name = check_name(name)

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        if isinstance(value, Mapping):
            raise ConfigurationError(
                f"{self.name} cannot be compared with an object: write operators as a mapping filter"
            )
        return self._compare(None, value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        return self._compare("$ne", value)

    def __lt__(self, value: object) -> Condition:
        return self._compare("$lt", value)

    def __le__(self, value: object) -> Condition:
        return self._compare("$lte", value)

    def __gt__(self, value: object) -> Condition:
        return self._compare("$gt", value)

    def __ge__(self, value: object) -> Condition:
        return self._compare("$gte", value)

    def is_in(self, values: Iterable[object]) -> Condition:
        """Equal to one of *values*; an empty list matches nothing."""
        return self._compare("$in", listed(values, what=f"{self.name}: is_in()"))

    def not_in(self, values: Iterable[object]) -> Condition:
        """Equal to none of *values*; a record without the field matches as well."""
        return self._compare("$nin", listed(values, what=f"{self.name}: not_in()"))

    def exists(self, is_present: bool = True) -> Condition:  # noqa: FBT001, FBT002 - reads as `exists(False)`
        """Whether the field is present, which it is too if it is `null`."""
        return self._compare("$exists", is_present)

    def between(self, start: object, end: object) -> Condition:
        """From *start* up to but excluding *end*, so that consecutive months neither overlap nor leave a gap."""
        condition = Condition(check_where({self.name: {"$gte": start, "$lt": end}}))
        if type(start) is type(end) and start >= end:  # type: ignore[operator]  # check_where() has passed both
            raise ConfigurationError(f"{self.name}: between() needs a start before its end, which is excluded")
        return condition

    def _compare(self, operator: str | None, value: object) -> Condition:
        return Condition(check_where({self.name: value if operator is None else {operator: value}}))

    def __repr__(self) -> str:
        return f"field({self.name!r})"


def field(name: str) -> Field:
    """A field by the API's name; a dotted name is a field of an object (`references.case`).

    `id`, `created`, `updated` and `etag` are short for `_id`, `_created`, `_updated` and `_etag`. A name that the API
    does not know matches nothing, without an error. A comparison that can never match raises `ConfigurationError`.
    """
    return Field(name)
