"""The generated rows: exact sums, equal for equal seeds, with every promised oddity."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest

from amili_async.sandbox.bson_values import read_date
from amili_async.sandbox.seeding import SeedData

MONEY = ("amount", "vat_amount", "total_amount")


def seed_data(seed: int = 1, *, payouts: int = 50, specifications: int = 800, payments: int = 40) -> SeedData:
    """Rows for a seed."""
    return SeedData(payouts=payouts, specifications=specifications, payments=payments, seed=seed)


def add_up(rows: list[dict[str, Any]]) -> dict[str, Decimal]:
    """The three sums over rows."""
    return {name: sum((Decimal(row[name]) for row in rows), Decimal(0)) for name in MONEY}


@pytest.mark.parametrize("seed", [1, 2, 3, 99])
@pytest.mark.parametrize(("payouts", "specifications"), [(50, 800), (3, 40), (5, 0), (0, 20), (1, 1), (60, 80)])
def test_payouts_are_the_sums_of_their_specifications(seed: int, payouts: int, specifications: int) -> None:
    """Amounts and summaries agree to the öre for every payout, and a total is an amount and its VAT."""
    made = seed_data(seed, payouts=payouts, specifications=specifications)
    children: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in made.specifications():
        assert Decimal(row["amount"]) + Decimal(row["vat_amount"]) == Decimal(row["total_amount"])
        children[row.get("payout", "")].append(row)
    assert len(made.payouts()) == payouts
    for payout in made.payouts():
        own = children[payout["_id"]]
        assert {name: Decimal(payout[name]) for name in MONEY} == add_up(own)
        assert {row["article"] for row in own} == set(payout["summary"])
        for article, entry in payout["summary"].items():
            of_article = [row for row in own if row["article"] == article]
            assert entry["count"] == len(of_article)
            assert {name: Decimal(entry[name]) for name in MONEY} == add_up(of_article)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("payouts", "specifications"), [(50, 50), (50, 53), (50, 54), (50, 60), (300, 400), (9, 4)])
def test_a_payout_has_specifications_wherever_there_are_enough(seed: int, payouts: int, specifications: int) -> None:
    """No payout lacks a specification while another has several, and one specification in fourteen has no payout."""
    made = seed_data(seed, payouts=payouts, specifications=specifications)
    named = [row["payout"] for row in made.specifications() if "payout" in row]
    assert len(named) == specifications - sum(number % 14 == 5 for number in range(specifications))
    assert len(set(named)) == min(payouts, len(named))
    assert set(named) <= {row["_id"] for row in made.payouts()}


def test_the_ids_of_payouts_do_not_depend_on_their_specifications() -> None:
    """Seed and number of payouts alone decide them: 50 payouts are the same 50, whatever is booked on them."""
    ids = [row["_id"] for row in seed_data(specifications=5000).payouts()]
    assert ids == [row["_id"] for row in seed_data(specifications=60).payouts()]
    assert "6776478033d4049c0400dd72" in ids


def test_a_seed_decides_every_row() -> None:
    """The same seed gives the same rows; another seed gives rows with no id in common."""
    for part in (SeedData.payouts, SeedData.specifications, SeedData.payments):
        assert part(seed_data(1)) == part(seed_data(1))
        assert not {row["_id"] for row in part(seed_data(1))} & {row["_id"] for row in part(seed_data(2))}


def test_ids_begin_with_their_second_and_ascend_with_creation() -> None:
    """An id begins with the second of `_created`; later rows have larger ids, though some are stored earlier."""
    for rows in (seed_data().payouts(), seed_data().specifications(), seed_data().payments()):
        by_id = sorted(rows, key=lambda row: row["_id"])
        moments = [read_date(row["_created"]) for row in by_id]
        assert all(
            moment and int(row["_id"][:8], 16) == moment.timestamp() for row, moment in zip(by_id, moments, strict=True)
        )
        assert moments == sorted(moments, key=lambda moment: moment.timestamp() if moment else 0)
        assert len(set(moments)) < len(rows) == len({row["_id"] for row in rows})
    stored = [row["_id"] for row in seed_data().specifications()]
    assert stored != sorted(stored)


@pytest.mark.parametrize(
    "oddity",
    [
        lambda row: isinstance(row["amount"], int),
        lambda row: str(row["amount"]).endswith(".0"),
        lambda row: isinstance(row["amount"], Decimal) and row["amount"] % 1,
        lambda row: "payout" not in row and "payout_reference" not in row and "payout_date" not in row,
        lambda row: "payout" in row and "payout_date" not in row,
        lambda row: "invoice_numbers" in row and "invoice_number" not in row,
        lambda row: row["state"] is None,
        lambda row: row["state"] == "instalment_plan",
        lambda row: row["article"] == "instalment_plan_fee",
        lambda row: "campaign" in row,
        lambda row: "creditor_name" not in row,
        lambda row: "å" in row.get("creditor_name", "").lower(),
        lambda row: "references" not in row,
        lambda row: "enforcement" in row.get("references", {}),
        lambda row: row["vat_amount"] * 4 == row["amount"],
        lambda row: row.get("payout_interval") == "weekly",
    ],
)
def test_specifications_have_every_oddity(oddity: Any) -> None:
    """Each oddity of the API appears in some rows, and not in all."""
    odd = [row for row in seed_data().specifications() if oddity(row)]
    assert 0 < len(odd) < 800


def test_payments_have_every_status() -> None:
    """Payments are completed, with a warning and in error, by case and by invoice number, never by both."""
    rows = seed_data().payments()
    assert {row["status"] for row in rows} == {"completed", "warning", "error"}
    assert {("case" in row, "invoice_number" in row) for row in rows} == {(True, False), (False, True)}
