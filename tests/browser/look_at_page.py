"""The page of `amili reconcile --html`, opened in Chromium: chart and table are seen, on a phone and on a desk.

Not among the tests that run by themselves, since it needs a browser: `python -m pytest tests/browser/look_at_page.py`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from amili_async.sandbox import Sandbox
from tests.support.chromium import Tab, open_browser

PAYOUTS = "finance--payouts"
SEEN = """(() => {
    const box = each => each.getBoundingClientRect();
    const isSeen = each => box(each).width > 0 && box(each).height > 0;
    const bars = [...document.querySelectorAll("svg.chart rect")];
    const tables = [...document.querySelectorAll("section table")].filter(isSeen);
    const labels = [...document.querySelectorAll("svg.chart text.tick")]
        .filter(each => isSeen(each) && getComputedStyle(each).display !== "none").map(box);
    return {
        verdict: document.querySelector(".verdict").innerText,
        bars: bars.filter(isSeen).length,
        outside: bars.filter(each => box(each).right > innerWidth + 1 || box(each).left < -1).length,
        tables: tables.length,
        cells: tables.map(each => each.innerText).join(" "),
        overlapping: labels.filter((each, n) => n && each.top === labels[n - 1].top && each.left < labels[n - 1].right)
            .length,
        excess: document.documentElement.scrollWidth - innerWidth,
        smallest: Math.min(...[...document.querySelectorAll("body *")].filter(isSeen)
            .map(each => parseFloat(getComputedStyle(each).fontSize))),
        paper: getComputedStyle(document.body).backgroundColor,
    };
})()"""


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    """A browser with nothing open."""
    async with open_browser(tmp_path / "profile") as opened:
        yield opened


@pytest.fixture
async def page(tmp_path: Path) -> Path:
    """What the command makes of fifty payouts of which one is an öre off."""
    path = tmp_path / "report.html"
    async with Sandbox(payouts=50, specifications=1000, rate_limit=None) as sandbox:
        row = sandbox.rows(PAYOUTS)[7]
        sandbox.update(PAYOUTS, row["_id"], {"total_amount": row["total_amount"] + 1})
        environment = {"AMILI_BASE_URL": sandbox.url, "AMILI_TOKEN": sandbox.token(), "PATH": "/usr/bin:/bin"}
        command = (sys.executable, "-m", "amili_async", "reconcile", "--quiet", "--html", str(path))
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.DEVNULL)
        assert await process.wait() == 1
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
async def test_chart_and_table_are_seen_at_every_width(width: int, dark: bool, tab: Tab, page: Path) -> None:
    """The bars lie within the screen, no label stands on another, nothing scrolls sideways, nothing is fetched."""
    await tab.open(page, width=width, dark=dark)
    seen = await tab.ask(SEEN)
    assert seen["verdict"] == "1 of 50 payouts differs."
    assert seen["bars"] > 10
    assert seen["tables"] >= 2
    assert "total_amount" in seen["cells"]
    assert (seen["outside"], seen["overlapping"], max(0, seen["excess"])) == (0, 0, 0)
    assert seen["smallest"] >= 11
    assert (seen["paper"] == "rgb(255, 255, 255)") != dark
    assert tab.requested == [page.as_uri()]
