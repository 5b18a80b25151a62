"""Which columns a table has, and what each holds."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct, field

from amili_async import Case, Creditor, CreditorPayment, Payout, PayoutSpecification
from amili_async.errors import ConfigurationError
from amili_async.export import fields_of
from amili_async.export.columns import ListOf, MapOf, Scalar, StructOf, find_columns
from amili_async.models.kinds import CATEGORICAL_FIELDS, KINDS

_KINDS_OF_SCALARS = {
    Scalar.TEXT: {"text", "an id"},
    Scalar.CATEGORY: {"text"},
    Scalar.MONEY: {"a number"},
    Scalar.INT: {"a number"},
    Scalar.TIMESTAMP: {"a date"},
    Scalar.BOOL: {"true or false"},
}


@pytest.mark.parametrize("record", [Payout, PayoutSpecification, CreditorPayment, Creditor, Case])
def test_each_column_holds_what_is_documented(record: Any) -> None:
    """The columns of the record types and the documented kinds agree on every field."""
    columns = find_columns(None, record)
    assert list(columns) == list(fields_of(record))
    for name, kind in columns.items():
        if name == "closed":
            assert (kind, name in KINDS) == (Scalar.TEXT, False)  # the API does not document what it holds
        elif isinstance(kind, Scalar):
            assert KINDS[name] in _KINDS_OF_SCALARS[kind]
        elif not isinstance(kind, ListOf):
            assert KINDS[name] == "an object"


def test_categorical_fields_are_documented_texts() -> None:
    """Each categorical field is a documented text, so no name is misspelt."""
    assert {KINDS[name] for name in CATEGORICAL_FIELDS} == {"text"}


def test_chosen_fields_are_found_without_a_record_type() -> None:
    """Documented names have their types, dotted ones too; all others are text."""
    fields = ("_id", "amount", "booking_date", "article", "summary.capital.count", "summary.capital.amount", "summary")
    kinds = list(find_columns((*fields, "references.case", "campaign", "_id.x"), dict).values())
    money = tuple((name, Scalar.MONEY) for name in ("amount", "vat_amount", "total_amount"))
    assert kinds[:6] == [Scalar.TEXT, Scalar.MONEY, Scalar.TIMESTAMP, Scalar.CATEGORY, Scalar.INT, Scalar.MONEY]
    assert kinds[6] == MapOf(StructOf((("count", Scalar.INT), *money)))
    assert kinds[7:] == [Scalar.TEXT, Scalar.TEXT, Scalar.TEXT]


def test_a_callers_struct_defines_its_columns() -> None:
    """Its own types decide, also where the documented field has another type."""

    class Size(StrEnum):
        SMALL = "small"

    class Line(Struct):
        id: str = field(name="_id")
        amount: float
        made: Annotated[datetime, Meta(tz=True)] | None
        size: Size
        sums: list[Decimal]
        either: int | str

    assert find_columns(None, Line) == {
        "_id": Scalar.TEXT,
        "amount": Scalar.FLOAT,
        "made": Scalar.TIMESTAMP,
        "size": Scalar.CATEGORY,
        "sums": ListOf(Scalar.MONEY),
        "either": Scalar.TEXT,
    }


def test_records_of_dicts_require_fields() -> None:
    """A dict does not define the columns of a table."""
    with pytest.raises(ConfigurationError, match="requires fields"):
        find_columns(None, dict)
