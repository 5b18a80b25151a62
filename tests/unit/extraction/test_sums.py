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

AMOUNTS = st.decimals(min_value=-(10**12), max_value=10**12, places=2)


def line(**fields: Any) -> PayoutSpecification:
    return PayoutSpecification(id="0" * 24, **fields)


@given(st.lists(st.one_of(AMOUNTS, st.none())), st.integers(0, 10))
def test_sums_are_exact_however_they_are_shared_out(amounts: list[Any], cut: int) -> None:
    """Two batches add up to what one does, to the öre; what is `None` counts for nothing."""
    records = [line(amount=amount) for amount in amounts]
    first = add_money({}, records[:cut], PayoutSpecification)
    both = add_money(first, records[cut:], PayoutSpecification)
    assert both["amount"] == sum((amount for amount in amounts if isinstance(amount, Decimal)), Decimal(0))
    assert set(both) == {"amount", "vat_amount", "total_amount"}
    assert set(first) == set(both)


def test_more_digits_than_a_decimal_has_by_default_are_not_rounded() -> None:
    """An öre beside a quintillion is still there."""
    records = [line(amount=Decimal("1" + "0" * 30)), line(amount=Decimal("0.01"))]
    assert str(add_money({}, records, PayoutSpecification)["amount"]) == "1" + "0" * 30 + ".01"


@pytest.mark.parametrize(
    "value", [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("1E+200"), Decimal("1E-200")]
)
def test_what_cannot_be_summed_exactly_has_no_sum(value: Decimal) -> None:
    """No sum is better than a wrong one, and it does not come back with the next batch."""
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


def test_what_a_callers_struct_leaves_unset_counts_for_nothing() -> None:
    """Absent fields of a caller's own struct may be `UNSET`, and do not prevent a sum."""
    records = [Unset(amount=Decimal(1)), Unset(), Unset(amount=None)]
    assert add_money({}, records, Unset) == {"amount": Decimal(1)}


def test_floats_have_no_sum() -> None:
    """What was read as a float is not exact any more."""
    assert add_money({}, [Rounded(amount=0.5)], Rounded) == {"amount": None}


def test_dicts_have_the_columns_that_occur() -> None:
    """A projection leaves out the others; whole numbers and decimals add up."""
    rows = [{"amount": 1}, {"amount": Decimal("0.01"), "article": "capital"}, {}]
    assert add_money({}, rows, dict) == {"amount": Decimal("1.01")}
