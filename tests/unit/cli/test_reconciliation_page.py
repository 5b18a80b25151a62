"""The page of a reconciliation: complete, exact, harmless, and readable in both colour schemes."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from importlib.resources import files
from math import dist
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from markupsafe import escape

from amili_async.cli.reports.reconciliation_page import (
    COLOURS,
    MAX_AGREEING,
    choose_unit,
    find_day,
    group_by_period,
    order_categories,
)
from amili_async.cli.reports.reconciliation_words import UNSETTLED
from amili_async.reconciliation.comparison import Reconciliation, reconcile_payout
from tests.support.reconciliations import PAYOUT, agree, differ, make_payout, make_specification, name_unknown, unsettle
from tests.support.report_pages import SOURCE, facts, find, read, rows, text_of, write

TEMPLATE = files("amili_async.cli.reports").joinpath("reconciliation_page.html.j2").read_text()
HOSTILE = "</title><script>alert(1)</script>\"'&\u202e\x00\ud800{{ 1 }}"
SHOWN = "</title><script>alert(1)</script>\"'&\\u202e\\x00\\ud800{{ 1 }}"
NOISY = differ(total_amount=Decimal("250.00000000000003"))
WRONG = differ(total_amount=Decimal("250.01"))
MIXED = differ(rows=(make_specification("a"), make_specification("b", currency="EUR")))
LONG = Decimal("123456789012345678901234567890.123456789012345")
FIRST = datetime(2025, 1, 1, tzinfo=UTC)
SAMPLES: dict[str, list[Reconciliation]] = {
    "missing": [],
    "one": agree(1),
    "too many": agree(MAX_AGREEING + 1),
    "differing": [*agree(3), WRONG, NOISY, MIXED, differ(rows=()), name_unknown(2)],
    "only unknown": [name_unknown(1)],
    "bare": [differ(currency=None, finance_category=None, payout_date=None, amount=None)],
    "nulls": [differ(currency=None, finance_category=None, payout_date=None, summary=None)],
}


def pay(amount: Any, day: Any = FIRST, **fields: Any) -> Reconciliation:
    """A payout that agrees with its one specification of *amount*, in a period that begins on *day*."""
    numbers: dict[str, Any] = {"amount": Decimal(amount), "vat_amount": Decimal(0), "total_amount": Decimal(amount)}
    payout = make_payout(**(numbers | {"summary": None, "finance_period_start_date": day} | fields))
    made = reconcile_payout(payout, [make_specification("a", **numbers)])
    return Reconciliation(payout_id=made.payout_id, payout=payout, articles=made.articles, differences=())


def tables(page: str, kind: str = "totals") -> list[list[list[str]]]:
    return [rows(table) for table in find(read(page), kind)]


def bars(page: str) -> list[list[tuple[str, float, float]]]:
    """For each row of the chart: title, left edge and width of each bar, in percent of the chart."""
    return [[bar for half in place_halves(cell[0]) for bar in half] for cell in find(read(page), "bar")]


def place_halves(chart: Xml.Element) -> Iterable[list[tuple[str, float, float]]]:
    below, above = chart
    zero = css_width(below)
    yield place(below, end=zero, share=zero)
    yield place(above, start=zero, share=100 - zero)


def place(
    half: Xml.Element, *, share: float, start: float = 0, end: float | None = None
) -> list[tuple[str, float, float]]:
    widths = [css_width(bar) * share / 100 for bar in half]
    left = start if end is None else end - sum(widths)
    edges = [left + sum(widths[:at]) for at in range(len(widths))]
    return [(bar.attrib["title"], edge, width) for bar, edge, width in zip(half, edges, widths, strict=True)]


def css_width(element: Xml.Element) -> float:
    (width,) = re.findall(r"width:([\d.]+)%", element.attrib["style"])
    return float(width)


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_page_is_self_contained(sample: str) -> None:
    """It is well-formed, has no script and loads nothing, and its policy makes the browser enforce that."""
    page = write(*SAMPLES[sample])
    tree = read(page)
    assert page.startswith("<!DOCTYPE html>\n")
    assert page.endswith("</body></html>")
    assert tree.attrib == {"lang": "en"}
    assert not {each.tag for each in tree.iter()} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
    }
    metas = [each.attrib for each in tree.iter("meta")]
    assert {"charset": "utf-8"} in metas
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    assert {"http-equiv": "Content-Security-Policy", "content": policy} in metas
    assert page.replace(SOURCE, "").count("http") == page.count("http-equiv") == 1
    assert not re.search(r"url|@import|@font-face", TEMPLATE)
    names = {name for each in tree.iter() for name in each.attrib}
    assert not {name for name in names if name.startswith("on") or name in {"src", "srcset", "action", "href"}}


def test_the_verdict_is_one_sentence() -> None:
    """It counts what differs, is also the title, and is red where a payout differs or does not exist."""
    for reconciliations, verdict, colour in (
        ([], "No payouts", "good"),
        (agree(1_200), "All reconciled", "good"),
        ([*agree(59), WRONG], "59 reconciled, 1 differs", "bad"),
        ([*agree(1), WRONG, NOISY], "1 reconciled, 2 differ (1 by float noise only)", "bad"),
        ([*agree(3), unsettle(amount=Decimal(1))], "3 reconciled, 1 unsettled", "bad"),
        (
            [NOISY, unsettle(amount=Decimal(1)), WRONG],
            "0 reconciled, 2 differ (1 by float noise only), 1 unsettled",
            "bad",
        ),
        ([*agree(2), name_unknown()], "All reconciled; 1 payout named by specifications does not exist", "bad"),
        ([name_unknown(), name_unknown()], "2 payouts named by specifications do not exist", "bad"),
    ):
        tree = read(write(*reconciliations))
        (sentence,) = find(tree, "verdict")
        assert (text_of(sentence), sentence.attrib["class"]) == (f"{verdict}.", f"verdict {colour}")
        assert tree.findtext("head/title") == f"Reconciliation: {verdict}"


def test_the_page_names_its_time_and_source() -> None:
    """The time is in UTC."""
    here = datetime(2025, 10, 3, 10, 15, 2, tzinfo=timezone(timedelta(hours=2)))
    assert f"Made on 2025-10-03 at 08:15:02 UTC from <bdi>{SOURCE}</bdi>." in write(made_at=here)


def test_currencies_are_never_added_up() -> None:
    """Each currency has its own sums; payouts that mix currencies or do not exist are in none, and are counted."""
    page = write(*agree(1_000), *agree(2, currency="EUR"), WRONG, MIXED, name_unknown(3))
    counts, euro, kronor, *_ = facts(read(page))
    assert counts == {
        "Payouts": "1,004",
        "Specifications": "2,011",
        "Reconciled": "1,002",
        "Differing": "2",
        "Unsettled": "0",
        "Not existing": "1",
    }
    assert euro == {"Amount": "400.00", "VAT": "100.00", "Total": "500.00"}
    assert kronor == {"Amount": "200,200.00", "VAT": "50,050.00", "Total": "250,250.00"}
    assert "Not in the sums, since they do not exist or mix currencies: 2." in page
    assert "Not in the sums" not in write(*agree(2))
    assert tables(write(MIXED, name_unknown(), *agree(1))) == tables(write(*agree(1)))


def test_the_totals_are_exact() -> None:
    """Rows are in the order of time, columns in the API's; a cell is blank only where there are no payouts."""
    page = write(
        pay("0.00000000000001", FIRST + timedelta(1), finance_category="interest"),
        pay("1000.5", finance_category="interest"),
        pay("-123456789.01", finance_category="amili_commission"),
        pay(7, FIRST + timedelta(1), finance_category="capital"),
        pay(-7, FIRST + timedelta(1), finance_category="capital"),
        pay("99.5", finance_category="interest"),
    )
    assert tables(page) == [
        [
            ["Day", "", "capital", "interest", "amili_commission", "All"],
            ["2025-01-01", "", "", "1,100.00", "-123,456,789.01", "-123,455,689.01"],
            ["2025-01-02", "", "0.00", "0.00000000000001", "", "0.00000000000001"],
            ["All", "", "0.00", "1,100.00000000000001", "-123,456,789.01", "-123,455,689.00999999999999"],
        ]
    ]


