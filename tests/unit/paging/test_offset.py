"""Offset pagination: what is fetched, when it ends, and what counts as drift."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from amili_async._paging.offset import OffsetPager, PagingOptions, breaks_order
from amili_async._paging.prefetch import PrefetchWindow
from amili_async.errors import UnreadableResponse
from amili_async.pages import Page
from tests.support.clocks import GUARD, settle

Answer = Callable[[int, int], Page[Any]]


def rows(start: int, stop: int) -> tuple[dict[str, Any], ...]:
    return tuple({"_id": number} for number in range(start, stop))


def listing(count: int, *, clamp: int = 100, total: int | None = -1, reports_size: bool = True) -> Answer:
    """A server with *count* rows, which may clamp the page size, and omit the total or report a wrong one."""

    def answer(number: int, size: int) -> Page[Any]:
        size = min(size, clamp)
        items = rows((number - 1) * size, min(number * size, count))
        reported = count if total == -1 else total
        return Page(items=items, number=number, max_results=size if reports_size else None, total=reported)

    return answer


class Iteration:
    """One iteration over a server that responds at once, and what it fetched and reported."""

    def __init__(self, answer: Answer, **options: Any) -> None:
        self.fetched: list[int] = []
        self.drift: list[tuple[int, str]] = []
        self.pages = 0
        self.answer = answer
        self.options = PagingOptions(**({"page_size": 100, "concurrency": 3} | options))
        self.window: PrefetchWindow[Page[Any]] = PrefetchWindow(self.fetch, concurrency=self.options.concurrency)

    async def fetch(self, number: int) -> Page[Any]:
        self.fetched.append(number)
        return self.answer(number, self.options.page_size)

    async def run(self, pages: int | None = None) -> list[int]:
        iteration = OffsetPager(
            self.window, decode, options=self.options, on_drift=lambda *what: self.drift.append(what)
        )
        received: list[int] = []
        generator = iteration.pages()
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
async def test_with_a_total_exactly_the_needed_pages_are_fetched(count: int, opens_fully: bool) -> None:
    """Every row once, in order, with as many requests as there are pages (one for an empty list)."""
    iteration = Iteration(listing(count), opens_fully=opens_fully)
    assert await iteration.run() == list(range(count))
    assert iteration.fetched == list(range(1, max(1, -(-count // 100)) + 1))
    assert iteration.drift == []


@pytest.mark.parametrize("count", [0, 99, 100, 101, 250, 1000])
async def test_without_a_total_a_short_or_empty_page_ends_the_iteration(count: int) -> None:
    """Every row is delivered although the server does not report how many there are."""
    iteration = Iteration(listing(count, total=None))
    assert await iteration.run() == list(range(count))


async def test_a_page_size_that_the_server_clamped_loses_nothing() -> None:
    """The size in the response counts, not the requested one."""
    iteration = Iteration(listing(250, clamp=20))
    assert await iteration.run() == list(range(250))
    assert len(iteration.fetched) == 13


async def test_without_meta_a_clamped_page_is_not_the_last() -> None:
    """If the server reports neither total nor size, only an empty page ends the iteration."""
    iteration = Iteration(listing(250, clamp=20, total=None, reports_size=False))
    assert await iteration.run() == list(range(250))


async def test_a_total_that_is_too_small_loses_nothing() -> None:
    """A total below what was already received cannot be true and is ignored."""
    iteration = Iteration(listing(250, total=30))
    assert await iteration.run() == list(range(250))


def shorter(count: int, size: int, *, total: int | None) -> Answer:
    """A server that puts fewer rows on a page than requested and does not report it."""

    def answer(number: int, requested: int) -> Page[Any]:
        return Page(
            items=rows((number - 1) * size, min(number * size, count)), number=number, max_results=None, total=total
        )

    return answer


@pytest.mark.parametrize("total", [250, None])
async def test_pages_shorter_than_requested_lose_nothing(total: int | None) -> None:
    """What was received counts: pages are fetched while the total is larger."""
    iteration = Iteration(shorter(250, 50, total=total))
    assert await iteration.run() == list(range(250))
    assert iteration.drift == []


@pytest.mark.parametrize("total", [1000, None])
@pytest.mark.parametrize("size", [50, 70])
async def test_max_items_is_exact_for_any_page_size(size: int, total: int | None) -> None:
    """Not fewer if pages are short, and not more."""
    iteration = Iteration(shorter(1000, size, total=total), max_items=300)
    assert await iteration.run() == list(range(300))
    iteration = Iteration(shorter(1000, 100, total=total), max_items=60, page_size=25)
    assert await iteration.run() == list(range(60))


async def test_the_end_of_a_list_without_a_total_ends_the_fetching() -> None:
    """Pages past the end are discarded, and no empty page is delivered."""
    iteration = Iteration(listing(1000, total=None), concurrency=10)
    assert await iteration.run() == list(range(1000))
    assert iteration.pages == 10


async def test_the_end_of_a_list_does_not_wait_for_pages_past_it() -> None:
    """Pages past the end that are still in flight are cancelled, not awaited."""

    class Slow(Iteration):
        async def fetch(self, number: int) -> Page[Any]:
            if number > 3:
                await asyncio.Event().wait()
            return await super().fetch(number)

    iteration = Slow(listing(250, total=None), concurrency=10)
    async with asyncio.timeout(GUARD):
        assert await iteration.run() == list(range(250))


async def test_a_server_that_repeats_one_page_forever_raises() -> None:
    """A page that is identical to the one before raises, instead of an endless iteration."""

    def answer(number: int, size: int) -> Page[Any]:
        return Page(items=rows(0, 1), number=number, max_results=None, total=None)

    with pytest.raises(UnreadableResponse, match="page 2"):
        await Iteration(answer).run()


async def test_a_field_called_id_that_is_not_the_id_causes_no_drift() -> None:
    """A caller's type may read another field as `id`; rows with the same value of it are no drift."""

    class Line(msgspec.Struct):
        id: str = msgspec.field(name="payout")
        number: int = 0

    def answer(number: int, size: int) -> Page[Any]:
        items = tuple(Line(id="same", number=each) for each in range((number - 1) * 100, number * 100))
        return Page(items=items, number=number, max_results=100, total=300)

    iteration = OffsetPager(
        PrefetchWindow(Iteration(answer).fetch, concurrency=1),
        decode,
        options=PagingOptions(page_size=100, concurrency=1),
        on_drift=fail,
    )
    assert [page.number async for page in iteration.pages()] == [1, 2, 3]


