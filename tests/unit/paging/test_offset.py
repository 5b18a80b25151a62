"""Walking by page number: what is fetched, when it ends, and what counts as drift."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from amili_async._paging.offset import OffsetPager, PagingOptions
from amili_async._paging.prefetch import PrefetchWindow
from amili_async._wire.decoding import Page
from amili_async.errors import UnreadableResponse
from tests.support.clocks import settle

Answer = Callable[[int, int], Page[Any]]


def rows(start: int, stop: int) -> tuple[dict[str, Any], ...]:
    return tuple({"_id": number} for number in range(start, stop))


def listing(count: int, *, clamp: int = 100, total: int | None = -1, says_size: bool = True) -> Answer:
    """A server with so many rows, which may clamp the page size and keep the total to itself, or lie about it."""

    def answer(number: int, size: int) -> Page[Any]:
        size = min(size, clamp)
        items = rows((number - 1) * size, min(number * size, count))
        said = count if total == -1 else total
        return Page(items=items, number=number, max_results=size if says_size else None, total=said)

    return answer


class Walk:
    """One walk over a server that answers at once, and what it did."""

    def __init__(self, answer: Answer, **pace: Any) -> None:
        self.fetched: list[int] = []
        self.drift: list[tuple[int, str]] = []
        self.pages = 0
        self.answer = answer
        self.pace = PagingOptions(**({"page_size": 100, "width": 3} | pace))
        self.window: PrefetchWindow[Page[Any]] = PrefetchWindow(self.fetch, width=self.pace.width)

    async def fetch(self, number: int) -> Page[Any]:
        self.fetched.append(number)
        return self.answer(number, self.pace.page_size)

    async def run(self, pages: int | None = None) -> list[int]:
        walk = OffsetPager(
            self.window, lambda page, _: page, pace=self.pace, on_drift=lambda *what: self.drift.append(what)
        )
        received: list[int] = []
        generator = walk.pages()
        async for page in generator:
            self.pages += 1
            received += [row["_id"] for row in page.items]
            if page.number == pages:
                await settle(50)
                break
        await generator.aclose()
        return received


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250, 1000])
@pytest.mark.parametrize("opens_fully", [False, True])
async def test_a_total_means_exactly_the_pages_that_hold_it(count: int, opens_fully: bool) -> None:
    """Every row once, in order, and not one request more than there are pages (one for an empty list)."""
    walk = Walk(listing(count), opens_fully=opens_fully)
    assert await walk.run() == list(range(count))
    assert walk.fetched == list(range(1, max(1, -(-count // 100)) + 1))
    assert walk.drift == []


@pytest.mark.parametrize("count", [0, 99, 100, 101, 250, 1000])
async def test_without_a_total_a_short_or_empty_page_ends_the_walk(count: int) -> None:
    """Every row arrives though nobody says how many there are."""
    walk = Walk(listing(count, total=None))
    assert await walk.run() == list(range(count))


async def test_a_page_size_that_the_server_clamped_loses_nothing() -> None:
    """The size in the answer counts, not the one asked for."""
    walk = Walk(listing(250, clamp=20))
    assert await walk.run() == list(range(250))
    assert len(walk.fetched) == 13


async def test_without_any_meta_a_clamped_page_is_not_taken_for_the_last() -> None:
    """Where the server names neither total nor size, only an empty page ends the walk."""
    walk = Walk(listing(250, clamp=20, total=None, says_size=False))
    assert await walk.run() == list(range(250))


async def test_a_total_that_is_too_small_loses_nothing() -> None:
    """A total below what was already received cannot be true and is not believed."""
    walk = Walk(listing(250, total=30))
    assert await walk.run() == list(range(250))


def shorter(count: int, size: int, *, total: int | None) -> Answer:
    """A server that puts fewer rows on a page than it is asked for and does not say so."""

    def answer(number: int, asked: int) -> Page[Any]:
        return Page(
            items=rows((number - 1) * size, min(number * size, count)), number=number, max_results=None, total=total
        )

    return answer


@pytest.mark.parametrize("total", [250, None])
async def test_pages_that_are_silently_shorter_lose_nothing(total: int | None) -> None:
    """What was received counts: the walk goes on while the total says that there is more."""
    walk = Walk(shorter(250, 50, total=total))
    assert await walk.run() == list(range(250))
    assert walk.drift == []


@pytest.mark.parametrize("total", [1000, None])
@pytest.mark.parametrize("size", [50, 70])
async def test_max_items_holds_whatever_the_size_of_the_pages(size: int, total: int | None) -> None:
    """Not fewer where pages are short, and not more."""
    walk = Walk(shorter(1000, size, total=total), max_items=300)
    assert await walk.run() == list(range(300))
    walk = Walk(shorter(1000, 100, total=total), max_items=60, page_size=25)
    assert await walk.run() == list(range(60))


async def test_the_end_of_a_list_without_a_total_ends_the_fetching() -> None:
    """What was fetched past the end is thrown away, and no empty page is handed on."""
    walk = Walk(listing(1000, total=None), width=10)
    assert await walk.run() == list(range(1000))
    assert walk.pages == 10


async def test_the_end_of_a_list_does_not_wait_for_what_lies_beyond() -> None:
    """Pages past the end that are still on their way are dropped, not awaited."""

    class Slow(Walk):
        async def fetch(self, number: int) -> Page[Any]:
            if number > 3:
                await asyncio.Event().wait()
            return await super().fetch(number)

    walk = Slow(listing(250, total=None), width=10)
    async with asyncio.timeout(1):
        assert await walk.run() == list(range(250))


async def test_a_server_that_repeats_one_page_for_ever_is_found_out() -> None:
    """A page that is the same as the one before ends the walk with an error instead of never."""

    def answer(number: int, size: int) -> Page[Any]:
        return Page(items=rows(0, 1), number=number, max_results=None, total=None)

    with pytest.raises(UnreadableResponse, match="page 2"):
        await Walk(answer).run()


async def test_an_id_under_another_name_is_not_taken_for_one() -> None:
    """Rows of a caller's type that share what it calls `id` are no drift."""

    class Line(msgspec.Struct):
        id: str = msgspec.field(name="payout")
        number: int = 0

    def answer(number: int, size: int) -> Page[Any]:
        items = tuple(Line(id="same", number=each) for each in range((number - 1) * 100, number * 100))
        return Page(items=items, number=number, max_results=100, total=300)

    walk = OffsetPager(
        PrefetchWindow(Walk(answer).fetch, width=1),
        lambda page, _: page,
        pace=PagingOptions(page_size=100, width=1),
        on_drift=fail,
    )
    assert [page.number async for page in walk.pages()] == [1, 2, 3]


