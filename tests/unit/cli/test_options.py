"""Options: how their values are parsed."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from amili_async.cli.console import choose_columns
from amili_async.cli.options import parse_fields_option, parse_where_option
from amili_async.cli.resources import RESOURCES, find_resource
from amili_async.errors import ConfigurationError
from amili_async.export import fields_of


def test_iso_dates_in_a_filter_become_dates() -> None:
    """Only in date fields, at any depth; other values stay unchanged, numbers with their digits."""
    where = parse_where_option(
        '{"$and": [{"booking_date": {"$gte": "2025-06-01", "$lt": "2025-06-13T08:00:00Z"}}], '
        '"created": {"$in": ["2025-06-01"]}, "payout_reference": "2025-06-01", "amount": 1.10, '
        '"payout_date": "Fri, 13 Jun 2025 08:00:00 GMT"}'
    )
    assert where == {
        "$and": [{"booking_date": {"$gte": date(2025, 6, 1), "$lt": datetime(2025, 6, 13, 8, tzinfo=UTC)}}],
        "created": {"$in": [date(2025, 6, 1)]},
        "payout_reference": "2025-06-01",
        "amount": Decimal("1.10"),
        "payout_date": "Fri, 13 Jun 2025 08:00:00 GMT",
    }


@pytest.mark.parametrize(
    "text", ["", "{", "{'a': 1}", "[1]", '"a"', "null", '{"a": secret}', "[" * 100_000, '"\udcff"']
)
def test_a_filter_that_is_no_json_object_is_rejected(text: str) -> None:
    """The error names the option and does not quote the text."""
    with pytest.raises(ConfigurationError, match="--where") as caught:
        parse_where_option(text)
    assert "secret" not in str(caught.value)


def test_a_time_without_a_zone_is_rejected() -> None:
    """The error shows how to write one and does not quote the value."""
    with pytest.raises(ConfigurationError, match="payout_date has no zone") as caught:
        parse_where_option('{"payout_date": "2024-02-03T04:05:06"}')
    assert "2024" not in str(caught.value)


def test_fields_are_the_names_of_the_api() -> None:
    """Blanks and repetitions are dropped, Python names become the API's, and no option chooses no fields."""
    assert parse_fields_option("id, amount,references.case,amount") == ("_id", "amount", "references.case")
    assert parse_fields_option(None) is None
    with pytest.raises(ConfigurationError):
        parse_fields_option("amount,")


def test_the_columns_of_tables_exist() -> None:
    """Each column is a documented field of the record, or a part of one, and each optional one is a column."""
    for entry in RESOURCES:
        assert find_resource(entry.path) is entry
        assert {name.partition(".")[0] for name in entry.columns} <= set(fields_of(entry.record))
        assert set(entry.optional) < set(entry.columns)


def test_an_unknown_resource_is_rejected_with_the_known_names() -> None:
    """The API's own names are accepted, too."""
    assert find_resource("specifications") is find_resource("finance--payout-specifications")
    with pytest.raises(ConfigurationError, match="payouts, specifications, payments, creditors, cases"):
        find_resource("customers")


def test_columns_that_do_not_fit_are_dropped() -> None:
    """Optional ones first, then the last ones; one always remains."""
    for width, kept in ((36, ["a", "b", "c"]), (34, ["a", "b", "c"]), (33, ["a", "c"]), (21, ["a"]), (1, ["a"])):
        assert choose_columns({"a": 10, "b": 10, "c": 10}, optional=("b",), width=width) == kept
