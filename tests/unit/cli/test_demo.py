"""What the demo says of what it found."""

from decimal import Decimal

import pytest

from amili_async.cli.reports.demo_report import Findings, conclude, explain, report
from amili_async.reconcile import Reconciliation
from tests.support.reconciliations import PAYOUT, agree, differ, name_unknown

AGREEING = tuple(agree(1))
DIFFERING = differ(amount=Decimal("200.5"))


def findings(*reconciliations: Reconciliation) -> Findings:
    return Findings(reconciliations=reconciliations, waiting=7, requests=3, seconds=0.25)


def test_when_all_agrees_it_says_so() -> None:
    """The conclusion counts what was compared, what is on no payout yet, and what it took."""
    found = findings(*agree(2))
    assert found.agrees
    assert explain(found) == []
    assert conclude(found) == [
        "2 payouts, 11 specifications: all 2 payouts reconciled",
        "3 requests in 0.2 s; 7 specifications await a payout",
    ]


def test_a_difference_names_the_payout_and_both_numbers() -> None:
    """Whoever reads it can look the payout up."""
    found = findings(*AGREEING, DIFFERING)
    assert not found.agrees
    assert explain(found) == [f"payout {PAYOUT}: amount is 200.50, but its specifications come to 200.00"]
    assert conclude(found)[0] == "2 payouts, 11 specifications: 1 of 2 payouts reconciled"


def test_specifications_of_a_payout_that_does_not_exist_are_wrong() -> None:
    """Lines that belong to nobody's payout are told and counted, though no payout differs."""
    found = findings(*agree(2), name_unknown(3))
    assert not found.agrees
    assert explain(found) == [f"payout {'f' * 24}: it does not exist, but specifications name it"]
    assert conclude(found)[0] == "2 payouts, 14 specifications: 2 of 2 payouts reconciled"


@pytest.mark.parametrize(("width", "has_amount"), [(50, False), (80, True), (140, True)])
def test_the_table_fits_the_terminal(
    width: int, has_amount: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No line of the table is wider than the terminal; the category, the total and the verdict are always there."""
    monkeypatch.setenv("COLUMNS", str(width))
    report(findings(*AGREEING, DIFFERING, name_unknown()))
    table = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert max(map(len, table)) <= width
    assert all(word in " ".join(table) for word in ("Category", "Total", "Reconciled", "no: 1 of 2"))
    assert ("Amount" in " ".join(table)) == has_amount
    assert [line.split()[0] for line in table if line.strip()][-2:] == ["capital", "all"]
