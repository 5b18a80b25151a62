"""Keyset pagination: each page follows the last id, is in order, and agrees with its own total."""

from typing import Any

import pytest

from amili_async import Condition, Payout, field
from amili_async._paging.keyset import MAX_CONTRADICTIONS, KeysetPager, is_last
from amili_async.errors import UnreadableResponse
from amili_async.models.record_type import record_type_of
from amili_async.pages import Page
from amili_async.policies import Priority
from amili_async.query import Query

IDS = [f"{number:024x}" for number in range(10)]
SIZE = 3


def page(*places: int, total: int | None = None, max_results: int | None = SIZE) -> Page[Payout]:
    """A page with the rows of these places."""
    return Page(items=tuple(Payout(id=IDS[each]) for each in places), number=1, max_results=max_results, total=total)


class Scripted:
    """A list whose pages the test determines, the last of them for ever; in the place of a `Listing`."""

    path = "finance--payouts"
    label = "GET /finance--payouts"
    record_type = record_type_of(Payout)

    def __init__(self, *pages: Page[Payout]) -> None:
        self._pages = pages
        self.queries: list[Any] = []
        self.priorities: list[Priority] = []

    def check(self, query: Query) -> None:
        """Accept every length."""

    async def fetch(self, query: Query, *, priority: Priority) -> Page[Payout]:
        self.queries.append(query.where)
        self.priorities.append(priority)
        return self._pages[min(len(self.queries), len(self._pages)) - 1]


def pager_of(pages: Any, condition: Condition | None = None, **options: Any) -> KeysetPager[Payout]:
    """A pager over scripted pages."""
    return KeysetPager(pages, condition, **options)


@pytest.mark.parametrize(
    ("after", "places", "is_in_order"),
    [
        (None, (0, 1), True),
        (None, (1, 0), False),
        (None, (1, 1), False),
        (1, (2, 3), True),
        (1, (1, 2), False),
        (1, (0, 2), False),
        (1, (), True),
    ],
)
async def test_a_page_out_of_order_is_unreadable(after: int | None, places: tuple[int, ...], is_in_order: bool) -> None:
    """The ids ascend, none appears twice, and the first is above the last id of the page before."""
    pager = pager_of(Scripted(page(*places)))
    start = None if after is None else IDS[after]
    if is_in_order:
        assert await pager.read(start) == page(*places)
    else:
        with pytest.raises(UnreadableResponse, match="not sorted by _id"):
            await pager.read(start)


@pytest.mark.parametrize(
    ("one", "agrees"),
    [
        (page(0, 1, total=2), True),
        (page(0, 1, total=1), False),
        (page(0, 1, total=3), False),
        (page(0, 1), True),
        (page(total=0), True),
        (page(total=1), False),
        (page(0, 1, 2, total=3), True),
        (page(0, 1, 2, total=4), True),
        (page(0, 1, 2, total=2), False),
    ],
)
async def test_a_page_that_contradicts_its_total_is_requested_again(one: Page[Payout], agrees: bool) -> None:
    """The last page holds as many rows as its total, another at most as many; a contradiction that stays raises."""
    good = page(5, total=1)
    always, once = Scripted(one), Scripted(one, good)
    assert await pager_of(once).read(None) == (one if agrees else good)
    if agrees:
        return
    with pytest.raises(UnreadableResponse, match=f"in each of {MAX_CONTRADICTIONS} attempts"):
        await pager_of(always).read(None)
    assert len(always.queries) == MAX_CONTRADICTIONS


def test_the_last_page_is_short_or_empty() -> None:
    """A full page is not the last; without a stated page size only an empty page is."""
    assert [is_last(each) for each in (page(0, 1, 2), page(0, 1), page())] == [False, True, True]
    assert [is_last(each) for each in (page(0, max_results=None), page(max_results=None))] == [False, True]


async def test_each_page_follows_the_last_id() -> None:
    """The records of all pages are read in order, each page with the condition, above the last id, at the priority."""
    pages = Scripted(page(0, 1, 2), page(3, 4, 5), page(6))
    pager = pager_of(pages, field("creditor") == "c" * 24, priority=Priority.SINGLE)
    assert [record.id async for record in pager.records()] == IDS[:7]
    first, second, third = map(str, pages.queries)
    assert "_id" not in first
    assert (IDS[2] in second, IDS[5] in third) == (True, True)
    assert all("creditor" in each for each in (first, second, third))
    assert pages.priorities == [Priority.SINGLE] * 3