def test_each_bar_is_as_long_as_its_amount() -> None:
    """Negative amounts extend to the left of zero, and all rows share one scale, for huge amounts, too."""
    for scale in (Decimal(1), Decimal("1E+15"), Decimal("0.01")):
        page = write(
            pay(300 * scale),
            pay(-200 * scale, FIRST + timedelta(1)),
            pay(100 * scale, finance_category="interest"),
            pay(-50 * scale, finance_category="fee"),
        )
        first, second = bars(page)
        assert [bar[1:] for bar in first] == [
            pytest.approx(bar, abs=0.01) for bar in ((25, 100 / 12), (100 / 3, 50), (250 / 3, 50 / 3))
        ]
        assert [bar[1:] for bar in second] == [pytest.approx((0, 100 / 3), abs=0.01)]
        assert first[1][0] == f"capital: {300 * scale:,.2f} SEK"
        assert find(read(page), "bar")[0].attrib["aria-hidden"] == "true"


@pytest.mark.parametrize(
    ("fields", "day"),
    [
        ({"finance_period_start_date": FIRST, "payout_date": FIRST + timedelta(9)}, "2025-01-01"),
        ({"finance_period_start_date": None, "payout_date": FIRST, "created": FIRST + timedelta(9)}, "2025-01-01"),
        ({"payout_date": None, "created": FIRST + timedelta(hours=23)}, "2025-01-01"),
        ({"payout_date": None, "created": datetime(1970, 1, 1, tzinfo=UTC)}, ""),
        ({"payout_date": None}, ""),
        ({"payout_date": FIRST.astimezone(timezone(timedelta(hours=-5)))}, "2025-01-01"),
    ],
)
def test_the_day_of_a_payout(fields: dict[str, Any], day: str) -> None:
    """The day of its period, else of its transfer, else of its creation, in UTC; the epoch is no day."""
    assert find_day(make_payout(**fields)) == day


