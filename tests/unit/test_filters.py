"""Filters: what is sent, what raises before anything is sent, and that no text shows a value."""

import json
import math
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from amili_async.conditions import Condition, Field, field, filter_document
from amili_async.errors import ConfigurationError
from amili_async.filters import check_where
from amili_async.models import (
    Article,
    format_date,
    parse_date,
)
from amili_async.models.kinds import KINDS
from amili_async.query import build_query

CREDITOR = "686e6ed854377058c2dd10bd"
PAYOUT = "507f1f77bcf86cd799439099"
JUNE = datetime(2025, 6, 1, tzinfo=UTC)
JUNE_TEXT = "Sun, 01 Jun 2025 00:00:00 GMT"
JULY_TEXT = "Tue, 01 Jul 2025 00:00:00 GMT"
CANARY = "CANARY"


class Size(IntEnum):
    """A numeric enum of the caller."""

    LARGE = 1000


class Text(str):
    """A subclass of `str`, as numpy has them."""

    __slots__ = ()


class Fraction(float):
    """A subclass of `float`, as numpy has them."""


# What is sent


@pytest.mark.parametrize(
    ("condition", "document"),
    [
        (field("creditor") == CREDITOR, {"creditor": CREDITOR}),
        (field("creditor") == CREDITOR.upper(), {"creditor": CREDITOR}),
        (field("creditor") != CREDITOR, {"creditor": {"$ne": CREDITOR}}),
        (field("amount") < 5, {"amount": {"$lt": 5}}),
        (field("amount") <= Decimal("5.50"), {"amount": {"$lte": Decimal("5.50")}}),
        (field("amount") > 0.5, {"amount": {"$gt": 0.5}}),
        (field("amount") >= Size.LARGE, {"amount": {"$gte": 1000}}),
        (field("amount") == Fraction(1.5), {"amount": 1.5}),
        (5 < field("amount"), {"amount": {"$gt": 5}}),  # noqa: SIM300 - the reversed comparison is what is tested
        (field("article") == Article.CAPITAL, {"article": "capital"}),
        (field("article") == Text("capital"), {"article": "capital"}),
        (field("article").is_in(["capital", Article.COST]), {"article": {"$in": ["capital", "cost"]}}),
        (field("article").is_in(name for name in ("capital",)), {"article": {"$in": ["capital"]}}),
        (field("article").is_in([]), {"article": {"$in": []}}),
        (field("creditor").not_in((CREDITOR,)), {"creditor": {"$nin": [CREDITOR]}}),
        (field("payout").exists(), {"payout": {"$exists": True}}),
        (field("references").exists(False), {"references": {"$exists": False}}),
        (field("payout") == None, {"payout": None}),  # noqa: E711 - a condition, not a comparison
        (field("payout") != None, {"payout": {"$ne": None}}),  # noqa: E711 - as above
        (field("ready_for_payout") == True, {"ready_for_payout": True}),  # noqa: E712 - as above
        (field("booking_date") >= JUNE, {"booking_date": {"$gte": JUNE_TEXT}}),
        (field("booking_date") == date(2025, 6, 1), {"booking_date": JUNE_TEXT}),
        (field("booking_date") == JUNE_TEXT, {"booking_date": JUNE_TEXT}),
        (field("booking_date") == "Mon, 01 Jun 2025 00:00:00 GMT", {"booking_date": JUNE_TEXT}),
        (
            field("booking_date").between(JUNE.astimezone(timezone(timedelta(hours=2))), date(2025, 7, 1)),
            {"booking_date": {"$gte": JUNE_TEXT, "$lt": JULY_TEXT}},
        ),
        (field("amount").between(0, Decimal(10)), {"amount": {"$gte": 0, "$lt": Decimal(10)}}),
        (field("references.case") == PAYOUT, {"references.case": PAYOUT}),
        (field("invoice_numbers") == ["1", "2"], {"invoice_numbers": ["1", "2"]}),
        (field("invoice_numbers") == "1", {"invoice_numbers": "1"}),
        (field("id") == PAYOUT, {"_id": PAYOUT}),
        (field("created") < JUNE, {"_created": {"$lt": JUNE_TEXT}}),
        (field("updated") < JUNE, {"_updated": {"$lt": JUNE_TEXT}}),
        (field("etag") == "a1", {"_etag": "a1"}),
        (field("not.documented") == PAYOUT, {"not.documented": PAYOUT}),
    ],
)
def test_a_comparison_becomes_the_apis_json(condition: Condition, document: dict[str, Any]) -> None:
    """Each operator and short name becomes the API's, and each value gets its wire form."""
    assert condition.document == document
    assert filter_document(condition) == document


