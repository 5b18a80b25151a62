"""Reconciliations as people read them."""

import io
import re
from decimal import Decimal

import pytest

from amili_async.cli.console import PlainConsole
from amili_async.cli.reports.reconciliation_table import print_categories, print_report
from amili_async.cli.reports.reconciliation_words import UNSETTLED, Overview
from amili_async.reconciliation.comparison import Reconciliation
from tests.support.reconciliations import HOSTILE, PAYOUT, agree, differ, make_specification, name_unknown, unsettle

NOISE = Decimal("250.00000000000003")
NOISY_ROW = make_specification("b", total_amount=Decimal("125.00000000000001"))


def show(*reconciliations: Reconciliation, width: int = 80) -> str:
    """The printed report."""
    console, overview = PlainConsole(), Overview()
    console.file, console.width = io.StringIO(), width
    for reconciliation in reconciliations:
        overview.add(reconciliation)
    print_report(console, overview, [each for each in reconciliations if not each.agrees])
    return console.file.getvalue()


def cells(text: str, label: str) -> list[str]:
    """The cells beside a label."""
    (line,) = re.findall(rf"^{re.escape(label)}  +(.*)$", text, re.MULTILINE)
    return re.split("  +", line.strip())


def test_payouts_that_agree_are_one_line() -> None:
    """With their number, that of their specifications, and the three sums."""
    text = show(*agree(1_200))
    assert text.splitlines()[2].split() == ["1,200", "2,400", "SEK", "240,000.00", "60,000.00", "300,000.00"]
    assert text.endswith("\n\n1,200 payouts, 2,400 specifications: all reconciled\n")
    assert len(text.splitlines()) == 5


def test_each_currency_has_its_own_line() -> None:
    """Currencies are never added up, and a payout without one is in neither."""
    text = show(*agree(2), *agree(3, currency="EUR"), *agree(1, currency=None))
    assert [line.split()[:3] for line in text.splitlines()[2:5]] == [
        ["1", "2", "none"],
        ["3", "6", "EUR"],
        ["2", "4", "SEK"],
    ]


def test_no_payouts_are_two_words() -> None:
    """Without a table."""
    assert show() == "no payouts\n"


def test_a_differing_payout_is_named() -> None:
    """By its id, reference, date and category; numbers that agree are not shown."""
    text = show(differ(total_amount=Decimal("250.01")))
    assert text.startswith(f"{PAYOUT}  Utbet 12  2025-06-13  capital\n")
    assert cells(text, "total_amount") == ["250.01", "250.00", "0.01"]
    assert "vat_amount" not in text
    assert text.endswith("\n1 payout, 2 specifications: 0 reconciled, 1 differs\n")


def test_an_unsettled_payout_does_not_count_as_differing() -> None:
    """It has its sentence and its numbers, and a count of its own."""
    text = show(*agree(3), unsettle(total_amount=Decimal("250.01")))
    assert f"\n{UNSETTLED}\n" in text
    assert cells(text, "total_amount") == ["250.01", "250.00", "0.01"]
    assert text.endswith("\n4 payouts, 8 specifications: 3 reconciled, 1 unsettled\n")


def test_a_payout_without_fields_is_named_by_its_id() -> None:
    """Absent fields are left out."""
    text = show(differ(payout_reference=None, payout_date=None, finance_category=None, amount=Decimal(1)))
    assert text.startswith(f"{PAYOUT}\n")


def test_totals_articles_and_rows_are_stated_found_and_difference() -> None:
    """Under the API's names; a missing number is named, and a note explains the numbers of a specification."""
    rows = (make_specification("a"), make_specification("b", article="cost", total_amount=Decimal(126)))
    text = show(differ(rows=rows), width=100)
    assert cells(text, "total_amount") == ["250.00", "251.00", "-1.00"]
    assert cells(text, "capital: count") == ["2", "1", "1"]
    assert cells(text, "cost: amount") == ["missing", "100.00"]
    assert cells(text, f"specification {'b' * 24}") == ["126.00", "125.00", "1.00"]
    assert "what was found is amount + vat_amount" in text


def test_the_note_on_specifications_is_shown_only_where_it_applies() -> None:
    """It is left out where no specification is at fault."""
    assert "amount + vat_amount" not in show(differ(amount=Decimal(1)))


def test_a_foreign_specification_is_named() -> None:
    """By its id, with its currency and the payout's."""
    text = show(differ(rows=(make_specification("a"), make_specification("b", currency="EUR"))))
    assert f"\nspecification {'b' * 24} has currency EUR, not SEK\n" in text
    assert "Stated" not in text


