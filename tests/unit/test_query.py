"""Filter, sort and projection as one query."""

import copy
import json
import pickle
from datetime import date
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from amili_async.conditions import field
from amili_async.errors import ConfigurationError
from amili_async.query import Query, RangedQuery, build_query, encode_projection

CREDITOR = "686e6ed854377058c2dd10bd"
CANARY = "CANARY"


def test_the_query_of_the_api_guide() -> None:
    """A creditor's bookings of a month: the example's filter and projection, but half-open and with right weekdays."""
    names = ["booking_date", "article", "state", "total_amount", "amount", "vat_amount", "finance_category"]
    names += ["payout_reference", "reference_number", "invoice_number"]
    query = build_query(
        (field("creditor") == CREDITOR) & field("booking_date").between(date(2025, 6, 1), date(2025, 7, 1)),
        sort="-booking_date",
        projection=names,
    )
    assert json.loads(query.where) == {
        "$and": [
            {"creditor": CREDITOR},
            {"booking_date": {"$gte": "Sun, 01 Jun 2025 00:00:00 GMT", "$lt": "Tue, 01 Jul 2025 00:00:00 GMT"}},
        ]
    }
    assert query.sort == "-booking_date,_id"
    assert json.loads(query.projection) == dict.fromkeys(names, 1)


def test_the_filter_of_the_apis_example_as_a_mapping() -> None:
    """The filter of the example is accepted unchanged, except that its wrong weekday is corrected."""
    month = {"$gte": "Mon, 01 Jun 2025 00:00:00 GMT", "$lte": "Mon, 30 Jun 2025 23:59:59 GMT"}
    query = build_query({"creditor": CREDITOR, "booking_date": month})
    assert json.loads(query.where) == {
        "creditor": CREDITOR,
        "booking_date": {"$gte": "Sun, 01 Jun 2025 00:00:00 GMT", "$lte": "Mon, 30 Jun 2025 23:59:59 GMT"},
    }


@pytest.mark.parametrize("where", [None, {}])
def test_without_arguments_all_records_are_requested_by_id(where: Any) -> None:
    """No filter and no projection are sent, and the sort is `_id`."""
    assert build_query(where) == Query(where="", sort="_id", projection="", description="")


def test_the_json_is_compact() -> None:
    """The request line is short, so no blanks are sent."""
    assert build_query({"amount": {"$gt": 1, "$lt": 2}}).where == '{"amount":{"$gt":1,"$lt":2}}'


# Sort


@pytest.mark.parametrize(
    ("sort", "sent"),
    [
        (None, "_id"),
        ([], "_id"),
        ("_id", "_id"),
        ("id", "_id"),
        ("-id", "-_id"),
        ("-_created", "-_created,_id"),
        ("-created", "-_created,_id"),
        ("-booking_date, amount", "-booking_date,amount,_id"),
        ("booking_date,-id", "booking_date,-_id"),
        (["-booking_date", "amount"], "-booking_date,amount,_id"),
        (("etag", "updated"), "_etag,_updated,_id"),
        ("_id,amount", "_id"),
        ("references.case", "references.case,_id"),
        (["a", "-b", "-_id"], "a,-b,-_id"),
    ],
)
def test_the_sort_forms(sort: Any, sent: str) -> None:
    """A text or a list, `-` for descending, short names; `_id` is the last."""
    assert build_query(sort=sort).sort == sent


@given(st.lists(st.sampled_from(["a", "-b", "c.d", "-_id", "id", "-created", "amount"]), unique=True))
def test_every_sort_is_total(names: list[str]) -> None:
    """For any sort the last name is `_id`, and no name appears twice."""
    keys = build_query(sort=names).sort.split(",")
    assert keys[-1].lstrip("-") == "_id"
    assert len({key.lstrip("-") for key in keys}) == len(keys)
    assert build_query(sort=",".join(names) or None).sort.split(",") == keys


@pytest.mark.parametrize(
    "sort",
    [
        "",
        "amount,",
        ",amount",
        "amount,,state",
        "a b",
        "--amount",
        "+amount",
        "- amount",
        "$where",
        "amount,-amount",
        "created,_created",
        "class",
        "-None",
        [("amount", -1)],
        ["amount,state"],
        [" amount"],
        [None],
        {"amount": -1},
        5,
        b"amount",
        field("amount"),
    ],
)
def test_a_sort_that_the_server_would_ignore_or_fail_on_raises(sort: Any) -> None:
    """Empty parts, duplicate names, keywords and other forms raise before anything is sent."""
    with pytest.raises(ConfigurationError):
        build_query(sort=sort)