async def decode(page: Page[Any], _: int) -> Page[Any]:
    """The pages of these tests are decoded already."""
    return page


def fail(page: int, reason: str) -> None:
    """Fail if drift is reported."""
    raise AssertionError(reason)


async def test_a_total_that_is_too_large_is_drift() -> None:
    """If fewer rows arrive than the total, the iteration ends and reports drift."""
    iteration = Iteration(listing(250, total=900))
    assert await iteration.run() == list(range(250))
    assert iteration.drift


@pytest.mark.parametrize(
    ("max_items", "fetched"), [(1, [1]), (100, [1]), (101, [1, 2]), (150, [1, 2]), (5000, list(range(1, 11)))]
)
async def test_max_items_limits_the_requests_from_the_start(max_items: int, fetched: list[int]) -> None:
    """Exactly `max_items` records, and no page that is not needed for them."""
    iteration = Iteration(listing(1000), max_items=max_items, opens_fully=True)
    assert await iteration.run() == list(range(min(max_items, 1000)))
    assert iteration.fetched == fetched
    assert iteration.drift == []


@pytest.mark.parametrize(("consumed", "fetched"), [(1, 3), (2, 6), (3, 11)])
async def test_the_window_opens_gradually(consumed: int, fetched: int) -> None:
    """Two pages ahead at first, and twice as many with each page consumed."""
    iteration = Iteration(listing(10_000), concurrency=50)
    await iteration.run(pages=consumed)
    assert len(iteration.fetched) == fetched


async def test_at_most_five_pages_ahead_per_request_in_flight() -> None:
    """After any number of pages, at most five pages per allowed request are in flight or buffered."""
    iteration = Iteration(listing(100_000), concurrency=2)
    await iteration.run(pages=100)
    assert len(iteration.fetched) == 100 + 10


async def test_a_total_that_changes_is_drift() -> None:
    """Rows that are inserted during the iteration are noticed by the total."""
    counts = iter([300, 301, 301, 301])

    def answer(number: int, size: int) -> Page[Any]:
        return listing(next(counts))(number, size)

    iteration = Iteration(answer, concurrency=1)
    await iteration.run()
    assert iteration.drift[0] == (2, "total")


@pytest.mark.parametrize("sort", ["_id", "amount,_id"])
async def test_a_repeated_row_is_drift_even_if_the_total_is_unchanged(sort: str) -> None:
    """One row inserted and one deleted leave the total unchanged, but shift a row to the next page."""

    def answer(number: int, size: int) -> Page[Any]:
        shift = 1 if number > 1 else 0
        items = rows((number - 1) * 100 - shift, number * 100 - shift)
        return Page(items=items, number=number, max_results=100, total=300)

    iteration = Iteration(answer, sort=sort)
    await iteration.run()
    assert (2, "repeated") in iteration.drift


async def test_ids_that_cannot_be_ordered_are_compared_for_equality() -> None:
    """A caller's type may read ids as values without an order; repeated rows are detected nevertheless."""

    def answer(number: int, size: int) -> Page[Any]:
        items = tuple({"_id": None if number == 1 else {"n": place}} for place in range(100))
        return Page(items=items, number=number, max_results=100, total=200)

    iteration = Iteration(answer)
    assert len(await iteration.run()) == 200
    assert iteration.drift == []