@pytest.mark.parametrize(
    ("where", "document"),
    [
        (None, {}),
        ({}, {}),
        ({"creditor": CREDITOR.upper()}, {"creditor": CREDITOR}),
        ({"id": {"$gt": PAYOUT}}, {"_id": {"$gt": PAYOUT}}),
        ({"amount": {"$gte": 1, "$lt": 2}}, {"amount": {"$gte": 1, "$lt": 2}}),
        ({"booking_date": {"$not": {"$gt": JUNE}}}, {"booking_date": {"$not": {"$gt": JUNE_TEXT}}}),
        ({"invoice_numbers": {"$all": ["1"], "$size": 2}}, {"invoice_numbers": {"$all": ["1"], "$size": 2}}),
        ({"amount": {"$mod": [10, 0], "$type": "number"}}, {"amount": {"$mod": [10, 0], "$type": "number"}}),
        ({"creditor": {"$type": ["objectId", "null"]}}, {"creditor": {"$type": ["objectId", "null"]}}),
        ({"rows": {"$elemMatch": {"amount": 1}}}, {"rows": {"$elemMatch": {"amount": 1}}}),
        ({"rows": {"$elemMatch": {"$gt": 1}}}, {"rows": {"$elemMatch": {"$gt": 1}}}),
        ({"$or": [{"id": PAYOUT}, field("amount") > 1]}, {"$or": [{"_id": PAYOUT}, {"amount": {"$gt": 1}}]}),
        ({"$nor": ({"state": "reminder"},)}, {"$nor": [{"state": "reminder"}]}),
        ({"$and": [{"$or": [{"state": "a"}]}]}, {"$and": [{"$or": [{"state": "a"}]}]}),
    ],
)
def test_a_mapping_is_sent_with_wire_values(where: Mapping[str, Any] | None, document: dict[str, Any]) -> None:
    """A filter in the API's own JSON keeps its meaning; its values get their wire form."""
    assert filter_document(where) == document


def test_a_mapping_is_copied() -> None:
    """A later change of the caller's mapping does not change the filter."""
    where: dict[str, Any] = {"invoice_numbers": {"$all": ["1"]}}
    document = filter_document(where)
    where["invoice_numbers"]["$all"].append("2")
    assert document == {"invoice_numbers": {"$all": ["1"]}}


def test_conditions_are_combined() -> None:
    """`&`, `|` and `~` become `$and`, `$or` and `$nor`, and adjacent equal operators share one list."""
    one, two, three = field("state") == "a", field("state") == "b", field("state") == "c"
    a, b, c = one.document, two.document, three.document
    assert (one & two & three).document == {"$and": [a, b, c]}
    assert (one | (two | three)).document == {"$or": [a, b, c]}
    assert (one & two | three).document == {"$or": [{"$and": [a, b]}, c]}
    assert (one & (two | three)).document == {"$and": [a, {"$or": [b, c]}]}
    assert (~one).document == {"$nor": [a]}
    assert (~(one | two)).document == {"$nor": [{"$or": [a, b]}]}
    assert one.document == {"state": "a"}
    assert (one & {"amount": 5}).document == ({"state": "a"} & field("amount").__eq__(5)).document
    assert ({"state": "b"} | one).document == {"$or": [b, a]}


# What raises