def test_a_payout_without_specifications_has_a_sentence() -> None:
    """Above its numbers."""
    text = show(differ(rows=()))
    assert re.search(r"capital\nno specification names it\n", text)
    assert cells(text, "total_amount") == ["250.00", "0.00", "250.00"]


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        (1, "1 specification names it; its total is 125.00 with VAT"),
        (3, "3 specifications name it; their total is 375.00 with VAT"),
    ],
)
def test_a_payout_that_does_not_exist_is_explained(count: int, sentence: str) -> None:
    """Under its id; the summary does not count it as a payout."""
    text = show(*agree(2), name_unknown(count))
    assert f"\n{'f' * 24}\nthis payout does not exist, but {sentence}\n" in text
    specifications = 4 + count
    assert text.endswith(
        f"\n2 payouts, {specifications} specifications: all reconciled; "
        "1 payout named by specifications does not exist\n"
    )


def test_float_noise_is_marked_and_counted() -> None:
    """Beside the difference, and in the summary for payouts that have no other."""
    noisy = differ(total_amount=NOISE)
    both = differ(total_amount=NOISE, amount=Decimal(1))
    text = show(*agree(997), noisy, both, both, width=100)
    assert cells(text.split("\n\n")[1], "total_amount")[1:] == ["250.00", "0.00000000000003", "float noise"]
    assert "noise" not in re.findall("^amount .*$", text, re.MULTILINE)[0]
    assert text.endswith("1,000 payouts, 2,000 specifications: 997 reconciled, 3 differ (1 by float noise only)\n")


@pytest.mark.parametrize("width", [40, 50, 80, 140])
def test_the_report_fits_the_terminal_and_keeps_every_digit(width: int) -> None:
    """No table is wider than the terminal, and no number is cut off, however long it is."""
    long = Decimal("12345678.123456789012")
    shown = ("250.00000000000003", "0.00000000000003", "12,345,678.123456789012", "12,345,478.123456789012")
    unequal = differ(amount=long, total_amount=NOISE, rows=(make_specification("a"), NOISY_ROW))
    text = show(*agree(1_000), unequal, differ(rows=()), width=width)
    is_sentence = re.compile(f"{PAYOUT}|Of a specification|1,002 payouts|specification b+$")
    lines = [line for line in text.splitlines() if not is_sentence.match(line)]
    assert max(map(len, lines)) <= width
    assert "…" not in text
    assert all(number in text for number in shown)
    assert ("Stated" in text.split("\n\n")[1]) == (width == 140)


def test_long_numbers_are_below_one_another() -> None:
    """Where they do not fit side by side, each has a line, and their digits are aligned."""
    text = show(differ(total_amount=NOISE), width=40)
    assert text.splitlines()[1:6] == [
        "total_amount",
        "  stated      250.00000000000003",
        "  found                   250.00",
        "  difference    0.00000000000003",
        "  float noise",
    ]


def test_the_total_is_the_last_column_to_be_dropped() -> None:
    """A very narrow terminal shows the count and the total, and folds instead of cutting."""
    assert show(*agree(1), width=20).splitlines()[0].split() == ["Reconciled", "Total"]
    assert show(*agree(1), width=5).startswith("Recon\nciled\n")


def test_text_of_records_cannot_steer_the_terminal() -> None:
    """Escape sequences, markup, line ends and reversed letters are shown, not obeyed."""
    hostile = [
        *agree(1, currency=HOSTILE),
        differ(payout_reference=HOSTILE, finance_category=HOSTILE, amount=Decimal(1)),
        differ(rows=(make_specification("a", article=HOSTILE, currency=HOSTILE), make_specification("b"))),
    ]
    text = show(*hostile, width=140)
    assert text.replace("\n", "").isprintable()
    assert text.count("=1+1\\x1b[31m[red]:smile:\\n\\u202e") >= 5


def test_the_table_of_categories_fits_the_terminal() -> None:
    """No line is wider than the terminal; category, total and verdict are always shown, and a note names the rest."""
    found = [*agree(1), differ(amount=Decimal("200.5")), *agree(1, finance_category=None), name_unknown()]
    for width, has_amount in ((50, False), (80, True), (140, True)):
        console = PlainConsole()
        console.file, console.width = io.StringIO(), width
        print_categories(console, found)
        text, _, note = console.file.getvalue().partition("not shown, because the terminal is too narrow: ")
        table = text.splitlines()
        assert max(map(len, [*table, note])) <= width
        assert all(word in text for word in ("Category", "Total", "Reconciled", "no: 1 of 2"))
        assert ("Amount" in note) != has_amount
        assert ("Amount" in " ".join(table)) == has_amount
        assert [line.split()[0] for line in table if line.strip()][-3:] == ["capital", "none", "all"]
