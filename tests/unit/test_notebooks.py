"""What a notebook shows of pages, records and results: bounded, escaped, without colours and scripts."""

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest
from msgspec import Struct

from amili_async import (
    Checkpoint,
    Manifest,
    NewCreditorPayment,
    Page,
    Payout,
    PayoutSpecification,
    PayoutSummary,
    Reconciliation,
    Verdict,
    reconcile_payout,
)
from amili_async.errors import ConfigurationError
from amili_async.export import ExportResult
from amili_async.notebooks import MAX_COLUMNS, MAX_ROWS, MAX_TEXT, NotebookProgress

ID = "6" * 24
HOSTILE = '<script>alert(1)</script> & "Åke" \ud800'


class Reader(HTMLParser):
    """The caption and the cells of the one table of a page; every tag and attribute."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.caption = ""
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self._place = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {f"{name}={value}" for name, value in attrs}
        self._place = tag
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._place = ""

    def handle_data(self, data: str) -> None:
        if self._place == "caption":
            self.caption += data
        elif self._place in ("th", "td"):
            self.rows[-1][-1] += data


def read(value: Any) -> Reader:
    html = value._repr_html_()
    html.encode()  # as Jupyter sends it
    return Reader(html)


def make_page(*items: Any, total: int | None = None) -> Page[Any]:
    return Page(items=items, number=1, max_results=100, total=total)


def test_a_page_is_a_table_of_its_records() -> None:
    """A column for each field that a record has but the tag, plain money and dates, an absent value blank."""
    shown = read(
        make_page(
            Payout(id=ID, etag="x", payout_date=datetime(2025, 7, 4, tzinfo=UTC), ready_for_payout=True),
            Payout(id=ID, total_amount=Decimal("1064"), summary={"capital": PayoutSummary(count=2)}),
            total=250,
        )
    )
    assert shown.caption == "page 1: 2 of 250 records"
    assert shown.rows == [
        ["id", "ready_for_payout", "payout_date", "total_amount", "summary"],
        [ID, "true", "2025-07-04", "", ""],
        [ID, "", "", "1,064.00", "capital: (count: 2)"],
    ]


def test_dicts_and_structs_of_the_caller_are_shown_too() -> None:
    """Their columns are their keys, or their fields."""

    class Line(Struct):
        article: str
        tags: tuple[str, ...] = ()

    assert read(make_page({"_id": ID, "_etag": "x"}, {"amount": 5, "_links": {}})).rows == [
        ["_id", "amount"],
        [ID, ""],
        ["", "5"],
    ]
    assert read(make_page(Line(article="capital", tags=("a", "b")))).rows == [["article", "tags"], ["capital", "a, b"]]
    assert read(make_page()).caption == read(make_page(total=0)).caption == "page 1: no records"


def test_a_table_is_bounded() -> None:
    """Rows, columns and texts beyond a limit are counted or cut, however deep or long the values are."""
    deep: Any = "bottom"
    for _ in range(900):
        deep = {"deeper": [deep]}
    wide = {f"column {number}": "x" * 100_000 for number in range(MAX_COLUMNS)}
    rows = [wide | {"deep": deep, "many": list(range(10**5)), "huge": Decimal("1E+100000000")}] * 1000
    shown = read(make_page(*rows))
    assert shown.caption == "page 1: 1,000 records, the first 20, 20 of 23 columns"
    assert (len(shown.rows), len(shown.rows[0])) == (MAX_ROWS + 1, MAX_COLUMNS)
    assert max(len(cell) for row in shown.rows for cell in row) == MAX_TEXT
    assert len(make_page(rows[0])._repr_html_()) < 10_000
    assert read(make_page({"deep": deep})).rows[1][0] == "deeper: ((deeper: (…)))"


def test_text_is_escaped() -> None:
    """Markup of the server is text, in headings, cells and captions; half a character does not break the display."""
    for value in (
        make_page({HOSTILE: HOSTILE, "deep": {HOSTILE: [HOSTILE]}}),
        PayoutSpecification(id=ID, creditor_name=HOSTILE),
        reconcile_payout(Payout(id=ID), [PayoutSpecification(id=ID, article=HOSTILE)]),
        Manifest(resource=HOSTILE, fingerprint="", filter=HOSTILE, is_finished=True, verdict=Verdict.COMPLETE),
    ):
        shown = read(value)
        assert shown.tags <= {"table", "caption", "thead", "tbody", "tr", "th", "td"}
        assert "script" in value._repr_html_()
        assert {attribute for attribute in shown.attributes if not attribute.startswith("style=text-align")} == set()


def test_a_record_is_a_table_of_its_fields() -> None:
    """It shows what `repr` shows: all fields that it has."""
    payment = NewCreditorPayment(
        creditor=ID,
        invoice_number="F-1",
        amount=Decimal("100.5"),
        bank_transaction_date=datetime(2025, 7, 4, 16, 20, 41, tzinfo=UTC),
        creditor_payment_reference="PAY-1",
    )
    shown = read(payment)
    assert shown.caption == "NewCreditorPayment"
    assert ["amount", "100.50"] in shown.rows
    assert ["bank_transaction_date", "2025-07-04T16:20:41Z"] in shown.rows
    assert {name for name, _ in shown.rows} == {*re.findall(r"(\w+)=", repr(payment))} - {"tzinfo"}


def test_a_manifest_shows_its_verdict() -> None:
    """And counts and sums, but not the hashes for the next extraction; so does a checkpoint."""
    progress: dict[str, Any] = {
        "resource": "finance--payouts",
        "fingerprint": "f",
        "bound": datetime(2025, 7, 4, tzinfo=UTC),
        "rows": 1234,
        "sums": {"amount": Decimal("12.5"), "vat_amount": None},
        "recent_versions": "".join(f"{number:012}" for number in range(4096)),
    }
    shown = read(Manifest(**progress, filter="", is_finished=True, verdict=Verdict.DRIFTED))
    assert shown.caption == "Manifest of finance--payouts: drifted"
    assert ["rows", "1234"] in shown.rows
    assert [row for row in shown.rows if row[0].startswith("sums")] == [["sums.amount", "12.50"]]
    assert ["recent_versions", "4096"] in shown.rows
    checkpoint = Checkpoint(**progress, ranges=(("0" * 24, ID),))
    assert read(checkpoint).caption == "Checkpoint of finance--payouts"
    result = ExportResult(
        path="payouts.csv",
        rows=1234,
        drifted=True,
        manifest=Manifest(**progress, filter="", is_finished=True, verdict=Verdict.DRIFTED),
    )
    assert read(result).caption == "payouts.csv: drifted"


def reconcile(amount: Decimal) -> Reconciliation:
    sums: dict[str, Any] = {"amount": Decimal(2), "vat_amount": Decimal(0), "total_amount": Decimal(2)}
    payout = Payout(id=ID, summary={"capital": PayoutSummary(count=1, **sums)}, **sums)
    line = PayoutSpecification(id=ID, article="capital", **{**sums, "amount": amount})
    return reconcile_payout(payout, [line])


def test_a_reconciliation_shows_its_differences() -> None:
    """One row for each; if there are none, the sums per article."""
    shown = read(reconcile(Decimal("2.50")))
    assert shown.caption == f"payout {ID}: 3 differences"
    assert shown.rows == [
        ["kind", "specification", "article", "field", "stated", "found", "gap"],
        ["total", "", "", "amount", "2.00", "2.50", "-0.50"],
        ["article", "", "capital", "amount", "2.00", "2.50", "-0.50"],
        ["row", ID, "capital", "total_amount", "2.00", "2.50", "-0.50"],
    ]
    shown = read(reconcile(Decimal(2)))
    assert shown.caption == f"payout {ID}: agrees"
    assert shown.rows == [
        ["article", "count", "amount", "vat_amount", "total_amount"],
        ["capital", "1", "2.00", "0.00", "2.00"],
    ]


class Display:
    """What `IPython.display.display` does: it shows a value, and returns a handle that shows it again."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def __call__(self, value: NotebookProgress, *, display_id: bool) -> "Display":
        assert display_id
        self.update(value)
        return self

    def update(self, value: NotebookProgress) -> None:
        self.shown.append(value._repr_html_())


def test_progress_is_one_display_that_is_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar once the total is known, and rows in words; the title is escaped."""
    display = Display()
    monkeypatch.setattr("IPython.display.display", display)
    progress = NotebookProgress("<payouts>")
    for rows, total in ((100, None), (100, 200), (200, 200)):
        progress(rows, total, None)
    bars = [re.sub(r", \d.*", "", shown) for shown in display.shown]
    assert bars == [
        "<progress></progress> &lt;payouts&gt;: 100 rows",
        '<progress value="100" max="200"></progress> &lt;payouts&gt;: 100 of 200 rows',
        '<progress value="200" max="200"></progress> &lt;payouts&gt;: 200 of 200 rows',
    ]


def test_progress_needs_ipython(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not installed, the error names it."""
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(ConfigurationError, match="pip install ipython"):
        NotebookProgress()