REFUSALS: list[tuple[Callable[[], object], str]] = [
    # values that could never match their field
    (lambda: field("booking_date") > datetime(2025, 6, 1), "^booking_date: .*without a time zone"),  # noqa: DTZ001
    (lambda: field("booking_date") > JUNE.replace(microsecond=1), "^booking_date: .*whole seconds"),
    (lambda: field("booking_date") == "2025-06-01", "^booking_date holds a date: compare it with"),
    (lambda: field("booking_date") == "2025-06-01T00:00:00Z", "^booking_date holds a date: compare it with"),
    (lambda: field("booking_date") == "Thu, 31 Jun 2025 00:00:00 GMT", "^booking_date holds a date: compare it with"),
    (
        lambda: field("booking_date") == 1750000000,
        "^booking_date holds a date: comparing it with a number matches nothing",
    ),
    (lambda: field("creditor") == "Example AB", "^creditor must be 24 hexadecimal digits"),
    (lambda: field("id") == PAYOUT[1:], "^_id must be 24 hexadecimal digits"),
    (lambda: field("references.case").is_in([PAYOUT, "x"]), "^references.case must be 24 hexadecimal digits"),
    (lambda: field("creditor") == 5, "^creditor holds an id: comparing it with a number matches nothing"),
    (lambda: field("creditor") == JUNE, "^creditor holds an id: comparing it with a date matches nothing"),
    (lambda: field("amount") == "100", "^amount holds a number: comparing it with text matches nothing"),
    (lambda: field("amount") == JUNE, "^amount holds a number: comparing it with a date matches nothing"),
    (lambda: field("amount") == True, "^amount holds a number: comparing it with true or false matches nothing"),  # noqa: E712
    (lambda: field("invoice_number") == 4711, "^invoice_number holds text: comparing it with a number matches nothing"),
    (lambda: field("invoice_number") == JUNE, "^invoice_number holds text: comparing it with a date matches nothing"),
    (lambda: field("invoice_number") == PAYOUT, "^invoice_number holds text, but .*cannot be found"),
    (lambda: field("invoice_number") == JUNE_TEXT, "^invoice_number holds text, but .*cannot be found"),
    (
        lambda: field("ready_for_payout") == "true",
        "^ready_for_payout holds true or false: comparing it with text matches nothing",
    ),
    (
        lambda: field("ready_for_payout") == 1,
        "^ready_for_payout holds true or false: comparing it with a number matches nothing",
    ),
    (lambda: field("references") == PAYOUT, "^references holds an object: comparing it with text matches nothing"),
    (lambda: field("summary") == 1, "^summary holds an object: comparing it with a number matches nothing"),
    (lambda: field("creditor") == [CREDITOR], r"^creditor is not a list: .*is_in\(\)"),
    (lambda: field("creditor").is_in([[CREDITOR]]), "^creditor is not a list"),
    (lambda: field("invoice_numbers") == [PAYOUT], "^invoice_numbers holds text, but"),
    (lambda: field("amount").between(Decimal(1), None), r"^amount: \$lt needs a date, a number or a text"),
    (lambda: field("amount") >= None, r"^amount: \$gte needs"),
    (lambda: field("amount").between(10, 10), r"^amount: between\(\) needs a start before its end"),
    (lambda: field("booking_date").between(date(2025, 7, 1), date(2025, 6, 1)), r"^booking_date: between\(\)"),
    # null in a list, of which the server makes a new id
    (lambda: field("payout").is_in([PAYOUT, None]), "^payout: null in a list matches nothing"),
    (lambda: field("article").not_in([None]), "^article: null in a list matches nothing"),
    (lambda: field("payout_date") < True, r"^payout_date: \$lt needs"),
    (lambda: field("invoice_numbers") > ["1"], r"^invoice_numbers: \$gt needs"),
    # numbers that JSON or the server cannot represent
    (lambda: field("amount") == math.nan, "^amount cannot be compared with NaN"),
    (lambda: field("amount") < math.inf, "^amount cannot be compared with NaN or with a number of more than 64 bits"),
    (lambda: field("amount") == Decimal("NaN"), "^amount cannot be compared with NaN"),
    (lambda: field("amount") == Decimal("sNaN"), "^amount cannot be compared with NaN"),
    (lambda: field("amount") == Decimal("-Infinity"), "^amount cannot be compared with NaN"),
    (lambda: field("amount").is_in([1, Decimal("1E+400")]), "more than 64 bits"),
    (lambda: field("unknown") == 2**63, "more than 64 bits"),
    (lambda: field("amount") == -(10**400), "more than 64 bits"),
    (lambda: filter_document({"amount": {"$mod": [math.nan, 0]}}), "^amount cannot be compared with NaN"),
    # values without a JSON representation
    (lambda: field("state") == {"a", "b"}, "^state cannot be compared with a set: it has no JSON representation"),
    (lambda: field("state") == b"a", "^state cannot be compared with a bytes"),
    (lambda: field("payout") == uuid.UUID(int=5), "^payout cannot be compared with a UUID"),
    (lambda: field("booking_date") == time(12), "^booking_date cannot be compared with a time"),
    (lambda: field("state") == field("article"), "^state cannot be compared with a Field"),
    (lambda: field("state") == (field("article") == "a"), "^state cannot be compared with a Condition"),
    (lambda: field("state") == {"$ne": None}, "^state cannot be compared with an object"),
    (lambda: field("state") != {"$ne": None}, "^state cannot be compared with a dict"),
    (lambda: field("state").is_in([{"$ne": None}]), "^state cannot be compared with a dict"),
    # operators
    (lambda: filter_document({"state": {"$regex": "^a"}}), r"^state: unknown operator '\$regex'; the API accepts"),
    (lambda: filter_document({"state": {"$nope": 1}}), r"^state: unknown operator '\$nope'"),
    (lambda: filter_document({"references": {"case": PAYOUT}}), "^references: an object must hold operators"),
    (lambda: filter_document({"references": {"$not": {"case": PAYOUT}}}), "^references: an object must hold operators"),
    (lambda: filter_document({"state": {}}), "^state cannot be compared with an empty object"),
    (lambda: filter_document({"state": {"$not": {}}}), "^state cannot be compared with an empty object"),
    (lambda: filter_document({"state": {"$not": "a"}}), r"^state: \$not needs operators"),
    (lambda: filter_document({"rows": {"$elemMatch": 5}}), r"^rows: \$elemMatch needs operators"),
    (lambda: filter_document({"state": {5: 1}}), "^state: an object must hold operators"),
    (lambda: filter_document({"state": {"$in": "a"}}), r"^state: \$in needs a list"),
    (lambda: filter_document({"state": {"$nin": {"a": 1}}}), r"^state: \$nin needs a list"),
    (lambda: filter_document({"state": {"$all": 5}}), r"^state: \$all needs a list"),
    (lambda: field("state").is_in("reminder"), r"^state: is_in\(\) needs a list"),
    (lambda: field("state").not_in(None), r"^state: not_in\(\) needs a list"),  # type: ignore[arg-type]
    (lambda: field("payout").exists("yes"), r"^payout: \$exists needs True or False"),  # type: ignore[arg-type]
    (lambda: filter_document({"payout": {"$exists": 1}}), r"^payout: \$exists needs True or False"),
    # the filter as a whole
    (lambda: filter_document({"$where": "this.amount > 5"}), r"^'\$where' cannot be used at the top"),
    (lambda: filter_document({"$expr": {}}), r"^'\$expr' cannot be used at the top"),
    (lambda: filter_document({"$or": []}), r"^\$or needs a list of at least one filter"),
    (lambda: filter_document({"$and": []}), r"^\$and needs a list of at least one filter"),
    (lambda: filter_document({"$or": {"state": "a"}}), r"^\$or needs a list"),
    (lambda: filter_document({"$nor": ["state"]}), r"^\$nor needs a list"),
    (lambda: filter_document({"$or": [{"state": {}}]}), "^state cannot be compared with an empty object"),
    (lambda: filter_document({"id": PAYOUT, "_id": PAYOUT}), "^_id appears twice"),
    (lambda: filter_document([{"state": "a"}]), "^a filter must be made with field"),  # type: ignore[arg-type]
    (lambda: filter_document("state"), "^a filter must be made with field"),  # type: ignore[arg-type]
    (lambda: filter_document(field("state")), "^a filter must be made with field"),  # type: ignore[arg-type]
    (lambda: filter_document(Condition({"$where": "1"})), r"^'\$where' cannot be used"),
    (lambda: filter_document(Condition({"booking_date": datetime(2025, 6, 1)})), "^booking_date: "),  # noqa: DTZ001
    # names
    (lambda: field(""), "^a field name must be"),
    (lambda: field("a b"), "^a field name must be"),
    (lambda: field("$where"), "^a field name must be"),
    (lambda: field("a..b"), "^a field name must be"),
    (lambda: field("a."), "^a field name must be"),
    (lambda: field("state\n"), "^a field name must be"),
    (lambda: field("från"), "^a field name must be"),
    (lambda: field(None), "^a field name must be"),  # type: ignore[arg-type]
    (lambda: filter_document({5: 1}), "^a field name must be"),  # type: ignore[dict-item]
    # and, or, not and chained comparisons
    (lambda: (field("state") == "a") and (field("state") == "b"), "has no truth value"),
    (lambda: (field("state") == "a") or (field("state") == "b"), "has no truth value"),
    (lambda: not (field("state") == "a"), "has no truth value"),  # noqa: SIM201 - that is the point
    (lambda: 1 < field("amount") < 5, "has no truth value"),
    (lambda: field("state") in ["a", "b"], "has no truth value"),
    (lambda: (field("state") == "a") & None, "only be combined with another condition"),  # type: ignore[operator]
    (lambda: (field("state") == "a") | True, "only be combined with another condition"),  # type: ignore[operator]
]


