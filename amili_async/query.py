"""What to ask for: `field()`, sort and projection, checked and put into one frozen `Query`."""

import keyword
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

from msgspec import Struct
from msgspec.structs import force_setattr

from amili_async.errors import ConfigurationError
from amili_async.filters import Condition, Where, check_name, check_where, describe, filter_document, listed
from amili_async.models.json import encode_json


class Field:
    """A field of the API's documents, to be compared with a value; see `field()`."""

    __slots__ = ("name",)
    __hash__ = None  # type: ignore[assignment]  # == makes a condition, so two fields cannot be told apart

    def __init__(self, name: str) -> None:
        self.name = check_name(name)

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        if isinstance(value, Mapping):
            raise ConfigurationError(f"{self.name} is compared with an object: write operators as a mapping filter")
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
        """Equal to one of *values*; none at all match nothing."""
        return self._compare("$in", listed(values, what=f"{self.name}: is_in()"))

    def not_in(self, values: Iterable[object]) -> Condition:
        """Equal to none of *values*; a record without the field matches too."""
        return self._compare("$nin", listed(values, what=f"{self.name}: not_in()"))

    def exists(self, is_present: bool = True) -> Condition:  # noqa: FBT001, FBT002 - reads as `exists(False)`
        """Whether the field is there, be it `null`."""
        return self._compare("$exists", is_present)

    def between(self, start: object, end: object) -> Condition:
        """From *start*, included, to *end*, excluded: months and days then neither overlap nor leave a gap."""
        condition = Condition(check_where({self.name: {"$gte": start, "$lt": end}}))
        if type(start) is type(end) and start >= end:  # type: ignore[operator]  # all that can be checked has an order
            raise ConfigurationError(f"{self.name}: between() excludes its end, so nothing lies between these two")
        return condition

    def _compare(self, operator: str | None, value: object) -> Condition:
        return Condition(check_where({self.name: value if operator is None else {operator: value}}))

    def __repr__(self) -> str:
        return f"field({self.name!r})"


def field(name: str) -> Field:
    """A field by the API's name, dotted ones too (`references.case`).

    `id`, `created`, `updated` and `etag` stand for the names with the underscore. A name that the API does not know
    matches nothing, and the API does not say so.
    """
    return Field(name)


class Query(Struct, frozen=True, kw_only=True):
    """What to ask of a list: checked, and encoded once for all its pages."""

    where: str = ""
    """JSON, or empty."""
    sort: str = "_id"
    """Ends in `_id`, so that the order is total."""
    projection: str = ""
    """JSON, or empty for all fields."""
    description: str = ""
    """The filter without its values."""
    encoded: str = ""
    """The first three for a URL; made here once, since for each page anew it would cost a tenth of the sending."""

    def __post_init__(self) -> None:
        if self.encoded:
            return
        parameters = {"where": self.where, "sort": self.sort, "projection": self.projection}
        chosen = {name: value for name, value in parameters.items() if value}
        force_setattr(self, "encoded", urlencode(chosen, quote_via=quote))

    def __repr__(self) -> str:
        return f"Query(where=<{self.description}>, sort={self.sort!r}, projection={self.projection!r})"

    __rich_repr__ = None  # type: ignore[assignment]  # rich would show what repr hides


class RangedQuery(Struct, frozen=True, kw_only=True):
    """What to ask of a list that is walked by ranges of its `_id`: encoded once but for the ids."""

    document: Mapping[str, Any]
    """The filter in the API's JSON, checked."""
    projection: str = ""
    """JSON, or empty for all fields."""
    around: tuple[str, ...] = ()
    """What stands before, between and behind the two ids in a URL; made here once."""

    def __post_init__(self) -> None:
        after, end = "0" * 24, "f" * 24
        ids = {"_id": {"$gt": after, "$lte": end}}
        document = {"$and": [self.document, ids]} if "_id" in self.document else {**self.document, **ids}
        query = Query(where=encode_json(document), projection=self.projection)
        head, between, tail = quote(f'"{after}'), quote('","$lte":"'), quote(f'{end}"')
        before, _, behind = query.encoded.rpartition(f"{head}{between}{tail}")  # the ids stand last in the filter
        force_setattr(self, "around", (before + quote('"'), between, quote('"') + behind))

    def whole(self) -> Query:
        """All that match."""
        return Query(where=encode_json(self.document) if self.document else "", projection=self.projection)

    def between(self, after: str, end: str) -> Query:
        """Those of them with `after < _id <= end`."""
        before, between, behind = self.around
        return Query(projection=self.projection, encoded=f"{before}{after}{between}{end}{behind}")

    def among(self, spans: Sequence[tuple[str, str]]) -> Query:
        """Those of them whose `_id` lies in one of several such ranges."""
        ids = [{"_id": {"$gt": after, "$lte": end}} for after, end in spans]
        return Query(
            where=encode_json({"$and": [self.document, {"$or": ids}]} if self.document else {"$or": ids}),
            projection=self.projection,
        )

    def __repr__(self) -> str:
        return f"RangedQuery({describe(self.document)})"

    __rich_repr__ = None  # type: ignore[assignment]  # rich would show what repr hides


Sort: TypeAlias = str | Sequence[str] | None
Projection: TypeAlias = Sequence[str] | Mapping[str, int] | None


def build_query(where: Where = None, *, sort: Sort = None, projection: Projection = None) -> Query:
    """Check all three and encode them; `ConfigurationError` says what is wrong with which."""
    document = filter_document(where)
    return Query(
        where=encode_json(document) if document else "",
        sort=_check_sort(sort),
        projection=encode_projection(projection),
        description=describe(document),
    )


def _check_sort(sort: Sort) -> str:
    """The sort that is sent: names checked, `_id` last unless it is there already."""
    if sort is None:
        return "_id"
    keys = [key.strip() for key in sort.split(",")] if isinstance(sort, str) else listed(sort, what="sort")
    names: list[str] = []
    for key in keys:
        is_descending = isinstance(key, str) and key.startswith("-")
        name = check_name(key[1:] if is_descending else key)
        if keyword.iskeyword(name):
            raise ConfigurationError(f"the API cannot sort by a field called {name!r}")
        if name in (known.lstrip("-") for known in names):
            raise ConfigurationError(f"{name} stands twice in the sort")
        names.append(f"-{name}" if is_descending else name)
        if name == "_id":
            break
    if not names or names[-1].lstrip("-") != "_id":
        names.append("_id")
    return ",".join(names)


def encode_projection(projection: Projection) -> str:
    """The projection as JSON; `_id`, `_created`, `_updated` and `_etag` come back whatever it says."""
    if projection is None:
        return ""
    if isinstance(projection, (str, bytes)) or not isinstance(projection, Iterable):
        raise ConfigurationError("a projection is a list of names, or a mapping of names to 1 (or all to 0)")
    chosen = {check_name(name): 1 for name in projection}
    if not chosen and not isinstance(projection, Mapping):
        chosen = {"_id": 1}
    if isinstance(projection, Mapping):
        values = list(projection.values())
        if values not in ([0] * len(values), [1] * len(values)):
            raise ConfigurationError("a projection is either all 1 (only these fields) or all 0 (all but these)")
        chosen = dict.fromkeys(chosen, int(values[0]) if values else 1)
    return encode_json(chosen) if chosen else ""
