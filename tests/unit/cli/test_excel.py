"""CSV for a spreadsheet: texts stay texts, and amounts stay numbers."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from amili_async.cli.excel import ExcelCsv


def write(value: Any) -> str:
    """The only cell of a row, as CSV."""
    return ExcelCsv(["amount"]).encode([{"amount": value}]).decode().removesuffix("\r\n")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "00123",
            "1E5",
            "2025-06-01",
            "1/2",
            "12 maj",
            "mar-25",
            "sant",
            "TRUE",
            "+46 70 123 45 67",
            "-5",
            "1.234,50",
        ),
        *("10 %", "67764780334049e040000072", "100 kr", "12:30", "9" * 30),
    ],
)
def test_a_text_that_looks_like_a_value_stays_a_text(text: str) -> None:
    """As a formula whose result is that very text."""
    assert write(text) == f'"=""{text}"""'


@pytest.mark.parametrize(
    "text", ["=1+1", '=HYPERLINK("x")', "@SUM(A1)", "+cmd|' /C calc'!A0", "-a", " =1", "\t=1", "\uff1d1+1"]
)
def test_a_text_that_looks_like_a_formula_is_not_run(text: str) -> None:
    """An apostrophe precedes it."""
    assert write(text).lstrip('"').startswith("'")
    assert write(text).strip('"').replace('""', '"').startswith(f"'{text}"[:5])


@pytest.mark.parametrize("text", ["capital", "INV-2025-0477", "Faktura 12", "Åke; Öst", "PAY-REF-001", "", "674dbeb2"])
def test_any_other_text_is_unchanged(text: str) -> None:
    """Quoted where it holds a semicolon."""
    assert write(text).strip('"') == text
    assert (write(text) != text) == (";" in text)


def test_values_have_the_forms_of_a_swedish_spreadsheet() -> None:
    """Decimal commas, signs without a guard, days, and times in UTC; more digits than it keeps become text."""
    for value, cell in (
        (Decimal("-1234.50"), "-1234,50"),
        (1064, "1064"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0.00"), "0,00"),
        (Decimal("1E+100000000"), '"=""1E+100000000"""'),
        (Decimal("1234567890123456.78"), '"=""1234567890123456,78"""'),
        (datetime(2025, 6, 13, tzinfo=UTC), "2025-06-13"),
        (datetime(2025, 6, 13, 8, tzinfo=UTC), "2025-06-13 08:00:00"),
        (None, ""),
        (True, "true"),
        ({"a": Decimal("1.5")}, '"{""a"":1.5}"'),
    ):
        assert write(value) == cell


def test_the_header_begins_with_a_byte_order_mark() -> None:
    """By which a spreadsheet recognises UTF-8."""
    assert ExcelCsv(["_id", "amount"]).header == b"\xef\xbb\xbf_id;amount\r\n"