def fail(page: int, reason: str) -> None:
    """No drift is to be told."""
    raise AssertionError(reason)


async def test_a_total_that_is_too_large_is_noticed() -> None:
    """Where fewer rows come than were announced, the walk ends and says that something is off."""
    walk = Walk(listing(250, total=900))
    assert await walk.run() == list(range(250))
    assert walk.drift


@pytest.mark.parametrize(
    ("max_items", "fetched"), [(1, [1]), (100, [1]), (101, [1, 2]), (150, [1, 2]), (5000, list(range(1, 11)))]
)
async def test_max_items_bounds_the_requests_from_the_start(max_items: int, fetched: list[int]) -> None:
    """So many records and no page that is not needed for them."""
    walk = Walk(listing(1000), max_items=max_items, opens_fully=True)
    assert await walk.run() == list(range(min(max_items, 1000)))
    assert walk.fetched == fetched
    assert walk.drift == []


@pytest.mark.parametrize(("consumed", "fetched"), [(1, 3), (2, 6), (3, 11)])
async def test_a_stream_opens_gently(consumed: int, fetched: int) -> None:
    """Two pages ahead at first, and twice as many with each page consumed."""
    walk = Walk(listing(10_000), width=50)
    await walk.run(pages=consumed)
    assert len(walk.fetched) == fetched


async def test_the_window_is_at_most_five_times_the_width() -> None:
    """However far the walk has come, no more than five pages per fetch in flight are under way or wait."""
    walk = Walk(listing(100_000), width=2)
    await walk.run(pages=100)
    assert len(walk.fetched) == 100 + 10


async def test_a_total_that_moves_is_drift() -> None:
    """Rows that come while the walk goes on are noticed by the total."""
    counts = iter([300, 301, 301, 301])

    def answer(number: int, size: int) -> Page[Any]:
        return listing(next(counts))(number, size)

    walk = Walk(answer, width=1)
    await walk.run()
    assert walk.drift[0] == (2, "total")


@pytest.mark.parametrize("ascends_by_id", [True, False])
async def test_a_row_that_comes_twice_is_drift_even_where_the_total_stays(ascends_by_id: bool) -> None:
    """One row inserted and one deleted leave the total alone, but shift a row over the boundary."""

    def answer(number: int, size: int) -> Page[Any]:
        shift = 1 if number > 1 else 0
        items = rows((number - 1) * 100 - shift, number * 100 - shift)
        return Page(items=items, number=number, max_results=100, total=300)

    walk = Walk(answer, ascends_by_id=ascends_by_id)
    await walk.run()
    assert (2, "repeated") in walk.drift


async def test_ids_without_an_order_are_no_trouble() -> None:
    """A caller's type may read ids as something that has no order: repetitions are found all the same."""

    def answer(number: int, size: int) -> Page[Any]:
        items = tuple({"_id": None if number == 1 else {"n": place}} for place in range(100))
        return Page(items=items, number=number, max_results=100, total=200)

    walk = Walk(answer, ascends_by_id=True)
    assert len(await walk.run()) == 200
    assert walk.drift == []
