"""How what was typed is read."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from amili_async.cli.console import choose_columns
from amili_async.cli.options import parse_fields, parse_where
from amili_async.cli.resources import RESOURCES, find_resource
from amili_async.errors import ConfigurationError
from amili_async.export import fields_of


def test_iso_dates_in_a_filter_become_dates() -> None:
    """Only in fields that hold dates, at any depth; all else stays, numbers with their digits."""
    where = parse_where(
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
def test_what_is_no_json_object_is_refused_without_repeating_it(text: str) -> None:
    """The sentence names the option and not what was typed."""
    with pytest.raises(ConfigurationError, match="--where") as refused:
        parse_where(text)
    assert "secret" not in str(refused.value)


def test_a_time_without_zone_is_refused_in_words_of_the_command_line() -> None:
    """It could mean any instant; the sentence shows how to write one, and does not repeat the value."""
    with pytest.raises(ConfigurationError, match="payout_date needs its zone") as refused:
        parse_where('{"payout_date": "2024-02-03T04:05:06"}')
    assert "2024" not in str(refused.value)


def test_fields_are_the_names_of_the_api() -> None:
    """Blanks and repetitions go, short names become the API's, and none given is none chosen."""
    assert parse_fields("id, amount,references.case,amount") == ("_id", "amount", "references.case")
    assert parse_fields(None) is None
    with pytest.raises(ConfigurationError):
        parse_fields("amount,")


@pytest.mark.parametrize("entry", RESOURCES, ids=lambda entry: entry.name)
def test_the_tables_show_fields_that_exist(entry: object) -> None:
    """Each column is a documented field of the record, and what can be spared is a column."""
    found = find_resource(getattr(entry, "path", ""))
    assert found is entry
    assert set(found.columns) <= set(fields_of(found.record))
    assert set(found.optional) < set(found.columns)


def test_an_unknown_resource_is_answered_with_the_known_ones() -> None:
    """The API's own names and the short ones are known."""
    assert find_resource("specifications") is find_resource("finance--payout-specifications")
    with pytest.raises(ConfigurationError, match="payouts, specifications, payments"):
        find_resource("cases")


@pytest.mark.parametrize(
    ("room", "kept"), [(36, ["a", "b", "c"]), (34, ["a", "b", "c"]), (33, ["a", "c"]), (21, ["a"]), (1, ["a"])]
)
def test_columns_that_do_not_fit_are_left_out(room: int, kept: list[str]) -> None:
    """What can be spared goes first, then the last; one always stays."""
    assert choose_columns({"a": 10, "b": 10, "c": 10}, optional=("b",), width=room) == kept
