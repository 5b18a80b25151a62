"""Reconciliations as lines of JSON and as rows of CSV."""

import csv
import json
from decimal import Decimal
from typing import Any

import pytest

from amili_async import PayoutSummary
from amili_async.cli.reports.reconciliation_rows import CSV_COLUMNS, CsvRows, JsonRows
from amili_async.reconciliation.comparison import Reconciliation
from tests.support.reconciliations import HOSTILE, PAYOUT, agree, differ, make_specification, name_unknown, unsettle

NOISE = Decimal("250.00000000000003")


def read_json(reconciliation: Reconciliation) -> dict[str, Any]:
    line = JsonRows().encode(reconciliation)
    assert line.endswith(b"}\n")
    assert len(line.decode().splitlines()) == 1
    document: dict[str, Any] = json.loads(line, parse_float=Decimal, parse_constant=pytest.fail)
    return document


def read_csv(*reconciliations: Reconciliation) -> list[dict[str, str]]:
    rows = CsvRows()
    text = (rows.header + b"".join(map(rows.encode, reconciliations))).decode()
    return list(csv.DictReader(text.splitlines(keepends=True), strict=True))


def test_json_is_complete() -> None:
    """It identifies the payout and has both sides, the sums per article, and each difference."""
    rows = (make_specification("a"), make_specification("b", article="cost"))
    document = read_json(differ(total_amount=Decimal("250.50"), rows=rows))
    sums = {"amount": 100, "vat_amount": 25, "total_amount": 125}
    differences = document.pop("differences")
    assert document == {
        "payout": PAYOUT,
        "payout_reference": "Utbet 12",
        "payout_date": "2025-06-13T00:00:00Z",
        "finance_category": "capital",
        "creditor": None,
        "currency": "SEK",
        "finance_period_start_date": None,
        "finance_period_end_date": None,
        "agrees": False,
        "unsettled": False,
        "specifications": 2,
        "stated": {"amount": 200, "vat_amount": 50, "total_amount": Decimal("250.50")},
        "found": {"amount": 200, "vat_amount": 50, "total_amount": 250},
        "articles": {"capital": {"count": 1, **sums}, "cost": {"count": 1, **sums}},
    }
    assert differences[0] == {
        "kind": "total",
        "specification": None,
        "article": None,
        "field": "total_amount",
        "stated": Decimal("250.50"),
        "found": 250,
        "is_noise": False,
    }
    assert [(each["kind"], each["article"], each["field"]) for each in differences[1:]] == [
        ("article", article, field)
        for article in ("capital", "cost")
        for field in ("count", "amount", "vat_amount", "total_amount")
    ]


def test_a_reconciliation_is_one_line_to_every_reader() -> None:
    """Characters that some readers take for a line end are escaped, and a reader of JSON gets them unchanged."""
    assert read_json(differ(payout_reference="a\x85b\u2028c\n"))["payout_reference"] == "a\x85b\u2028c\n"


def test_json_names_the_specification_at_fault() -> None:
    """One of another currency, and one whose amounts do not add up, with both sides."""
    rows = (make_specification("a", currency="EUR"), make_specification("b", total_amount=None))
    differences = read_json(differ(rows=rows, total_amount=Decimal(125)))["differences"]
    found = {each["kind"]: (each["specification"], each["stated"], each["found"]) for each in differences}
    assert found["foreign"] == ("a" * 24, "SEK", "EUR")
    assert found["row"] == ("b" * 24, None, 125)


def test_digits_are_those_of_the_api() -> None:
    """Neither format rounds or shortens a number, and noise is marked."""
    reconciliation = differ(amount=Decimal("200.0"), total_amount=NOISE)
    line = JsonRows().encode(reconciliation)
    assert b'"stated":{"amount":200.0,"vat_amount":50,"total_amount":250.00000000000003}' in line
    assert b'"stated":250.00000000000003,"found":250,"is_noise":true}' in line
    (row,) = read_csv(reconciliation)
    assert (row["stated_amount"], row["stated_total_amount"]) == ("200.0", "250.00000000000003")
    assert row["found_total_amount"] == "250"


