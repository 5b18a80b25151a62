"""Rules that MongoDB documents and the comparison with Eve leaves out, because mongomock differs."""

import json
from typing import Any

import pytest

from amili_async.sandbox.answers import HttpError, ServerCrash
from amili_async.sandbox.rows import store_rows
from amili_async.sandbox.store import Collection

ROWS: list[dict[str, Any]] = [
    {"_id": "a" * 24, "n": 1, "list": [3, 9], "deep": [{"x": 1}, {"x": 5}], "flag": True, "text": "b"},
    {"_id": "b" * 24, "n": -7, "list": [5], "deep": {"x": None}, "flag": False, "text": 4},
    {"_id": "c" * 24, "n": None, "list": [], "flag": 1, "text": ["z"]},
    {"_id": "d" * 24, "list": 4, "text": None},
]


def select(where: Any = None, sort: str = "") -> str:
    """The first letters of the ids of the rows found."""
    collection = Collection(lambda: store_rows(ROWS))
    return "".join(row.document["_id"][0] for row in collection.select(json.dumps(where) if where else "", sort))


def test_a_large_float_is_compared_as_a_double() -> None:
    """2**62 is found by the shortest text of its double, whose digits denote a slightly larger number."""
    collection = Collection(lambda: store_rows([{"_id": "a" * 24, "n": 2**62}]))
    assert [row.document["n"] for row in collection.select('{"n":4.611686018427388e+18}', "")] == [2**62]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"flag": 1}, "c"),
        ({"flag": True}, "a"),
        ({"n": {"$gte": None}}, "cd"),
        ({"n": {"$gt": None}}, ""),
        ({"list": {"$size": 2}}, "a"),
        ({"list": {"$size": 0}}, "c"),
        ({"list": {"$all": []}}, ""),
        ({"list": {"$all": [9, 3]}}, "a"),
        ({"list": {"$gt": 4, "$lt": 4}}, "a"),
        ({"list": {"$elemMatch": {"$gt": 4, "$lt": 9}}}, "b"),
        ({"deep": {"$elemMatch": {"x": 5}}}, "a"),
        ({"deep.x": {"$in": [5]}}, "a"),
        ({"deep.x": {"$nin": [5]}}, "bcd"),
        ({"deep.1.x": 5}, "a"),
        ({"n.deeper": None}, "abcd"),
        ({"n": {"$mod": [4, -3]}}, "b"),
        ({"n": {"$type": 16}}, "ab"),
        ({"n": {"$type": ["null", "bool"]}}, "c"),
        ({"text": {"$type": "string"}}, "ac"),
        ({"n": {"$not": {"$gt": 0, "$lt": 5}}}, "bcd"),
        ({"n": {"$exists": 0}}, "d"),
    ],
)
def test_rows_are_matched_as_by_mongodb(where: Any, found: str) -> None:
    """Kinds never equal each other, arrays match by their elements, null matches a missing field."""
    assert select(where) == found


@pytest.mark.parametrize(
    ("sort", "order"),
    [("list", "cadb"), ("-list", "abdc"), ("n", "cdba"), ("-n,_id", "abcd"), ("text", "dbac"), ("flag", "dcba")],
)
def test_rows_are_sorted_as_by_mongodb(sort: str, order: str) -> None:
    """Null and missing first, then numbers, texts, booleans; an array counts as its smallest or largest element."""
    assert select(sort=sort) == order


@pytest.mark.parametrize(
    "where",
    [
        {"$not": {"n": 1}},
        {"$or": []},
        {"n": {"$in": 5}},
        {"n": {"$in": [{"$gt": 1}]}},
        {"n": {"$not": 5}},
        {"n": {"$gt": 1, "x": 2}},
        {"n": {"$or": [1]}},
        {"n": {"$size": -1}},
        {"n": {"$size": "x"}},
        {"n": {"$mod": [0, 1]}},
        {"n": {"$mod": [1]}},
        {"n": {"$all": 5}},
        {"n": {"$all": [{"$gt": 1}]}},
        {"n": {"$elemMatch": 5}},
        {"n": {"$type": "unknown"}},
    ],
)
def test_a_filter_that_mongodb_rejects_crashes_the_server(where: Any) -> None:
    """Eve does not catch the error of the database, whatever the rows."""
    with pytest.raises(ServerCrash):
        select(where)


@pytest.mark.parametrize("sort", ["5", "'n'", '["n"]', '[("n", 1)]', '{"n": 1}', "('n',)", ' [("n", -1)]'])
def test_a_sort_that_is_a_literal_is_not_implemented(sort: str) -> None:
    """Eve reads lists of pairs; the client sends names only, so the sandbox names what it leaves out."""
    with pytest.raises(HttpError, match="does not implement"):
        select(sort=sort)


def test_a_trailing_comma_in_sort_crashes_the_server() -> None:
    """Eve reads the first character of an empty name."""
    with pytest.raises(ServerCrash):
        select(sort="n,")