@pytest.mark.parametrize(("make", "message"), REFUSALS)
def test_a_comparison_that_cannot_match_raises(make: Callable[[], object], message: str) -> None:
    """A comparison that matches nothing, or that the server fails on, raises an error that names the field."""
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_a_field_cannot_be_hashed() -> None:
    """`==` makes a condition, so in a set or as a key every field would equal every other."""
    with pytest.raises(TypeError):
        hash(field("state"))


# No value is shown


@pytest.mark.parametrize(
    "condition",
    [
        field("state") == CANARY,
        field("state").is_in([CANARY]),
        ~((field("state") != CANARY) | (field("article") == CANARY)),
        Condition({"rows": {"$elemMatch": {"name": CANARY}}}),
        Condition({"invoice_numbers": [CANARY]}),
        Condition({"$or": [{"state": {"$not": {"$in": [CANARY]}}}]}),
    ],
)
def test_no_repr_shows_a_value(condition: Condition) -> None:
    """A condition and its query show names and operators, and `…` for each value, also when rich prints them."""
    query = build_query(condition)
    assert CANARY in query.where
    for text in (repr(condition), str(condition), pretty_repr(condition), repr(query), str(query), pretty_repr(query)):
        assert CANARY not in text
        assert "…" in text


def test_a_repr_shows_names_and_operators() -> None:
    """The repr has the names and operators of the filter."""
    condition = (field("state") == "a") & (field("amount") > 5)
    assert repr(condition) == "Condition($and [state …; amount ($gt …)])"