@pytest.mark.parametrize("later", [50, 7])
async def test_another_page_size_than_the_first_is_an_error(later: int) -> None:
    """A server that puts fewer rows on a page from the fourth on, and reports it, leaves rows out: that raises."""

    def answer(number: int, size: int) -> Page[Any]:
        return listing(1000, clamp=later if number > 3 else 100)(number, size)

    for opens_fully in (False, True):
        with pytest.raises(UnreadableResponse, match=rf"page 4 has the page size {later}, and the first has 100"):
            await Iteration(answer, opens_fully=opens_fully).run()


@pytest.mark.parametrize("sort", ["_id", "-unknown,_id"])
@pytest.mark.parametrize("later", [50, 7, 130])
async def test_another_page_size_that_is_not_reported_is_drift(later: int, sort: str) -> None:
    """A page in the middle that is shorter or longer than the first shows it, whatever the sort."""

    def answer(number: int, size: int) -> Page[Any]:
        size = later if number > 3 else 100
        items = rows((number - 1) * size, min(number * size, 1000))
        return Page(items=items, number=number, max_results=None, total=1000)

    iteration = Iteration(answer, sort=sort)
    await iteration.run()
    assert {reason for _, reason in iteration.drift} & {"size", "order"}


@pytest.mark.parametrize("sort", ["_id", "unknown,_id"])
async def test_a_page_with_the_rows_of_an_earlier_one_is_drift(sort: str) -> None:
    """Page 5 answered with the rows of page 2 does not follow page 4, although the sum of the rows is right."""

    def answer(number: int, size: int) -> Page[Any]:
        return Page(
            items=listing(1000)(2 if number == 5 else number, size).items, number=number, max_results=100, total=1000
        )

    iteration = Iteration(answer, sort=sort)
    assert len(await iteration.run()) == 1000
    assert iteration.drift == [(5, "repeated")]


async def test_a_row_that_appears_twice_on_one_page_is_drift() -> None:
    """MongoDB can return a row twice that changes while it reads."""

    def answer(number: int, size: int) -> Page[Any]:
        items = rows(0, 99)
        return Page(items=(*items, items[-1]), number=number, max_results=100, total=100)

    iteration = Iteration(answer)
    await iteration.run()
    assert iteration.drift == [(1, "repeated")]


class Row(msgspec.Struct):
    """A record of a caller's type, with a date, an amount and a text."""

    id: str
    amount: Any = None
    booked: Any = msgspec.field(name="booking_date", default=None)


LATE, EARLY = datetime(2025, 6, 13, tzinfo=UTC), datetime(2025, 6, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("last", "first", "sort", "is_backwards"),
    [
        (Row("b"), Row("a"), "_id", True),
        (Row("a"), Row("b"), "_id", False),
        (Row("a"), Row("a"), "_id", True),
        (Row("b"), Row("a"), "-_id", False),
        (Row("a"), Row("b"), "-_id", True),
        (Row("a", Decimal("10.5")), Row("b", 9), "amount,_id", True),
        (Row("a", 9), Row("b", Decimal("10.5")), "amount,_id", False),
        (Row("a", 9), Row("b", 10), "-amount,_id", True),
        (Row("b", 9), Row("a", 9), "amount,_id", True),
        (Row("a", 9), Row("b", 9), "amount,-_id", True),
        (Row("a", 9), Row("b", 9), "amount,unknown,-_id", False),
        (Row("a", None), Row("b", 9), "-amount,_id", False),
        (Row("b"), Row("a"), "amount,_id", False),
        (Row("a", "x"), Row("b", 9), "amount,_id", False),
        (Row("a", Decimal("NaN")), Row("b", 9), "amount,_id", False),
        (Row("a", [9]), Row("b", [8]), "amount,_id", False),
        (Row("a", booked=LATE), Row("b", booked=EARLY), "booking_date,_id", True),
        (Row("a", booked=EARLY), Row("b", booked=LATE), "booking_date,_id", False),
        ({"d": "Fri, 13 Jun 2025 08:00:00 GMT"}, {"d": "Thu, 12 Jun 2025 08:00:00 GMT"}, "d,_id", True),
        ({"d": "Thu, 12 Jun 2025 08:00:00 GMT"}, {"d": "Fri, 13 Jun 2025 08:00:00 GMT"}, "d,_id", False),
        ({"d": "Thu, 31 Jun 2025 08:00:00 GMT"}, {"d": "Fri, 13 Jun 2025 08:00:00 GMT"}, "d,_id", False),
        ({"_id": "b"}, {"_id": "a"}, "amount,_id", False),
        ({"_id": "b"}, {"_id": "a"}, "_id", True),
    ],
)
def test_an_order_that_breaks_order_is_known_by_the_sort_keys_of_two_records(
    last: Any, first: Any, sort: str, is_backwards: bool
) -> None:
    """Each key decides in turn, with its direction; a key that is not in both records shows nothing."""
    assert breaks_order(last, first, sort) is is_backwards
