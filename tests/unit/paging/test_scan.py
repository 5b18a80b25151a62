"""Walking by ranges of ids over a list that changes between any two answers, whatever the order of the answers."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from amili_async._paging.partition import LOWEST, Span
from amili_async._paging.scan import AHEAD, PartitionedScan
from amili_async._paging.scan_page import Batch, RangeFilterIgnored, ScanPage, ScanStats
from amili_async.errors import ConfigurationError, ConnectionFailed
from tests.support.clocks import settle

END = f"{10**6:024x}"


class Key(Struct, frozen=True):
    """What identifies a row; it is the row, too."""

    id: str


def key(number: int) -> Key:
    return Key(f"{number:024x}")


class Table:
    """Rows behind a fetch whose answers the test lets go, one by one, in any order."""

    def __init__(
        self, numbers: list[int], *, size: int, says_total: bool = True, says_size: bool = True, clamp: int = 100
    ) -> None:
        self.rows = set(numbers)
        self.size = size
        self.clamp = clamp
        self.says_total = says_total
        self.says_size = says_size
        self.meanwhile: Callable[[], None] = lambda: None
        self.counts_last = False
        self.pending: list[asyncio.Future[None]] = []
        self.asked: list[tuple[Span, ...]] = []

    async def fetch(self, spans: Sequence[Span], *, page: int = 1, is_count: bool = False) -> ScanPage[Key]:
        self.asked.append(tuple(spans))
        turn = asyncio.get_running_loop().create_future()
        self.pending.append(turn)
        try:
            await turn
        finally:
            self.pending.remove(turn)
        return self.answer(spans, page, 1 if is_count else self.size)

    async def look_again(self) -> ScanPage[Key]:
        return self.answer(((LOWEST, "f" * 24),), 1, self.size)

    def find(self, spans: Sequence[Span]) -> list[Key]:
        rows = map(key, sorted(self.rows))
        return [row for row in rows if any(after < row.id <= end for after, end in spans)]

    def answer(self, spans: Sequence[Span], page: int, size: int) -> ScanPage[Key]:
        """Rows and their number, between the finding of which the list may change, as it does in the server."""
        counted = self.find(spans)
        self.meanwhile()
        found = self.find(spans)
        if self.counts_last:
            counted = found
            self.meanwhile()
            counted = self.find(spans)
        fits = min(size, self.clamp)
        shown = tuple(found[(page - 1) * fits : page * fits])
        total = len(counted) if self.says_total else None
        return ScanPage(
            items=shown, keys=shown, received=len(shown), max_results=size if self.says_size else None, total=total
        )

    def walk(
        self, *outstanding: Sequence[Span], width: int, most_spans: int = 50, end: str = END
    ) -> PartitionedScan[Key]:
        return PartitionedScan(
            self.fetch,
            *outstanding,
            end=end,
            width=width,
            page_size=self.size,
            most_spans=most_spans,
            findings=ScanStats(),
        )

    def begin(self, *, width: int, most_spans: int = 50) -> tuple[PartitionedScan[Key], ScanStats]:
        walk = self.walk(((LOWEST, END),), width=width, most_spans=most_spans)
        walk.begin_with(self.answer(((LOWEST, "f" * 24),), 1, self.size), self.look_again)
        return walk, walk.findings

    async def let_go(self, which: int) -> None:
        """Answer one of the requests that wait."""
        if self.pending:
            self.pending[which % len(self.pending)].set_result(None)
        await settle()


async def walk_through(table: Table, walk: PartitionedScan[Key], choices: list[int], taken: list[int]) -> None:
    """Take everything; each choice lets an answer go."""
    taking = asyncio.ensure_future(take_all(walk, taken))
    places = iter(choices)
    await settle()
    while not taking.done():
        await table.let_go(next(places, 0))
    await taking


async def take_all(walk: PartitionedScan[Key], taken: list[int]) -> None:
    while (batch := await walk.take()) is not None:
        taken.extend(int(each.id, 16) for each in batch.page.items)
        batch.take(len(batch.page.keys))


@given(
    count=st.integers(0, 120),
    width=st.integers(1, 6),
    size=st.integers(2, 7),
    choices=st.lists(st.integers(0, 5), max_size=60),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_quiet_rows_come_once_for_a_request_a_page_and_a_count(
    count: int, width: int, size: int, choices: list[int]
) -> None:
    """Whatever the order of the answers: each row once, for a request a page, a last look into gaps, and a count."""

    async def check() -> None:
        table = Table([3 * number + 1 for number in range(count)], size=size)
        walk, findings = table.begin(width=width)
        taken: list[int] = []
        await walk_through(table, walk, choices, taken)
        assert sorted(taken) == sorted(table.rows)
        assert len(taken) == count == findings.before == findings.after
        assert not findings.has_moved
        assert findings.requests <= max(1, -(-count // size)) + (2 if count else 0)
        assert walk.outstanding() == ((), ())

    asyncio.run(check())


SAYS = [(True, True, 100), (True, True, 2), (True, False, 2), (False, True, 100), (False, False, 2)]
"""Whether the server tells totals and page sizes, and how many rows it puts on a page at most."""


def change_rows(rows: set[int], random: Random) -> None:
    """Insert or delete some neighbouring rows."""
    first = random.randint(1, 400)
    changed = range(first, first + random.choice([1, 1, 3, 30, 100]))
    rows.update(changed) if random.random() < 0.4 else rows.difference_update(changed)


@pytest.mark.parametrize("block", range(10))
def test_a_row_that_stays_comes_once_whatever_happens(block: int) -> None:
    """Rows come and go between any two answers, the walk is left in the middle of a batch and another goes on."""
    for seed in range(block * 200, block * 200 + 200):
        asyncio.run(walk_a_changing_list(Random(seed)))


async def walk_a_changing_list(random: Random) -> None:
    numbers = random.sample(range(1, 401), random.choice([0, 1, 5, 40, 120]))
    width, size = random.randint(1, 6), random.randint(2, 6)
    says_total, says_size, clamp = random.choice(SAYS)
    table = Table(numbers, size=size, says_total=says_total, says_size=says_size, clamp=clamp)
    walk, _ = table.begin(width=width, most_spans=random.choice([1, 2, 50]))
    stayed, ever, taken = set(numbers), set(numbers), list[int]()
    changes, stop = random.choice([0.0, 0.1, 0.5]), random.choice([0, 7, 30, 1000])

    def change_now_and_then() -> None:
        while random.random() < changes:
            change_rows(table.rows, random)
            ever.update(table.rows)
            stayed.intersection_update(table.rows)

    if not (says_size and clamp < size):  # against one that misstates its page size, only what it shows can be trusted
        table.meanwhile, table.counts_last = change_now_and_then, random.random() < 0.5

    async def take_some(walk: PartitionedScan[Key], limit: int | None) -> None:
        while limit is None or len(taken) < limit:
            taking = asyncio.ensure_future(walk.take())
            await settle()
            while not taking.done():
                change_now_and_then()
                await table.let_go(random.randint(0, 10))
            batch: Batch[Key] | None = taking.result()
            if batch is None:
                return
            rows = [int(each.id, 16) for each in batch.page.items]
            count = len(rows) if limit is None else min(len(rows), limit - len(taken))
            taken.extend(rows[:count])
            batch.take(count)
        await walk.aclose()

    await take_some(walk, stop)
    if any(rest := walk.outstanding()):
        again = table.walk(*rest, width=width, most_spans=2)
        await take_some(again, None)
        assert again.outstanding() == ((), ())
    assert len(taken) == len(set(taken))
    assert stayed <= set(taken) <= ever


@pytest.mark.parametrize("width", [1, 3, 8])
async def test_a_consumer_who_is_slow_stops_the_fetching(width: int) -> None:
    """Never more in flight than allowed; and what waits is little more than what was in flight when it fell behind."""
    table = Table(list(range(1, 1001)), size=5)
    walk, _ = table.begin(width=width)
    for _ in range(50):
        assert len(table.pending) <= width
        await table.let_go(0)
        walk._top_up()
        assert len(walk._batches) + len(table.pending) <= AHEAD * width
    assert len(walk._batches) + len(table.pending) <= width + 3
    await walk.aclose()
    assert table.pending == []


async def test_workers_are_never_idle_while_there_is_something_to_share() -> None:
    """From the second request on all eight are busy, until fewer pages than that are left."""
    table = Table(list(range(1, 2001)), size=10)
    walk, findings = table.begin(width=8)
    taken: list[int] = []
    taking = asyncio.ensure_future(take_all(walk, taken))
    await settle()
    while findings.requests < 170:
        assert len(table.pending) == 8
        await table.let_go(findings.requests)
    while not taking.done():
        await table.let_go(0)
    assert len(taken) == 2000


async def test_what_was_paid_for_is_handed_out_before_the_failure() -> None:
    """Pages in flight when one fails still come; then the failure, each time that more is asked for."""
    table = Table(list(range(1, 301)), size=10)
    walk, _ = table.begin(width=4)
    failure = ConnectionFailed("cut")
    taking = asyncio.ensure_future(walk.take())
    await settle()
    await table.let_go(0)
    assert (await taking) is not None
    await settle()
    table.pending[0].set_exception(failure)
    await settle()
    asked, taken = len(table.asked), list[int]()
    taking_all = asyncio.ensure_future(take_all(walk, taken))
    while not taking_all.done():
        await table.let_go(0)
    assert taking_all.exception() is failure
    assert len(table.asked) == asked
    assert len(taken) == 40
    with pytest.raises(ConnectionFailed):
        await walk.take()
    await walk.aclose()


async def test_a_closed_walk_hands_out_nothing() -> None:
    """Whoever waits when it is closed is told, and so is whoever comes later."""
    table = Table(list(range(1, 301)), size=10)
    walk, _ = table.begin(width=4)
    taking = asyncio.ensure_future(walk.take())
    await settle()
    await walk.aclose()
    for waiting in (taking, walk.take()):
        with pytest.raises(ConfigurationError, match="was closed"):
            await waiting


@pytest.mark.parametrize("ids", [[1, 3], [12, 11], [12, 25], [0]])
async def test_ids_that_were_not_asked_for_end_the_walk(ids: list[int]) -> None:
    """An answer with ids before, behind or out of the order of what was asked for is not used."""
    table = Table(list(range(1, 25)), size=10)
    walk = table.walk(((key(10).id, key(20).id),), width=1, end=key(20).id)
    shown = tuple(map(key, ids))
    table.answer = lambda *_: ScanPage(items=shown, keys=shown, received=len(ids), max_results=10, total=10)  # type: ignore[method-assign]
    taking = asyncio.ensure_future(walk.take())
    await settle()
    await table.let_go(0)
    with pytest.raises(RangeFilterIgnored, match=r"stream\(\)"):
        await taking


async def test_a_row_sent_twice_on_a_page_is_dropped_and_counted() -> None:
    """The second of two equal ids is not handed out."""
    table = Table([1, 2, 3], size=10)
    shown = tuple(map(key, [1, 2, 2, 3]))
    walk = table.walk(((LOWEST, END),), width=1)
    walk.begin_with(ScanPage(items=shown, keys=shown, received=4, max_results=10, total=3), table.look_again)
    taken: list[int] = []
    await walk_through(table, walk, [], taken)
    assert taken == [1, 2, 3]
    assert walk.findings.doubled == 1
