"""Any filter selects on the server exactly the rows that a simple evaluator selects by the same tree."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from amili_async import Condition, field
from amili_async._wire.protocol import list_request
from amili_async.query import build_query
from amili_async.sandbox.rows import store_rows
from amili_async.sandbox.store import Collection
from tests.support.exhaustive import examples

Row: TypeAlias = dict[str, Any]
Holds: TypeAlias = Callable[[Row], bool]
Filter: TypeAlias = tuple[Condition | Mapping[str, Any], Holds]

ABSENT = object()
IDS = ["686e6ed854377058c2dd10bd", "507f1f77bcf86cd799439099", "ffffffffffffffffffffffff"]
DATES = [datetime(2025, 6, 13, 8, tzinfo=UTC), datetime(2025, 6, 14, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)]
NUMBERS = [0, 1, -7, 100, Decimal("100.10"), Decimal("0.1"), Decimal("-0.5"), 2**62]
TEXTS = ["capital", "", "a b", 'a"b\\c', "50 % & more=1+1#?/;", "åäö", "\u0000\n", "😀", "{", "$gt", "null", "12"]
POOLS: dict[str, list[Any]] = {
    "creditor": IDS,
    "payout": IDS,
    "references.case": IDS,
    "booking_date": DATES,
    "_updated": DATES,
    "amount": NUMBERS,
    "finance_period_day": [1, 2, 15, 28],
    "article": TEXTS,
    "invoice_numbers": TEXTS,
    "ready_for_payout": [True, False],
}
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "$lt": lambda held, limit: bool(held < limit),
    "$lte": lambda held, limit: bool(held <= limit),
    "$gt": lambda held, limit: bool(held > limit),
    "$gte": lambda held, limit: bool(held >= limit),
}


def values_of(row: Row, name: str) -> list[Any]:
    """The values that a comparison applies to: the elements of a list, or the one value."""
    held = row[name]
    return held if isinstance(held, list) else [] if held in (ABSENT, None) else [held]


def is_equal(name: str, value: Any) -> Holds:
    if value is None:
        return lambda row: row[name] in (ABSENT, None)
    return lambda row: value in values_of(row, name)


def negated(holds: Holds) -> Holds:
    return lambda row: not holds(row)


def compares(name: str, operator: str, limit: Any) -> Holds:
    return lambda row: any(COMPARISONS[operator](held, limit) for held in values_of(row, name))


def spellings_of(value: Any) -> st.SearchStrategy[Any]:
    """The ways in which a caller can write a value."""
    if isinstance(value, datetime):
        east = timezone(timedelta(hours=9, minutes=30))
        ways: list[Any] = [value, value.astimezone(east), format_datetime(value, usegmt=True)]
        return st.sampled_from([*ways, value.date()] if value.hour == 0 else ways)
    if isinstance(value, bool):
        return st.just(value)
    if isinstance(value, (int, Decimal)):
        return st.sampled_from([value, Decimal(value), float(value)] if float(value) == value else [value])
    return st.sampled_from([value, value.upper()]) if value in IDS else st.just(value)


@st.composite
def comparisons(draw: st.DrawFn) -> Filter:
    """One field, compared in one of the ways of field() or of a mapping."""
    name = draw(st.sampled_from(sorted(POOLS)))
    pool = POOLS[name]
    value = draw(st.sampled_from(pool))
    spelled = draw(spellings_of(value))
    some = draw(st.lists(st.sampled_from(pool), max_size=3))
    some_spelled = [draw(spellings_of(each)) for each in some]
    written = field(name)
    among = lambda row: any(held in some for held in values_of(row, name))  # noqa: E731 - one of a table of them
    low, high = sorted(draw(st.lists(st.sampled_from(pool), min_size=2, max_size=2)))
    ways: list[Filter] = [
        (written == spelled, is_equal(name, value)),
        (written != spelled, negated(is_equal(name, value))),
        ({name: spelled}, is_equal(name, value)),
        ({name: {"$eq": spelled}}, is_equal(name, value)),
        ({name: {"$not": {"$eq": spelled}}}, negated(is_equal(name, value))),
        (written == None, is_equal(name, None)),  # noqa: E711 - a condition
        (written != None, negated(is_equal(name, None))),  # noqa: E711 - a condition
        (written.is_in(some_spelled), among),
        (written.not_in(some_spelled), negated(among)),
        (written.exists(), lambda row: row[name] is not ABSENT),
        (written.exists(False), lambda row: row[name] is ABSENT),
    ]
    if not isinstance(value, bool):
        ways += [
            (written < spelled, compares(name, "$lt", value)),
            (written <= spelled, compares(name, "$lte", value)),
            (written > spelled, compares(name, "$gt", value)),
            (written >= spelled, compares(name, "$gte", value)),
            (
                {name: {"$gt": low, "$lte": high}},
                lambda row: compares(name, "$gt", low)(row) and compares(name, "$lte", high)(row),
            ),
        ]
        if low < high:
            within = lambda row: compares(name, "$gte", low)(row) and compares(name, "$lt", high)(row)  # noqa: E731
            ways.append((written.between(low, high), within))
    if name == "invoice_numbers":
        ways += [
            ({name: {"$all": some}}, lambda row: bool(some) and all(each in values_of(row, name) for each in some)),
            (
                {name: {"$size": len(some)}},
                lambda row: row[name] is not ABSENT and row[name] is not None and len(row[name]) == len(some),
            ),
        ]
    return draw(st.sampled_from(ways))


def combine(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    """Filters of filters, by operators or as mappings."""

    def together(parts: list[Filter]) -> st.SearchStrategy[Filter]:
        documents = [each.document if isinstance(each, Condition) else each for each, _ in parts]
        (one, holds), (other, also) = (parts * 2)[:2]
        every, some = (
            (lambda row: all(test(row) for _, test in parts)),
            (lambda row: any(test(row) for _, test in parts)),
        )
        ways: list[Filter] = [
            ({"$and": documents}, every),
            ({"$or": documents}, some),
            ({"$nor": documents}, negated(some)),
        ]
        if isinstance(one, Condition):
            ways += [
                (one & other, lambda row: holds(row) and also(row)),
                (one | other, lambda row: holds(row) or also(row)),
                (~one, negated(holds)),
            ]
        if isinstance(other, Condition):
            ways += [
                (one & other, lambda row: holds(row) and also(row)),
                (one | other, lambda row: holds(row) or also(row)),
            ]
        return st.sampled_from(ways)

    return st.lists(inner, min_size=1, max_size=3).flatmap(together)


filters = st.recursive(comparisons(), combine, max_leaves=6)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    row: Row = {}
    for name, pool in POOLS.items():
        value = st.lists(st.sampled_from(pool), max_size=3) if name == "invoice_numbers" else st.sampled_from(pool)
        row[name] = draw(st.one_of(st.sampled_from([ABSENT, None]), value, value))
    return row


def as_document(row: Row, number: int) -> Row:
    """The row in the API's JSON."""
    document: Row = {"_id": f"{number:024x}"}
    for name, value in row.items():
        if value is not ABSENT:
            text = format_datetime(value, usegmt=True) if isinstance(value, datetime) else value
            outer, dot, inner = name.partition(".")
            document[outer] = {inner: text} if dot else text
    return document


@examples(300)
@given(filters, st.lists(rows(), min_size=1, max_size=12))
def test_a_filter_selects_what_it_means(written: Filter, table: list[Row]) -> None:
    """After the check, JSON and the URL, the server selects what the author of the filter meant."""
    where, holds = written
    target = list_request("finance--payouts", build_query(where)).target
    parameters = dict(parse_qsl(urlsplit(target).query, strict_parsing=True, keep_blank_values=True))
    documents = [as_document(row, number) for number, row in enumerate(table)]
    selected = Collection(lambda: store_rows(documents)).select(parameters["where"], parameters["sort"])
    expected = [number for number, row in enumerate(table) if holds(row)]
    assert [int(row.document["_id"], 16) for row in selected] == expected
    assert json.loads(parameters["where"])


@examples(150)
@given(filters)
def test_a_checked_filter_can_be_used_again(written: Filter) -> None:
    """A checked filter can be passed again, as a condition or as a mapping, and is encoded the same."""
    where, _ = written
    query = build_query(where)
    document = json.loads(query.where, parse_float=Decimal)
    assert json.loads(build_query(document).where, parse_float=Decimal) == document
    assert build_query(where if isinstance(where, Condition) else dict(where)).encoded == query.encoded
