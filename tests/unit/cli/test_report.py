"""What the demo says of what it found."""

from decimal import Decimal

import pytest

from amili_async import Payout
from amili_async.cli.comparison import Books, Difference, Sums
from amili_async.cli.demo_report import Findings, conclude, explain, report

ZERO = Decimal(0)
PAYOUTS = tuple(
    Payout(id=f"{n:024}", finance_category="capital", amount=ZERO, vat_amount=ZERO, total_amount=ZERO, summary={})
    for n in range(2)
)
DIFFERENCE = Difference(
    payout=PAYOUTS[1].id, article="cost", column="amount", stated=Decimal("1200.5"), summed=Decimal(1200)
)


def findings(*differences: Difference, books: Books | None = None) -> Findings:
    return Findings(payouts=PAYOUTS, books=books or {}, differences=differences, requests=3, seconds=0.25)


def test_when_all_agrees_it_says_so() -> None:
    """The conclusion counts what was compared and what it took."""
    found = findings(books={None: {"cost": Sums(count=7)}, PAYOUTS[0].id: {"cost": Sums(count=1_000)}})
    assert found.agrees
    assert explain(found) == []
    assert conclude(found) == [
        "2 payouts, 1,007 specifications: all 2 payouts reconciled",
        "3 requests in 0.2 s; 7 specifications await a payout",
    ]


def test_a_difference_names_the_payout_and_both_numbers() -> None:
    """Whoever reads it can look the payout up."""
    found = findings(DIFFERENCE)
    assert not found.agrees
    assert explain(found) == [
        f"payout {PAYOUTS[1].id}: amount of cost is 1,200.50, but its specifications come to 1,200.00"
    ]
    assert conclude(found)[0] == "2 payouts, 0 specifications: 1 of 2 payouts reconciled"


def test_specifications_of_a_payout_that_does_not_exist_are_wrong() -> None:
    """Lines that belong to nobody's payout are told, though no payout differs."""
    found = findings(books={"f" * 24: {"cost": Sums(count=1)}})
    assert not found.agrees
    assert explain(found) == [f"payout {'f' * 24} has specifications, but does not exist"]


@pytest.mark.parametrize(("width", "has_amount"), [(50, False), (80, True), (140, True)])
def test_the_table_fits_the_terminal(
    width: int, has_amount: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No line of the table is wider than the terminal; the category, the total and the verdict are always there."""
    monkeypatch.setenv("COLUMNS", str(width))
    report(findings(DIFFERENCE))
    table = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert max(map(len, table)) <= width
    assert all(word in " ".join(table) for word in ("Category", "Total", "Reconciled", "no: 1 of 2"))
    assert ("Amount" in " ".join(table)) == has_amount