@pytest.mark.parametrize(
    ("days", "unit", "first", "last"),
    [
        ([0], "day", "2025-01-01", "2025-01-01"),
        (range(31), "day", "2025-01-01", "2025-01-31"),
        (range(32), "month", "2025-01", "2025-02"),
        ([0, 31, 59], "month", "2025-01", "2025-03"),
        (range(0, 36 * 30, 15), "month", "2025-01", "2027-12"),
        (range(0, 37 * 30 + 10, 15), "year", "2025", "2028"),
    ],
)
def test_periods_are_days_then_months_then_years(days: Any, unit: str, first: str, last: str) -> None:
    """The finest unit with few enough periods, months for monthly payouts; payouts without a date are last."""
    undated = pay(1, None, payout_date=None)
    found, (totals,) = group_by_period([undated, *(pay(1, FIRST + timedelta(day)) for day in reversed(days))])
    periods = list(totals.rows)
    assert (found, periods[0], periods[-2], periods[-1]) == (unit, first, last, "")
    assert periods[:-1] == sorted(set(periods[:-1]))
    assert choose_unit(set()) == "day"


def test_absent_names_are_shown() -> None:
    """A payout without a date, a category and a currency is in a table of its own."""
    page = write(pay(5, None, payout_date=None, finance_category=None, currency=None), *agree(1))
    headings = [text_of(heading) for heading in read(page).iter("h2")]
    assert headings == ["Totals in SEK", "Totals in no currency"]
    assert tables(page)[1] == [
        ["Day", "", "no category", "All"],
        ["no date", "", "5.00", "5.00"],
        ["All", "", "5.00", "5.00"],
    ]


def test_a_category_has_one_colour() -> None:
    """The same in every currency's chart and legend; categories beyond the colours share the last one."""
    page = write(pay(1, currency="EUR", finance_category="interest"), pay(2), pay(3, finance_category="interest"))
    assert re.findall(r'title="(\w+): .*? (\w+)" style="background:var\(--c(\d)\)', page) == [
        ("interest", "EUR", "1"),
        ("capital", "SEK", "0"),
        ("interest", "SEK", "1"),
    ]
    many = ["capital", *(f"new_{letter}" for letter in "abcdefghij")]
    page = write(*(pay(10, finance_category=name) for name in many))
    (legend,) = find(read(page), "legend")
    assert [text_of(entry) for entry in legend] == tables(page)[0][0][2:-1] == many
    assert re.findall(r"<li><i style=\"background:var\(--c(\d)\)", page) == [*"01234567777"]


def test_documented_categories_are_first() -> None:
    """In the API's order; others by name, and the empty one last."""
    assert order_categories(["", "zebra", "amili_commission", "aal", "capital", "zebra"]) == [
        *("capital", "amili_commission", "aal", "zebra", ""),
    ]


