"""Differences in words."""

from decimal import Decimal
from typing import Any

import pytest

from amili_async.cli.reports.reconciliation_words import describe_difference, show_gap
from amili_async.reconciliation.comparison import Difference, DifferenceKind
from tests.support.reconciliations import HOSTILE, PAYOUT

ID = "b" * 24


def make_difference(kind: str, **parts: Any) -> Difference:
    return Difference(kind=DifferenceKind(kind), payout=PAYOUT, **parts)


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (
            make_difference("total", field="amount", stated=Decimal("1200.5"), found=Decimal(1200)),
            "amount is 1,200.50, but its specifications add up to 1,200.00",
        ),
        (
            make_difference("total", field="amount", stated=None, found=Decimal("-0.125")),
            "amount is missing, but its specifications add up to -0.125",
        ),
        (
            make_difference("article", article="capital", field="count", stated=1200, found=7),
            "count of capital is 1,200, but its specifications add up to 7",
        ),
        (
            make_difference("article", article="", field="amount", stated=None, found=Decimal(7)),
            "amount of no article is missing, but its specifications add up to 7.00",
        ),
        (
            make_difference("row", specification=ID, field="total_amount", stated=Decimal(5), found=Decimal(4)),
            f"specification {ID}: total_amount is 5.00, but amount + vat_amount is 4.00",
        ),
        (
            make_difference("row", specification=ID, field="total_amount", stated=Decimal(5), found=None),
            f"specification {ID}: total_amount is 5.00, but amount + vat_amount is missing",
        ),
        (
            make_difference("foreign", specification=ID, field="currency", stated="SEK", found="EUR"),
            f"specification {ID} has currency EUR, not SEK",
        ),
        (make_difference("no_specifications"), "no specification names it"),
        (make_difference("no_payout"), "it does not exist, but specifications name it"),
    ],
    ids=lambda value: None if isinstance(value, str) else f"{value.kind}",
)
def test_each_kind_has_its_sentence(difference: Difference, words: str) -> None:
    """It names the fields and both sides, under the API's names and with all digits."""
    assert describe_difference(difference) == words


def test_every_kind_is_tested() -> None:
    """A kind without a sentence of its own would be described as a total."""
    assert {kind.value for kind in DifferenceKind} == {
        *("total", "article", "row", "foreign"),
        *("no_specifications", "no_payout"),
    }


@pytest.mark.parametrize("kind", ["total", "article", "row"])
def test_float_noise_is_named(kind: str) -> None:
    """No booking explains it; an öre is not noise."""
    noise = make_difference(kind, field="amount", stated=Decimal("0.30000000000000004"), found=Decimal("0.3"))
    assert "0.30000000000000004" in describe_difference(noise)
    assert describe_difference(noise).endswith(" (float noise)")
    oere = make_difference(kind, field="amount", stated=Decimal("0.31"), found=Decimal("0.3"))
    assert "noise" not in describe_difference(oere)


@pytest.mark.parametrize(
    ("stated", "found", "gap"),
    [
        (Decimal("0.30000000000000004"), Decimal("0.3"), "0.00000000000000004"),
        (Decimal("1E+40"), Decimal("0.01"), "9,999,999,999,999,999,999,999,999,999,999,999,999,999.99"),
        (Decimal(0), Decimal("1064.0"), "-1,064.00"),
        (None, Decimal(1), ""),
        (Decimal(1), None, ""),
        ("SEK", "EUR", ""),
    ],
)
def test_the_difference_is_exact(stated: Any, found: Any, gap: str) -> None:
    """It is not rounded to the default precision of decimals; without one of the numbers it is empty."""
    assert show_gap(make_difference("total", field="amount", stated=stated, found=found)) == gap


def test_a_difference_of_counts_is_a_count() -> None:
    """It has no decimals."""
    assert show_gap(make_difference("article", article="capital", field="count", stated=2, found=1200)) == "-1,198"


def test_text_of_records_cannot_steer_the_terminal() -> None:
    """Neither an article, an id nor a currency."""
    sides = {"field": "currency", "stated": HOSTILE, "found": HOSTILE, "specification": HOSTILE, "article": HOSTILE}
    for kind in DifferenceKind:
        assert describe_difference(make_difference(kind, **sides)).isprintable()
