"""The sums of money columns: exact, or none."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from amili_async import PayoutSpecification
from amili_async.extraction.sums import add_money
from amili_async.models.kinds import MONEY

AMOUNTS = st.decimals(min_value=-(10**12), max_value=10**12, places=2)


def line(**fields: Any) -> PayoutSpecification:
    return PayoutSpecification(id="0" * 24, **fields)


@given(st.lists(st.one_of(AMOUNTS, st.none())), st.integers(0, 10))
def test_sums_are_exact_in_batches_of_any_size(amounts: list[Any], cut: int) -> None:
    """Two batches have the same sum as one, to the öre; `None` is left out."""
    records = [line(amount=amount) for amount in amounts]
    first = add_money({}, records[:cut], PayoutSpecification)
    both = add_money(first, records[cut:], PayoutSpecification)
    assert both["amount"] == sum((amount for amount in amounts if isinstance(amount, Decimal)), Decimal(0))
    assert set(both) == {"amount", "vat_amount", "total_amount"}
    assert set(first) == set(both)


def test_more_digits_than_a_decimal_has_by_default_are_not_rounded() -> None:
    """An öre added to a quintillion is not lost."""
    records = [line(amount=Decimal("1" + "0" * 30)), line(amount=Decimal("0.01"))]
    assert str(add_money({}, records, PayoutSpecification)["amount"]) == "1" + "0" * 30 + ".01"


@pytest.mark.parametrize(
    "value", [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("1E+200"), Decimal("1E-200")]
)
def test_a_value_that_cannot_be_summed_exactly_makes_the_sum_none(value: Decimal) -> None:
    """No sum is better than a wrong one, and the next batch does not restore it."""
    sums = add_money({}, [line(amount=Decimal(1)), line(amount=value)], PayoutSpecification)
    assert sums["amount"] is None
    assert add_money(sums, [line(amount=Decimal(1))], PayoutSpecification)["amount"] is None
    assert sums["vat_amount"] == 0


class Rounded(msgspec.Struct):
    """A caller's struct whose money is not exact."""

    amount: float


class Unset(msgspec.Struct):
    """A caller's struct that keeps absent and `null` apart."""

    amount: Decimal | msgspec.UnsetType | None = UNSET


def test_unset_fields_of_a_callers_struct_are_left_out() -> None:
    """Absent fields of a caller's struct may be `UNSET`, and do not prevent a sum."""
    records = [Unset(amount=Decimal(1)), Unset(), Unset(amount=None)]
    assert add_money({}, records, Unset) == {"amount": Decimal(1)}


def test_floats_have_no_sum() -> None:
    """An amount that was decoded as a float is not exact."""
    assert add_money({}, [Rounded(amount=0.5)], Rounded) == {"amount": None}


def test_dicts_have_the_columns_that_occur() -> None:
    """A projection leaves out the other columns; whole numbers and decimals can be added."""
    rows = [{"amount": 1}, {"amount": Decimal("0.01"), "article": "capital"}, {}]
    assert add_money({}, rows, dict) == {"amount": Decimal("1.01")}


@pytest.mark.parametrize("name", sorted(MONEY))
def test_a_column_that_occurs_alone_is_summed(name: str) -> None:
    """The other columns, before and after it, need not occur."""
    assert add_money({}, [{name: 1}, {name: 2}], dict) == {name: 3}
