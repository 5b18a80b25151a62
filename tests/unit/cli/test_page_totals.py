"""The totals of the page: which payout counts where, and that the chart and the table say the same."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from msgspec import UNSET

from amili_async.cli.reports.chart import COLOURS, lay_axis
from amili_async.cli.reports.page_totals import find_day, group_by_period, order_categories
from amili_async.reconcile import Reconciliation, reconcile_payout
from tests.support.reconciliations import agree, differ, make_payout, make_specification, name_unknown
from tests.support.report_pages import find, read, rows, say, write

FIRST = datetime(2025, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOSTILE = "<script>\"'&\u202e"


def pay(amount: Any, day: Any = FIRST, **fields: Any) -> Reconciliation:
    """A payout that agrees with its one specification of so much, in a period that begins on a day."""
    numbers = {"amount": Decimal(amount), "vat_amount": Decimal(0), "total_amount": Decimal(amount)}
    summary = {"summary": UNSET} | {"finance_period_start_date": day}
    payout = make_payout(**(numbers | summary | fields))
    made = reconcile_payout(payout, [make_specification("a", **numbers)])
    return Reconciliation(payout_id=made.payout_id, payout=payout, articles=made.articles, differences=())


def charts(page: str) -> list[Xml.Element]:
    return find(read(page), "chart")


def tables(page: str) -> list[list[list[str]]]:
    return [rows(table) for table in find(read(page), "totals")]


def told(chart: Xml.Element) -> list[str]:
    """What the parts of the bars say."""
    return [f"{rect.findtext('title')}" for rect in chart.iter("rect")]


def test_the_table_has_each_sum_and_those_of_rows_and_columns() -> None:
    """Exact, in the order of time and of the API's categories; a cell is blank only where there are no payouts."""
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
            ["Day", "capital", "interest", "amili_commission", "All"],
            ["2025-01-01", "", "1,100.00", "-123,456,789.01", "-123,455,689.01"],
            ["2025-01-02", "0.00", "0.00000000000001", "", "0.00000000000001"],
            ["All", "0.00", "1,100.00000000000001", "-123,456,789.01", "-123,455,689.00999999999999"],
        ]
    ]


def test_the_chart_says_what_the_table_says() -> None:
    """Each amount but zero is a part of a bar, with the same digits."""
    categories = ("capital", "interest", None)
    page = write(*(pay(100 * n - 350, FIRST + timedelta(n % 4), finance_category=categories[n % 3]) for n in range(11)))
    (table,), (chart,) = tables(page), charts(page)
    heads = table[0][1:-1]
    expected = {
        f"{row[0]}, {head}: {amount} SEK"
        for row in table[1:-1]
        for head, amount in zip(heads, row[1:-1], strict=True)
        if amount not in {"", "0.00"}
    }
    assert heads == ["capital", "interest", "no category"]
    assert set(told(chart)) == expected
    assert len(expected) > 8


def test_the_bars_of_the_page_are_as_long_as_its_sums() -> None:
    """Measured along the axis that the amounts ask for."""
    (chart,) = charts(write(pay(300), pay(-200, FIRST + timedelta(1))))
    lengths = [float(rect.attrib["width"].removesuffix("%")) for rect in chart.iter("rect")]
    axis = lay_axis(Decimal(-200), Decimal(300))
    assert lengths == pytest.approx(
        [axis.place(Decimal(300)) - axis.place(Decimal(0)), axis.place(Decimal(0))], abs=0.01
    )


@pytest.mark.parametrize(
    ("fields", "day"),
    [
        ({"finance_period_start_date": FIRST, "payout_date": FIRST + timedelta(9)}, "2025-01-01"),
        ({"finance_period_start_date": None, "payout_date": FIRST, "created": FIRST + timedelta(9)}, "2025-01-01"),
        ({"payout_date": UNSET, "created": FIRST + timedelta(hours=23)}, "2025-01-01"),
        ({"payout_date": None, "created": EPOCH}, ""),
        ({"payout_date": None}, ""),
        ({"payout_date": FIRST.astimezone(timezone(timedelta(hours=-5)))}, "2025-01-01"),
    ],
)
def test_the_day_of_a_payout(fields: dict[str, Any], day: str) -> None:
    """Of its period, else of its transfer, else of its making, in UTC; none where the API says that it is unknown."""
    assert find_day(make_payout(**fields)) == day


@pytest.mark.parametrize(
    ("days", "unit", "first", "last"),
    [
        ([0], "day", "2025-01-01", "2025-01-01"),
        (range(31), "day", "2025-01-01", "2025-01-31"),
        (range(32), "month", "2025-01", "2025-02"),
        (range(0, 36 * 30, 15), "month", "2025-01", "2027-12"),
        (range(0, 37 * 30 + 10, 15), "year", "2025", "2028"),
    ],
)
def test_periods_are_days_then_months_then_years(days: Any, unit: str, first: str, last: str) -> None:
    """The finest of which there are not too many; payouts without a date come last, whatever the others have."""
    undated = pay(1, None, payout_date=None)
    (totals,) = group_by_period([undated, *(pay(1, FIRST + timedelta(day)) for day in reversed(days))])
    assert totals.unit == unit
    assert (totals.periods[0], totals.periods[-2], totals.periods[-1]) == (first, last, "")
    assert list(totals.periods[:-1]) == sorted(set(totals.periods[:-1]))