def test_periods_with_differing_payouts_are_marked() -> None:
    """With the number of these payouts."""
    wrong = [differ(amount=Decimal(1), finance_period_start_date=FIRST) for _ in range(2)]
    page = write(*wrong, *agree(1))
    assert [row[0] for row in tables(page)[0][1:]] == ["2025-01 2 not reconciled", "2025-06", "All"]


def test_each_differing_payout_is_shown_in_full() -> None:
    """With its id, reference, dates, category, creditor and number of specifications; absent ones are none."""
    period: dict[str, Any] = {
        "finance_period_start_date": datetime(2025, 6, 1, tzinfo=UTC),
        "finance_period_end_date": datetime(2025, 6, 7, 23, 59, 59, tzinfo=UTC),
    }
    (article,) = read(write(*agree(5), differ(amount=Decimal(1), creditor="c" * 24, **period))).iter("article")
    assert text_of(article[0]) == f"Payout {PAYOUT}"
    expected = {
        "Reference": "Utbet 12",
        "Payout date": "2025-06-13",
        "Period start": "2025-06-01",
        "Period end": "2025-06-07T23:59:59Z",
        "Category": "capital",
        "Creditor": "c" * 24,
        "Specifications": "2",
    }
    assert facts(article) == [expected]
    lacks = dict.fromkeys(("payout_reference", "payout_date", "finance_category", "creditor"))
    (article,) = read(write(differ(amount=Decimal(1), **lacks))).iter("article")
    assert facts(article) == [dict.fromkeys(expected, "none") | {"Specifications": "2"}]


def test_an_unsettled_payout_is_shown_with_a_sentence() -> None:
    """And counted beside those that differ, not among them."""
    page = read(write(*agree(2), unsettle(total_amount=Decimal("250.01"))))
    (article,) = page.iter("article")
    assert [text_of(each) for each in find(article, "sentence")] == [f"{UNSETTLED[0].upper()}{UNSETTLED[1:]}."]
    assert facts(page)[0] | {"Differing": "0", "Unsettled": "1", "Reconciled": "2"} == facts(page)[0]


def test_each_difference_has_its_digits() -> None:
    """Stated, found and difference, however long; noise is marked, and a missing side is named."""
    noisy = make_specification("b", article="cost", total_amount=Decimal("125.00000000000001"))
    page = write(
        differ(total_amount=Decimal("250.01"), amount=LONG, vat_amount=None),
        differ(rows=(make_specification("a"), noisy)),
        differ(rows=(make_specification("a"), make_specification("b", vat_amount=None))),
    )
    found = [row for table in tables(page, "compared") for row in table[1:]]
    assert found[:3] == [
        ["amount", f"{LONG:,}", "200.00", "123,456,789,012,345,678,901,234,567,690.123456789012345"],
        ["vat_amount", "missing", "50.00", ""],
        ["total_amount", "250.01", "250.00", "0.01"],
    ]
    assert ["total_amount float noise", "250.00", "250.00000000000001", "-0.00000000000001"] in found
    assert ["capital: count", "2", "1", "1"] in found
    assert ["cost: total_amount", "missing", "125.00000000000001", ""] in found
    assert [f"specification {'b' * 24} float noise", "125.00000000000001", "125.00", "0.00000000000001"] in found
    assert [f"specification {'b' * 24}", "125.00", "missing", ""] in found
    assert page.count("Of a specification, stated is total_amount") == 2
    assert len(find(read(page), "noise")) == sum("noise" in row[0] for row in found) == 2


def test_other_differences_are_sentences() -> None:
    """A payout without specifications, one that does not exist, and a specification of another currency."""
    page = write(differ(rows=()), MIXED, name_unknown(1), name_unknown(3))
    assert [text_of(each) for each in find(read(page), "sentence")] == [
        "No specification names it.",
        f"Specification {'b' * 24} has currency EUR, not SEK.",
        "This payout does not exist, but 1 specification names it; its total is 125.00 with VAT.",
        "This payout does not exist, but 3 specifications name it; their total is 375.00 with VAT.",
    ]
    assert ["total_amount", "250.00", "0.00", "250.00"] in tables(page, "compared")[0]
    many = [make_specification(letter, currency="EUR", total_amount=Decimal(1)) for letter in "0123456789abcdef"]
    wrong = differ(rows=tuple(many))
    page = write(wrong)
    shown = len(tables(page, "compared")[0][1:]) + len(find(read(page), "sentence"))
    assert shown == len(wrong.differences) > 32


