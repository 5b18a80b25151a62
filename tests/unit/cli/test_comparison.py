"""Whether a payout is the sum of its specifications."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from amili_async import Payout, PayoutSpecification, PayoutSummary
from amili_async.cli.comparison import Books, Difference, Sums, book, compare

PAYOUT = Payout(
    id="6776478033d4049c0400dd72",
    amount=Decimal("100.30"),
    vat_amount=Decimal("25"),
    total_amount=Decimal("125.3"),
    summary={
        "reminder": PayoutSummary(
            count=2, amount=Decimal("60.2"), vat_amount=Decimal(15), total_amount=Decimal("75.20")
        ),
        "cost": PayoutSummary(
            count=1, amount=Decimal("40.1"), vat_amount=Decimal("10.0"), total_amount=Decimal("50.1")
        ),
    },
)


def line(article: str, amount: str, vat: str, **more: Any) -> PayoutSpecification:
    total = Decimal(amount) + Decimal(vat)
    fields: dict[str, Any] = {"payout": PAYOUT.id, "vat_amount": Decimal(vat), "total_amount": total} | more
    return PayoutSpecification(id="0" * 24, article=article, amount=Decimal(amount), **fields)


LINES = (line("reminder", "30.1", "7.5"), line("cost", "40.1", "10"), line("reminder", "30.1", "7.5"))


def booked(*lines: PayoutSpecification) -> dict[str, Sums]:
    books: Books = {}
    book(books, lines)
    return books.get(PAYOUT.id, {})


def test_a_payout_that_is_the_sum_of_its_lines_has_no_difference() -> None:
    """Equal to the öre, however many zeros the digits end in and whatever the order of the lines."""
    assert compare(PAYOUT, booked(*LINES)) == ()
    assert compare(PAYOUT, booked(*reversed(LINES))) == ()


@pytest.mark.parametrize("column", ["amount", "vat_amount", "total_amount"])
def test_an_oere_too_much_is_found(column: str) -> None:
    """A total that is off by the smallest amount is the one difference, with both numbers."""
    stated = getattr(PAYOUT, column) + Decimal("0.01")
    (found,) = compare(msgspec.structs.replace(PAYOUT, **{column: stated}), booked(*LINES))
    assert found == Difference(
        payout=PAYOUT.id, article=None, column=column, stated=stated, summed=getattr(PAYOUT, column)
    )


def test_a_wrong_count_in_the_summary_is_found() -> None:
    """The summary is held to the lines article by article, its count too."""
    assert isinstance(PAYOUT.summary, dict)
    wrong = PAYOUT.summary | {"cost": msgspec.structs.replace(PAYOUT.summary["cost"], count=2)}
    (found,) = compare(msgspec.structs.replace(PAYOUT, summary=wrong), booked(*LINES))
    assert (found.article, found.column, found.stated, found.summed) == ("cost", "count", 2, 1)


def test_a_line_that_is_missing_is_found() -> None:
    """Without one line, the totals and that line's article differ, and nothing else."""
    found = compare(PAYOUT, booked(*LINES[1:]))
    assert {difference.article for difference in found} == {None, "reminder"}


def test_an_article_that_only_one_side_knows_is_found() -> None:
    """An article without lines, and lines without an article in the summary, both differ."""
    found = compare(PAYOUT, booked(*LINES, line("interest", "0", "0")))
    assert [(difference.article, difference.column, difference.stated) for difference in found] == [
        ("interest", "count", None),
        ("interest", "amount", None),
        ("interest", "vat_amount", None),
        ("interest", "total_amount", None),
    ]
    assert {difference.article for difference in compare(PAYOUT, booked(*LINES[:1], LINES[2]))} == {None, "cost"}


def test_a_payout_that_states_nothing_does_not_reconcile() -> None:
    """Absent totals are not taken for zero."""
    found = compare(Payout(id=PAYOUT.id, amount=None), {})
    assert [difference.stated for difference in found] == [None, None, None]


def test_lines_without_a_payout_are_kept_apart() -> None:
    """What awaits a payout counts for none."""
    books: Books = {}
    book(books, [*LINES, line("cost", "1", "0", payout=msgspec.UNSET), line("cost", "1", "0", payout=None)])
    assert books[None] == {"cost": Sums(count=2, amount=Decimal(2), total_amount=Decimal(2))}
    assert compare(PAYOUT, books[PAYOUT.id]) == ()
