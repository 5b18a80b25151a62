"""The page of a reconciliation: what it says, that nothing of it is missing, and that nothing in it can do harm."""

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from msgspec import UNSET

from amili_async.cli.reports.reconciliation_page import MOST_AGREEING, render_page
from amili_async.reconcile import Reconciliation, reconcile_payout
from tests.support.reconciliations import PAYOUT, agree, differ, make_payout, make_specification, name_unknown
from tests.support.report_pages import SOURCE, find, read, rows, say, write

HOSTILE = "</title><script>alert(1)</script>\"'&\u202e\x00\ud800"
ESCAPED = "&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;\\u202e\\x00\\ud800"
NOISY = differ(total_amount=Decimal("250.00000000000003"))
WRONG = differ(total_amount=Decimal("250.01"))
LONG = Decimal("123456789012345678901234567890.123456789012345")


def verdict(*reconciliations: Reconciliation) -> str:
    (sentence,) = find(read(write(*reconciliations)), "verdict")
    return say(sentence)


def facts(page: str, kind: str) -> list[dict[str, str]]:
    """What each list of facts says."""
    return [
        {f"{entry.findtext('dt')}": "".join(entry[1].itertext()) for entry in listed}
        for listed in find(read(page), kind)
    ]


def compared(page: str) -> list[list[str]]:
    """Every row of numbers that differ."""
    return [row for table in find(read(page), "compared") for row in rows(table)[1:]]


SAMPLES: dict[str, list[Reconciliation]] = {
    "nothing": [],
    "one": agree(1),
    "agreeing": agree(40),
    "too many": agree(MOST_AGREEING + 1),
    "differing": [*agree(3), WRONG, NOISY, differ(rows=()), name_unknown(2)],
    "only unknown": [name_unknown(1)],
    "bare": [differ(currency=UNSET, finance_category=UNSET, payout_date=UNSET, amount=UNSET)],
    "nulls": [differ(currency=None, finance_category=None, payout_date=None, summary=None)],
}


@pytest.mark.parametrize("sample", SAMPLES)
def test_it_is_whole_in_itself(sample: str) -> None:
    """Well-formed, without a program, with nothing from elsewhere, and the browser is told to see to that."""
    page = write(*SAMPLES[sample])
    tree = read(page)
    assert page.startswith("<!DOCTYPE html>\n")
    assert tree.attrib == {"lang": "en"}
    tags = {each.tag for each in tree.iter()}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "image", "use"}
    metas = [each.attrib for each in tree.iter("meta")]
    assert {"charset": "utf-8"} in metas
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    assert {"http-equiv": "Content-Security-Policy", "content": policy} in metas
    assert page.replace(SOURCE, "").count("http") == page.count("http-equiv") == 1
    names = {name for each in tree.iter() for name in each.attrib}
    assert not {name for name in names if name.startswith("on") or name in {"src", "srcset", "action"}}
    assert {each.attrib["href"] for each in tree.iter() if "href" in each.attrib} <= {"#differing"}


@pytest.mark.parametrize("sample", SAMPLES)
def test_what_is_pointed_at_is_there_once(sample: str) -> None:
    """Ids are not given twice, and every one that is named exists."""
    tree = read(write(*SAMPLES[sample]))
    ids = [each.attrib["id"] for each in tree.iter() if "id" in each.attrib]
    named = {each.attrib["href"][1:] for each in tree.iter() if "href" in each.attrib}
    named |= {name for each in tree.iter() for name in each.attrib.get("aria-labelledby", "").split()}
    assert len(set(ids)) == len(ids)
    assert named == set(ids)