def test_agreeing_payouts_are_collapsed() -> None:
    """Each with its specifications and its total; of very many only the first are listed, and all are in the sums."""
    (folded,) = read(write(*agree(2), *agree(1, payout_reference=None), WRONG)).iter("details")
    assert ("open" in folded.attrib, folded.findtext("summary")) == (False, "3 reconciled")
    (table,) = folded.iter("table")
    assert rows(table)[2:] == [
        [f"{1:024x}", "Utbet 12", "2025-06-13", "capital", "2", "250.00"],
        [f"{0:024x}", "none", "2025-06-13", "capital", "2", "250.00"],
    ]
    assert "Not listed" not in text_of(folded)
    page = write(*agree(20_000))
    (folded,) = read(page).iter("details")
    assert len(list(folded.iter("tr"))) == MAX_AGREEING + 1
    assert "Listed: the first 300. Not listed: 19,700." in text_of(folded)
    assert "5,000,000.00" in page
    assert len(page) < 200_000


def test_text_of_records_is_never_markup() -> None:
    """Tags, quotes and template syntax stay text, and control characters are visible escapes."""
    names = ("creditor", "payout_reference", "finance_category", "currency")
    specification = make_specification("a", article=HOSTILE, currency="EUR")
    wrong = reconcile_payout(make_payout(HOSTILE, **dict.fromkeys(names, HOSTILE)), [specification])
    page = write(wrong, *agree(1, **dict.fromkeys(names, HOSTILE)), source=HOSTILE)
    assert not {"\u202e", "\x00", "\ud800"} & set(page)
    assert page.encode()
    assert "<script" not in page
    assert page.count(str(escape(SHOWN))) == 20
    tree = read(page)
    assert sum(SHOWN in text_of(each) for each in tree.iter() if len(each) == 0) == 14
    assert any(SHOWN in each.attrib.get("title", "") for each in tree.iter("i"))


SIGHTS = {
    "all cones": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "no blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}
"""Linear red, green and blue as seen without one kind of cones (Machado, Oliveira, Fernandes 2009)."""
OKLAB = (
    ((0.41222, 0.53633, 0.05145), (0.2119, 0.6807, 0.10740), (0.0883, 0.28172, 0.62998)),
    ((0.21045, 0.79362, -0.00407), (1.978, -2.42859, 0.45059), (0.0259, 0.78277, -0.80868)),
)
SCHEMES = [dict(re.findall(r"--(\w+):(#\w{6})", scheme)) for scheme in TEMPLATE.split("@media screen")]
"""The colours of the light and of the dark scheme."""


def to_linear(colour: str) -> tuple[float, ...]:
    values = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return tuple(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values)


def apply(matrix: tuple[tuple[float, ...], ...], values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sum(factor * value for factor, value in zip(row, values, strict=True)) for row in matrix)


def perceive(colour: str, sight: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
    """A colour in a space in which distances are those that people see."""
    seen = tuple(min(1.0, max(0.0, value)) for value in apply(sight, to_linear(colour)))
    return apply(OKLAB[1], tuple(value ** (1 / 3) for value in apply(OKLAB[0], seen)))


def contrast(one: str, other: str) -> float:
    """As the WCAG define it."""
    light = sorted(apply(((0.2126, 0.7152, 0.0722),), to_linear(colour))[0] + 0.05 for colour in (one, other))
    return light[1] / light[0]


@pytest.mark.parametrize("scheme", SCHEMES, ids=["light", "dark"])
def test_colours_are_distinct_and_readable(scheme: dict[str, str]) -> None:
    """Any two are distinct for each kind of colour vision; contrast is 3 to 1 for bars, 4.5 to 1 for text."""
    assert set(re.findall(r"var\(--(\w+)\)", TEMPLATE)) < set(scheme)
    colours = [scheme[f"c{number}"] for number in range(COLOURS)]
    assert min(contrast(colour, scheme["paper"]) for colour in colours) >= 3
    assert min(contrast(scheme[name], scheme["paper"]) for name in ("ink", "soft", "good", "bad")) >= 4.5
    for sight in SIGHTS.values():
        seen = [perceive(colour, sight) for colour in colours]
        for later, colour in enumerate(seen):
            for earlier in range(later):
                assert dist(colour, seen[earlier]) > (0.08 if later - earlier == 1 else 0.06)