@pytest.mark.parametrize(
    "where",
    [
        {"creditor": CANARY},
        {"booking_date": CANARY},
        {"booking_date": {"$in": ["Fri, 31 Jun 2025 11:22:33 GMT"]}},
        {"amount": CANARY},
        {"amount": {"$gt": CANARY}},
        {"amount": Decimal("Infinity"), "state": CANARY},
        {"state": {"$in": CANARY}},
        {"state": {"$exists": CANARY}},
        {"state": {"$not": CANARY}},
        {"state": {"$regex": CANARY}},
        {"state": {CANARY: 1}},
        {"state": CANARY.encode()},
        {"state": {CANARY}},
        {"state": f"{CANARY}\ud800"},
        {"anything": {"$in": [f"\udfff{CANARY}"]}},
        {"anything": {"$type": f"{CANARY}\udbff"}},
        {"$or": CANARY},
        {"$or": [CANARY]},
        {f"{CANARY} {CANARY}": 1},
        CANARY,
        [CANARY],
    ],
)
def test_no_error_shows_a_value(where: Any) -> None:
    """Neither an error nor its causes contain the value of the comparison."""
    with pytest.raises(ConfigurationError) as caught:
        filter_document(where)
    error: BaseException | None = caught.value
    while error is not None:
        assert CANARY not in repr(error)
        assert "11:22:33" not in repr(error)
        error = error.__cause__ or error.__context__