@pytest.mark.parametrize(
    ("reconciliations", "says"),
    [
        ([], "There are no payouts to reconcile."),
        (agree(1), "The one payout reconciles."),
        (agree(1_200), "All 1,200 payouts reconcile."),
        ([*agree(59), WRONG], "1 of 60 payouts differs."),
        ([WRONG], "1 of 1 payout differs."),
        ([*agree(1), WRONG, NOISY], "2 of 3 payouts differ (1 by float noise only)."),
        ([*agree(2), name_unknown()], "All 2 payouts reconcile; 1 payout that specifications name does not exist."),
        ([name_unknown(), name_unknown()], "2 payouts that specifications name do not exist."),
    ],
)
def test_the_verdict_is_one_sentence(reconciliations: list[Reconciliation], says: str) -> None:
    """It counts what differs, and is the title, too."""
    assert verdict(*reconciliations) == says
    assert read(write(*reconciliations)).findtext("head/title") == f"Reconciliation: {says[:-1]}"


def test_the_verdict_has_the_colour_that_it_deserves() -> None:
    """A payout that does not exist is as bad as one that differs."""
    for sample, colour in ((agree(2), "good"), ([], "good"), ([*agree(2), name_unknown()], "bad"), ([NOISY], "bad")):
        (sentence,) = find(read(write(*sample)), "verdict")
        assert sentence.attrib["class"] == f"verdict {colour}"


def test_it_says_when_it_was_made_and_from_what() -> None:
    """The time in UTC, and the source as text."""
    here = datetime(2025, 10, 3, 10, 15, 2, tzinfo=timezone(timedelta(hours=2)))
    page = render_page([], made_at=here, source=f"https://{HOSTILE}")
    assert f"Made on 2025-10-03 at 08:15:02 UTC from <bdi>https://{ESCAPED}</bdi>." in page


def test_counts_and_sums_are_on_top() -> None:
    """Kronor and euro are not added, and it is said that what belongs to no payout is in neither."""
    page = write(*agree(1_000), *agree(2, currency="EUR"), WRONG, name_unknown(3))
    counts, euro, kronor = facts(page, "counts")
    assert list(counts.items()) == [
        ("Payouts", "1,003"),
        ("Specifications", "2,009"),
        ("Reconciled", "1,002"),
        ("Differing", "1"),
        ("Not existing", "1"),
    ]
    assert list(euro.items()) == [("Amount, EUR", "400.00"), ("VAT, EUR", "100.00"), ("Total, EUR", "500.00")]
    assert kronor["Total, SEK"] == "250,250.00"
    assert "they are in none of these sums" in page
    assert "they are in none of these sums" not in write(*agree(2))


def test_each_differing_payout_is_there_in_full() -> None:
    """Its id, reference, dates, category, creditor and number of specifications; agreeing ones are not among them."""
    wrong = differ(
        amount=Decimal(1),
        creditor="c" * 24,
        finance_period_start_date=datetime(2025, 6, 1, tzinfo=UTC),
        finance_period_end_date=datetime(2025, 6, 7, 23, 59, 59, tzinfo=UTC),
    )
    page = write(*agree(5), wrong)
    (article,) = find(read(page), "payout")
    assert article.tag == "article"
    assert say(article[0]) == f"Payout {PAYOUT}"
    assert facts(page, "facts") == [
        {
            "Reference": "Utbet 12",
            "Payout date": "2025-06-13",
            "Period": "2025-06-01 to 2025-06-07",
            "Category": "capital",
            "Creditor": "c" * 24,
            "Specifications": "2",
        }
    ]


@pytest.mark.parametrize("absent", [None, UNSET])
def test_what_a_payout_lacks_is_said(absent: Any) -> None:
    """Nothing is left blank."""
    lacks = dict.fromkeys(("payout_reference", "payout_date", "finance_category", "creditor"), absent)
    (found,) = facts(write(differ(amount=Decimal(1), **lacks)), "facts")
    assert set(found.values()) == {"none", "2"}


