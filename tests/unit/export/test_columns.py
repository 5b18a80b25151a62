"""Which columns a table has, and what each holds."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct, field

from amili_async import CreditorPayment, Payout, PayoutSpecification
from amili_async.errors import ConfigurationError
from amili_async.export import fields_of
from amili_async.export.columns import ListOf, MapOf, Scalar, StructOf, find_columns
from amili_async.models.kinds import CATEGORICAL_FIELDS, KINDS

_KINDS_OF_LEAVES = {
    Scalar.TEXT: {"text", "an id"},
    Scalar.CATEGORY: {"text"},
    Scalar.MONEY: {"a number"},
    Scalar.INT: {"a number"},
    Scalar.TIMESTAMP: {"a date"},
    Scalar.BOOL: {"true or false"},
}


@pytest.mark.parametrize("record", [Payout, PayoutSpecification, CreditorPayment])
def test_each_documented_field_holds_what_is_documented(record: Any) -> None:
    """The record types and the table of kinds agree on every field."""
    columns = find_columns(None, record)
    assert [column.name for column in columns] == list(fields_of(record))
    for column in columns:
        if isinstance(column.kind, Scalar):
            assert KINDS[column.name] in _KINDS_OF_LEAVES[column.kind]
        elif not isinstance(column.kind, ListOf):
            assert KINDS[column.name] == "an object"


def test_vocabularies_are_documented_texts() -> None:
    """No word field is misspelt."""
    assert {KINDS[name] for name in CATEGORICAL_FIELDS} == {"text"}


def test_chosen_fields_are_found_without_a_record_type() -> None:
    """Documented names have their types, dotted ones too; all others are text."""
    fields = ("_id", "amount", "booking_date", "article", "summary.capital.count", "summary.capital.amount", "summary")
    kinds = [column.kind for column in find_columns((*fields, "references.case", "campaign", "_id.x"), dict)]
    money = tuple((name, Scalar.MONEY) for name in ("amount", "vat_amount", "total_amount"))
    assert kinds[:6] == [Scalar.TEXT, Scalar.MONEY, Scalar.TIMESTAMP, Scalar.CATEGORY, Scalar.INT, Scalar.MONEY]
    assert kinds[6] == MapOf(StructOf((("count", Scalar.INT), *money)))
    assert kinds[7:] == [Scalar.TEXT, Scalar.TEXT, Scalar.TEXT]


def test_a_struct_of_the_callers_says_what_its_columns_hold() -> None:
    """Its own types count, also where a documented field is something else."""

    class Size(StrEnum):
        SMALL = "small"

    class Line(Struct):
        id: str = field(name="_id")
        amount: float
        made: Annotated[datetime, Meta(tz=True)] | None
        size: Size
        sums: list[Decimal]
        either: int | str

    kinds = {column.name: column.kind for column in find_columns(None, Line)}
    assert kinds == {
        "_id": Scalar.TEXT,
        "amount": Scalar.FLOAT,
        "made": Scalar.TIMESTAMP,
        "size": Scalar.CATEGORY,
        "sums": ListOf(Scalar.MONEY),
        "either": Scalar.TEXT,
    }


def test_a_dict_has_no_fields_of_its_own() -> None:
    """What a dict lacks is not known."""
    with pytest.raises(ConfigurationError, match="needs fields"):
        find_columns(None, dict)