def test_sums_are_exact() -> None:
    """0.1 + 0.2 is 0.3."""
    rows = [make_specification(letter, amount=Decimal(f"0.{letter}")) for letter in "12"]
    reconciliation = differ(rows=tuple(rows))
    assert b'"found":{"amount":0.3,' in JsonRows().encode(reconciliation)
    assert read_csv(reconciliation)[0]["found_amount"] == "0.3"


@pytest.mark.parametrize("missing", [None, Decimal("NaN"), Decimal("Infinity")])
def test_an_unknown_number_is_null_or_empty(missing: Any) -> None:
    """Absent, `null` and NaN are the same, and the line is valid JSON."""
    reconciliation = differ(amount=missing)
    assert read_json(reconciliation)["stated"]["amount"] is None
    assert read_csv(reconciliation)[0]["stated_amount"] == ""


def test_a_payout_that_does_not_exist_states_nothing() -> None:
    """It has its id and the sums of the specifications that name it."""
    document = read_json(name_unknown(2))
    assert (document["payout"], document["agrees"], document["specifications"]) == ("f" * 24, False, 2)
    assert set(document["stated"].values()) == {document["currency"]} == {None}
    assert document["found"]["total_amount"] == 250
    (row,) = read_csv(name_unknown(2))
    assert row["differences_in_words"] == "it does not exist, but specifications name it"
    assert (row["currency"], row["stated_amount"], row["found_total_amount"]) == ("", "", "250")


def test_an_unsettled_payout_is_marked() -> None:
    """A program can tell it from one that differs for certain."""
    unsettled = unsettle(amount=Decimal(1))
    assert (read_json(unsettled)["agrees"], read_json(unsettled)["unsettled"]) == (False, True)
    (row,) = read_csv(unsettled)
    assert (row["agrees"], row["unsettled"], row["differences"]) == ("false", "true", "1")


def test_csv_has_one_row_per_payout() -> None:
    """Under one header, with both sides, the verdict, and the differences as a count and in words."""
    first, second = read_csv(*agree(), differ(vat_amount=Decimal("50.01")))
    assert tuple(first) == tuple(second) == CSV_COLUMNS
    assert (first["agrees"], first["differences"], first["differences_in_words"]) == ("true", "0", "")
    assert second == {
        "payout": PAYOUT,
        "payout_reference": "Utbet 12",
        "payout_date": "2025-06-13T00:00:00Z",
        "finance_category": "capital",
        "creditor": "",
        "currency": "SEK",
        "specifications": "2",
        "stated_amount": "200",
        "stated_vat_amount": "50.01",
        "stated_total_amount": "250",
        "found_amount": "200",
        "found_vat_amount": "50",
        "found_total_amount": "250",
        "agrees": "false",
        "unsettled": "false",
        "differences": "1",
        "differences_in_words": "vat_amount is 50.01, but its specifications add up to 50.00",
    }


def test_text_of_records_breaks_neither_format() -> None:
    """Quotes, separators and line ends stay within their cell, and text is written unchanged, as in an export."""
    awkward = f'{HOSTILE}"a, b";\r\n'
    summary = {awkward: PayoutSummary(count=1)}
    reconciliation = differ(payout_reference=awkward, currency="SEK,EUR", summary=summary)
    document = read_json(reconciliation)
    assert (document["payout_reference"], document["currency"]) == (awkward, "SEK,EUR")
    assert b"\x1b" not in JsonRows().encode(reconciliation)
    rows = list(csv.DictReader([CsvRows().header.decode(), CsvRows().encode(reconciliation).decode()], strict=True))
    assert [(row["payout_reference"], row["currency"]) for row in rows] == [(awkward, "SEK,EUR")]
    words = rows[0]["differences_in_words"]
    assert words.isprintable()
    assert words[0] not in "=+-@"