# Any tree of conditions

NAMES = {
    "amount": st.integers(-5, 5) | st.decimals(-5, 5, places=1),
    "state": st.sampled_from(["a", "b", "Ö", '"', "\\", "\x00"]),
    "booking_date": st.integers(0, 5).map(lambda days: JUNE + timedelta(days=days)),
    "creditor": st.sampled_from(["0" * 24, "a" * 24]),
}
BEYOND = {"amount": 100, "state": "\uffff", "booking_date": JUNE + timedelta(days=99), "creditor": "f" * 24}
"""Larger than every value above."""
COMPARISONS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], bool]]] = {
    "==": (lambda left, value: left == value, lambda held, value: bool(held == value)),
    "!=": (lambda left, value: left != value, lambda held, value: bool(held != value)),
    "<": (lambda left, value: left < value, lambda held, value: bool(held < value)),
    "<=": (lambda left, value: left <= value, lambda held, value: bool(held <= value)),
    ">": (lambda left, value: left > value, lambda held, value: bool(held > value)),
    ">=": (lambda left, value: left >= value, lambda held, value: bool(held >= value)),
    "in": (lambda left, value: left.is_in([value]), lambda held, value: held in [value]),
    "not in": (lambda left, value: left.not_in([value]), lambda held, value: held not in [value]),
    "between": (
        lambda left, value: left.between(value, BEYOND[left.name]),
        lambda held, value: bool(value <= held),
    ),
}
MONGO: dict[str, Callable[[Any, Any], bool]] = {
    "$ne": lambda held, value: bool(held != value),
    "$lt": lambda held, value: bool(held < value),
    "$lte": lambda held, value: bool(held <= value),
    "$gt": lambda held, value: bool(held > value),
    "$gte": lambda held, value: bool(held >= value),
    "$in": lambda held, value: held in value,
    "$nin": lambda held, value: held not in value,
}
Row = dict[str, Any]
Meant = Callable[[Row], bool]


def leaf(name: str, operator: str, value: Any) -> tuple[Condition, Meant]:
    """One comparison, and its meaning in Python."""
    build, holds = COMPARISONS[operator]
    return build(field(name), value), lambda row: holds(row[name], value)


def both(left: tuple[Condition, Meant], right: tuple[Condition, Meant]) -> tuple[Condition, Meant]:
    """Two conditions combined by `&`, and their meaning."""
    return left[0] & right[0], lambda row: left[1](row) and right[1](row)


def either(left: tuple[Condition, Meant], right: tuple[Condition, Meant]) -> tuple[Condition, Meant]:
    """Two conditions combined by `|`, and their meaning."""
    return left[0] | right[0], lambda row: left[1](row) or right[1](row)


def neither(tree: tuple[Condition, Meant]) -> tuple[Condition, Meant]:
    """A condition negated by `~`, and its meaning."""
    return ~tree[0], lambda row: not tree[1](row)


leaves = st.sampled_from(sorted(NAMES)).flatmap(
    lambda name: st.builds(leaf, st.just(name), st.sampled_from(sorted(COMPARISONS)), NAMES[name])
)
trees = st.recursive(
    leaves,
    lambda inner: st.builds(both, inner, inner) | st.builds(either, inner, inner) | st.builds(neither, inner),
    max_leaves=8,
)


def from_wire(value: Any) -> Any:
    """A value of the JSON as the server understands it."""
    if isinstance(value, list):
        return [from_wire(part) for part in value]
    return parse_date(value) if isinstance(value, str) and value.endswith(" GMT") else value


def matches(document: Mapping[str, Any], row: Row) -> bool:
    """Whether the server would find the row, by the rules of MongoDB."""
    return all(_matches_one(key, value, row) for key, value in document.items())


def _matches_one(key: str, value: Any, row: Row) -> bool:
    if key == "$and":
        return all(matches(part, row) for part in value)
    if key == "$or":
        return any(matches(part, row) for part in value)
    if key == "$nor":
        return not any(matches(part, row) for part in value)
    if isinstance(value, dict):
        return all(MONGO[operator](row[key], from_wire(operand)) for operator, operand in value.items())
    return bool(row[key] == from_wire(value))