def test_each_difference_has_its_digits() -> None:
    """Stated, found and difference, however long; noise is marked, and a missing side says so."""
    noisy = make_specification("b", article="cost", total_amount=Decimal("125.00000000000001"))
    page = write(
        differ(total_amount=Decimal("250.01"), amount=LONG, vat_amount=None),
        differ(rows=(make_specification("a"), noisy)),
        differ(rows=(make_specification("a"), make_specification("b", vat_amount=None))),
    )
    found = compared(page)
    assert found[:3] == [
        ["amount", f"{LONG:,}", "200.00", "123,456,789,012,345,678,901,234,567,690.123456789012345"],
        ["vat_amount", "nothing", "50.00", ""],
        ["total_amount", "250.01", "250.00", "0.01"],
    ]
    assert ["total_amountfloat noise", "250.00", "250.00000000000001", "-0.00000000000001"] in found
    assert ["capital: count", "2", "1", "1"] in found
    assert ["cost: total_amount", "nothing", "125.00000000000001", ""] in found
    assert [f"specification {'b' * 24}float noise", "125.00000000000001", "125.00", "0.00000000000001"] in found
    assert [f"specification {'b' * 24}", "125.00", "nothing", ""] in found
    assert page.count("Of a specification, what is stated") == 2
    assert len(find(read(page), "noise")) == sum("noise" in row[0] for row in found) == 2


def test_what_is_no_number_is_told() -> None:
    """A payout without specifications, one that does not exist, and a specification of another currency."""
    foreign = differ(rows=(make_specification("a"), make_specification("b", currency="EUR")))
    page = write(differ(rows=()), foreign, name_unknown(1), name_unknown(3))
    told = [say(each) for each in find(read(page), "told")]
    assert told == [
        "No specification names it.",
        f"Specification {'b' * 24} has currency EUR, not SEK.",
        "This payout does not exist, but 1 specification names it; it comes to 125.00 with VAT.",
        "This payout does not exist, but 3 specifications name it; they come to 375.00 with VAT.",
    ]
    assert ["total_amount", "250.00", "0.00", "250.00"] in compared(page)


def test_every_difference_is_somewhere() -> None:
    """However many a payout has, each is a row or a sentence."""
    many = [make_specification(letter, currency="EUR", total_amount=Decimal(1)) for letter in "0123456789abcdef"]
    wrong = differ(rows=tuple(many))
    page = write(wrong)
    assert len(compared(page)) + sum(len(each) for each in find(read(page), "told")) == len(wrong.differences) > 32


def test_agreeing_payouts_are_folded_away() -> None:
    """Each with its specifications and its total, and without a note that some are left out."""
    page = write(*agree(2), *agree(1, payout_reference=None), WRONG)
    (folded,) = read(page).iter("details")
    assert "open" not in folded.attrib
    assert folded.findtext("summary") == "3 payouts reconcile"
    (table,) = folded.iter("table")
    assert rows(table)[2:] == [
        [f"{1:024x}", "Utbet 12", "2025-06-13", "capital", "2", "250.00"],
        [f"{0:024x}", "none", "2025-06-13", "capital", "2", "250.00"],
    ]
    assert "more are not listed" not in page


def test_a_page_stays_small_however_many_agree() -> None:
    """The first ones are listed, it is said how many are not, and all are in the sums."""
    page = write(*agree(20_000))
    (table,) = next(read(page).iter("details")).iter("table")
    assert len(rows(table)) == MOST_AGREEING + 1
    assert "These are the first 300; 19,700 more are not listed." in page
    assert "5,000,000.00" in page
    assert len(page) < 200_000


def test_nothing_that_a_record_says_is_markup() -> None:
    """Neither tags nor quotes, and what runs backwards, cuts off or cannot be written is shown."""
    says = {"creditor": HOSTILE, "payout_reference": HOSTILE, "finance_category": HOSTILE, "currency": HOSTILE}
    specification = make_specification("a", article=HOSTILE, currency="EUR")
    wrong = reconcile_payout(make_payout(HOSTILE, **says), [specification])
    page = render_page([wrong, *agree(1, **says)], made_at=datetime.now(UTC), source=HOSTILE)
    assert not {"\u202e", "\x00", "\ud800"} & set(page)
    assert page.encode()
    assert "<script" not in page
    assert page.count(ESCAPED) > 15
    read(page)


def test_a_page_of_nothing_says_so() -> None:
    """There is neither a chart nor a table, nor a count."""
    page = write()
    tree = read(page)
    assert not {"svg", "table", "dl", "section", "details"} & {each.tag for each in tree.iter()}
    assert re.search(r"2025-10-03 at 08:15:00 UTC", page)