# Projection


@pytest.mark.parametrize(
    ("projection", "sent"),
    [
        (None, ""),
        ({}, ""),
        ([], {"_id": 1}),
        (["amount"], {"amount": 1}),
        (("id", "created"), {"_id": 1, "_created": 1}),
        (["id", "_id"], {"_id": 1}),
        (["references.case"], {"references.case": 1}),
        ({"amount": 1, "etag": 1}, {"amount": 1, "_etag": 1}),
        ({"summary": 0, "references": 0}, {"summary": 0, "references": 0}),
        ({"amount": True}, {"amount": 1}),
        ({"amount": False}, {"amount": 0}),
        ({"amount": 1.0}, {"amount": 1}),
        ((name for name in ("amount",)), {"amount": 1}),
    ],
)
def test_the_projection_forms(projection: Any, sent: Any) -> None:
    """A list names the fields, a mapping either the fields or those to leave out; short names are accepted."""
    encoded = encode_projection(projection)
    assert (json.loads(encoded) if encoded else "") == sent


@pytest.mark.parametrize(
    "projection",
    [
        "amount",
        b"amount",
        5,
        True,
        ["a b"],
        [""],
        [None],
        [("amount", 1)],
        {"amount": 1, "summary": 0},
        {"amount": 2},
        {"amount": -1},
        {"amount": "1"},
        {"amount": None},
        {"amount": {"$slice": 5}},
        {"$where": 1},
    ],
)
def test_an_invalid_projection_raises(projection: Any) -> None:
    """A single name, mixed or other values, and invalid names raise before anything is sent."""
    with pytest.raises(ConfigurationError):
        encode_projection(projection)


# What is shown


def test_a_query_does_not_show_its_values() -> None:
    """Its repr has the fields of the filter, sort and projection, but no value."""
    query = build_query({"state": CANARY}, projection=["state"])
    assert repr(query) == """Query(where=<state …>, sort='_id', projection='{"state":1}')"""
    assert CANARY not in pretty_repr(query)
    assert query.description == "state …"


def test_a_query_is_a_value() -> None:
    """Queries with the same filter, sort and projection are equal, also after copying and pickling."""
    query = build_query(field("state") == "a", sort="-amount")
    assert query == build_query({"state": "a"}, sort=["-amount"])
    assert hash(query) == hash(copy.copy(query))
    assert pickle.loads(pickle.dumps(query)) == query  # noqa: S301 - our own


def test_a_field_shows_its_name() -> None:
    """The name is the API's, also for a short name."""
    assert repr(field("created")) == "field('_created')"


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"creditor": "5" * 24, "amount": {"$gte": 1}},
        {"creditor_name": 'Å & B "ffffffffffffffffffffffff"'},
        {"_id": {"$lte": "f" * 24, "$gt": "0" * 24}},
        {"$or": [{"_id": "0" * 24}, {"article": "capital"}]},
    ],
)
def test_a_range_of_ids_is_added_to_any_filter(document: dict[str, Any]) -> None:
    """The server gets the filter and the range, both unchanged."""
    ranged = RangedQuery(document=document, projection='{"amount":1}')
    sent = dict(parse_qsl(ranged.between("a" * 24, "b" * 24).encoded))
    ids = {"_id": {"$gt": "a" * 24, "$lte": "b" * 24}}
    where = json.loads(sent.pop("where"))
    assert where == ({"$and": [document, ids]} if "_id" in document else document | ids)
    assert sent == {"sort": "_id", "projection": '{"amount":1}'}
    assert "creditor" not in repr(ranged) or "5" * 24 not in repr(ranged)


def test_the_whole_of_a_ranged_query_has_no_range() -> None:
    """The first request, before the bound is known, has the filter alone."""
    ranged = RangedQuery(document={"article": "capital"})
    assert dict(parse_qsl(ranged.whole().encoded)) == {"where": '{"article":"capital"}', "sort": "_id"}