def test_what_is_absent_has_a_name() -> None:
    """A payout without a date, a category and a currency is nevertheless in a chart and a table."""
    page = write(pay(5, None, payout_date=UNSET, finance_category=UNSET, currency=None), *agree(1))
    assert [say(heading) for heading in read(page).iter("h2")] == ["Totals in SEK", "Totals without a currency"]
    assert tables(page)[1] == [["Day", "no category", "All"], ["no date", "5.00", "5.00"], ["All", "5.00", "5.00"]]
    assert told(charts(page)[1]) == ["no date, no category: 5.00"]


def test_each_currency_has_a_chart_of_its_own() -> None:
    """Its amounts are in no other, and a category has the same colour in all of them."""
    page = write(pay(1, currency="EUR", finance_category="interest"), pay(2), pay(3, finance_category="interest"))
    euro, kronor = charts(page)
    assert told(euro) == ["2025-01-01, interest: 1.00 EUR"]
    assert told(kronor) == ["2025-01-01, capital: 2.00 SEK", "2025-01-01, interest: 3.00 SEK"]
    assert [rect.attrib["class"] for rect in euro.iter("rect")] == ["c1"]
    assert [rect.attrib["class"] for rect in kronor.iter("rect")] == ["c0", "c1"]


def test_categories_beyond_the_colours_share_one() -> None:
    """In the chart alone, where it is said; the table has each."""
    many = ["capital", *(f"new_{letter}" for letter in "abcdefghij")]
    page = write(*(pay(10 + place, finance_category=name) for place, name in enumerate(many)))
    (chart,), (table,) = charts(page), tables(page)
    assert len(list(chart.iter("rect"))) == COLOURS
    assert told(chart)[-1] == f"2025-01-01, other categories: {sum(range(17, 21)):,}.00 SEK"
    (legend,) = find(read(page), "legend")
    assert [say(item) for item in legend] == [*many[: COLOURS - 1], "other categories"]
    assert table[0] == ["Day", *many, "All"]


def test_as_many_categories_as_colours_have_one_each() -> None:
    """The last is then named."""
    many = [f"new_{number}" for number in range(COLOURS)]
    (legend,) = find(read(write(*(pay(1, finance_category=name) for name in many))), "legend")
    assert [say(item) for item in legend] == many


def test_known_categories_come_first() -> None:
    """In the API's order; others by name, and none at all last."""
    ordered = order_categories(["", "zebra", "amili_commission", "aal", "capital", "zebra"])
    assert ordered == ("capital", "amili_commission", "aal", "zebra", "")


def test_periods_with_differing_payouts_are_marked() -> None:
    """In the chart, whose legend explains the mark, and in the table in words; the others are not."""
    wrong = [differ(amount=Decimal(1), finance_period_start_date=FIRST) for _ in range(2)]
    later = differ(amount=Decimal(1), finance_period_start_date=FIRST + timedelta(1))
    page = write(*wrong, later, *agree(1))
    (chart,) = charts(page)
    marks = [group.findtext("title") for group in chart.iter("g")]
    assert marks == ["2025-01-01: 2 differ", "2025-01-02: 1 differs"]
    assert [row[0] for row in tables(page)[0][1:]] == [
        "2025-01-01 2 differ",
        "2025-01-02 1 differs",
        "2025-06-13",
        "All",
    ]
    (legend,) = find(read(page), "legend")
    assert say(legend[-1]) == "has payouts that differ"
    assert "has payouts that differ" not in write(*agree(1))


def test_payouts_that_do_not_exist_are_left_out() -> None:
    """They have no period, no category and no currency."""
    assert group_by_period([name_unknown()]) == ()
    assert tables(write(name_unknown(), *agree(1))) == tables(write(*agree(1)))


def test_tables_scroll_in_a_box_of_their_own() -> None:
    """So does the chart; the table's box can be reached and scrolled by keys, and has a name."""
    page = read(write(*agree(3)))
    boxes = find(page, "box")
    assert all(any(table in list(box) for box in boxes) for table in page.iter("table"))
    assert all(any(chart in list(box) for box in boxes) for chart in find(page, "chart"))
    (box,) = [box for box in boxes if find(box, "totals")]
    assert (box.attrib["tabindex"], box.attrib["role"]) == ("0", "region")
    assert box.attrib["aria-label"] == "Totals per day"


def test_the_chart_is_described() -> None:
    """How many bars there are, from when to when, and where else the numbers are."""
    (chart,) = charts(write(pay(1), pay(1, FIRST + timedelta(2))))
    assert chart.findtext("title") == "Totals per day and finance category, SEK"
    description = f"{chart.findtext('desc')}"
    assert description.startswith("2 bars, from 2025-01-01 to 2025-01-03, ")
    assert "The table below has the same numbers" in description


def test_names_of_records_are_text() -> None:
    """A category and a currency are shown as they are, in the legend, the chart, the table and the headings."""
    page = write(pay(5, finance_category=HOSTILE, currency=HOSTILE))
    shown = HOSTILE.replace("\u202e", "\\u202e")
    assert tables(page)[0][0] == ["Day", shown, "All"]
    assert told(charts(page)[0]) == [f"2025-01-01, {shown}: 5.00 {shown}"]
    assert [say(heading) for heading in read(page).iter("h2")] == [f"Totals in {shown}"]
    assert "<script" not in page
