"""What to ask for: `field()`, sort and projection, checked and put into one frozen `Query`."""

import keyword
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

from msgspec import Struct
from msgspec.structs import force_setattr

from amili_async._wire.tasks import hide_contents
from amili_async.conditions import Where, filter_document
from amili_async.errors import ConfigurationError
from amili_async.filters import check_name, describe, listed
from amili_async.models.json import encode_json


@hide_contents
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

    @property
    def ascends_by_id(self) -> bool:
        """Whether `_id` alone is the sort, so that no id of a page can be lower than one of the page before."""
        return self.sort == "_id"

    def __repr__(self) -> str:
        return f"Query(where=<{self.description}>, sort={self.sort!r}, projection={self.projection!r})"


@hide_contents
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
