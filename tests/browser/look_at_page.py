"""The page of `amili reconcile --html` in Chromium: bars and tables are visible on a phone and on a desk.

Run it with `python -m pytest tests/browser/look_at_page.py`; it is no part of the suite, because it needs a browser.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.chromium import Tab, open_browser
from tests.support.reconciliations import agree, differ
from tests.support.report_pages import write

SEEN = """(() => {
    const box = each => each.getBoundingClientRect();
    const isSeen = each => box(each).width > 0 && box(each).height > 0;
    const bars = [...document.querySelectorAll(".bar i")].filter(isSeen);
    const tables = [...document.querySelectorAll("table")].filter(isSeen);
    return {
        verdict: document.querySelector(".verdict").innerText,
        bars: bars.length,
        longest: Math.max(...bars.map(each => box(each).width / box(each.closest(".bar div")).width)),
        outside: bars.filter(each => box(each).right > innerWidth + 1 || box(each).left < -1).length,
        cells: tables.map(each => each.innerText).join(" "),
        excess: document.documentElement.scrollWidth - innerWidth,
        smallest: Math.min(...[...document.querySelectorAll("body *")].filter(isSeen)
            .map(each => parseFloat(getComputedStyle(each).fontSize))),
        paper: getComputedStyle(document.body).backgroundColor,
    };
})()"""


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    """A browser with an empty tab."""
    async with open_browser(tmp_path / "profile") as opened:
        yield opened


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page of thirty days, the last of which has a payout that differs."""
    days = [datetime(2025, 6, 1, tzinfo=UTC) + timedelta(day) for day in range(30)]
    agreeing = [found for day in days for found in agree(2, finance_period_start_date=day)]
    wrong = differ(total_amount=Decimal("250.01"), finance_period_start_date=days[-1])
    path = tmp_path / "report.html"
    path.write_text(write(*agreeing, wrong), encoding="utf-8")
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
async def test_bars_and_tables_are_visible_at_every_width(width: int, dark: bool, tab: Tab, page: Path) -> None:
    """All bars lie within the screen, nothing scrolls sideways, and nothing is requested."""
    await tab.open(page, width=width, dark=dark)
    seen = await tab.evaluate(SEEN)
    assert seen["verdict"] == "60 reconciled, 1 differs."
    assert seen["bars"] == 30
    assert seen["longest"] == pytest.approx(1, abs=0.02)
    assert all(text in seen["cells"] for text in ("total_amount", "2025-06-30", "1 not reconciled", "15,250.00"))
    assert (seen["outside"], max(0, seen["excess"])) == (0, 0)
    assert seen["smallest"] >= 11
    assert (seen["paper"] == "rgb(255, 255, 255)") != dark
    assert tab.requested == [page.as_uri()]