@given(trees, st.fixed_dictionaries(NAMES))
def test_any_tree_of_conditions_keeps_its_meaning(tree: tuple[Condition, Meant], row: Row) -> None:
    """The JSON of a tree of conditions finds exactly the rows that the conditions mean."""
    condition, meant = tree
    document = json.loads(build_query(condition).where, parse_float=Decimal)
    assert matches(document, row) == meant(row)


@given(trees)
def test_checking_a_filter_twice_changes_nothing(tree: tuple[Condition, Meant]) -> None:
    """The JSON that was sent can be used as a filter again."""
    document = tree[0].document
    assert check_where(document) == document
    sent = json.loads(build_query(tree[0]).where, parse_float=Decimal)
    assert json.loads(build_query(sent).where, parse_float=Decimal) == sent


@given(st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0)))
def test_dates_are_sent_in_the_form_that_matches(moment: datetime) -> None:
    """Any instant, aware and of whole seconds, is sent as RFC 1123."""
    assert (field("created") == moment).document == {"_created": format_date(moment)}


# The documented fields

GOOD: dict[str, Any] = {
    "an id": PAYOUT,
    "a date": JUNE,
    "a number": Decimal("1.5"),
    "text": "some text",
    "true or false": True,
}


@pytest.mark.parametrize("name", sorted(KINDS))
@pytest.mark.parametrize("kind", GOOD)
def test_each_documented_field_takes_its_own_kind_and_null(name: str, kind: str) -> None:
    """A field can be compared with the kind of value that it holds and with null, and with no other."""
    assert (field(name) == None).document == {name: None}  # noqa: E711 - a condition, not a comparison
    if KINDS[name] == kind:
        assert name in (field(name) == GOOD[kind]).document
    else:
        with pytest.raises(ConfigurationError, match=f"^{name} "):
            _ = field(name) == GOOD[kind]


class Colour(Enum):
    """An enum whose values are no text."""

    RED = ("r",)


def test_an_enum_is_its_value() -> None:
    """An enum is replaced by its value, which is checked like any other."""
    assert (Field("state") == Article.COST).document == {"state": "cost"}
    with pytest.raises(ConfigurationError, match=r"^state is not a list"):
        _ = field("state") == Colour.RED


def nested(depth: int, make: Callable[[Any], Any]) -> Any:
    """A filter that is nested so often."""
    part: Any = {"article": "x"}
    for _ in range(depth):
        part = make(part)
    return part


ENDLESS: dict[str, Any] = {}
ENDLESS["$or"] = [ENDLESS, ENDLESS]
DEEP: dict[str, Callable[[], Any]] = {
    "and": lambda: filter_document(nested(300, lambda part: {"$and": [part]})),
    "or of two": lambda: filter_document(nested(5000, lambda part: {"$or": [part, part]})),
    "not": lambda: filter_document({"article": nested(300, lambda part: {"$not": part})}),
    "a list": lambda: field("invoice_numbers") == nested(300, lambda part: [part]),
    "conditions": lambda: filter_document(nested(300, lambda part: {"$nor": [Condition(part)]})),
    "inverted": lambda: nested(300, lambda part: ~(part if isinstance(part, Condition) else Condition(part))),
    "alternating": lambda: nested(300, lambda part: (field("article") == "y") & part | {"article": "z"}),
    "itself": lambda: filter_document(ENDLESS),
}


@pytest.mark.parametrize("name", DEEP)
def test_a_filter_that_is_nested_too_deeply_is_rejected(name: str) -> None:
    """One clear error before anything is sent, instead of a `RecursionError`."""
    with pytest.raises(ConfigurationError, match="a filter cannot be nested more than 100 levels deep"):
        DEEP[name]()


def test_a_filter_of_some_depth_is_accepted() -> None:
    """What MongoDB accepts is not rejected."""
    deep = nested(49, lambda part: {"$and": [part]})
    assert filter_document(deep) == deep
    assert repr(Condition(deep)).startswith("Condition($and [$and [")
