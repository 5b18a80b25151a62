"""The partitioned scan of a list that changes between any two responses, with the responses in any order."""

import asyncio
import gc
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from amili_async._paging.partition import LOWEST_ID, Span
from amili_async._paging.scan import PAGES_PER_REQUEST, PartitionedScan
from amili_async._paging.scan_page import Batch, RangeFilterIgnored, ScanPage, ScanStats
from amili_async.errors import ClientClosed, ConnectionFailed
from tests.support import internals
from tests.support.clocks import settle
from tests.support.exhaustive import IN_TENTHS, examples

END = f"{10**6:024x}"


class Key(Struct, frozen=True):
    """A row, which consists of its identity only."""

    id: str


def key(number: int) -> Key:
    return Key(f"{number:024x}")


class Table:
    """Rows behind a fetch whose responses the test releases one by one, in any order."""

    def __init__(
        self, numbers: list[int], *, size: int, reports_total: bool = True, reports_size: bool = True, clamp: int = 100
    ) -> None:
        self.rows = set(numbers)
        self.size = size
        self.clamp = clamp
        self.reports_total = reports_total
        self.reports_size = reports_size
        self.change_between: Callable[[], None] = lambda: None
        self.counts_last = False
        self.pending: list[asyncio.Future[None]] = []
        self.requested: list[tuple[Span, ...]] = []

    async def fetch(
        self,
        spans: Sequence[Span],
        *,
        page: int = 1,
        is_count: bool = False,
        created_since: datetime | None = None,
    ) -> ScanPage[Key]:
        self.requested.append(tuple(spans))
        gate = asyncio.get_running_loop().create_future()
        self.pending.append(gate)
        try:
            await gate
        finally:
            self.pending.remove(gate)
        if created_since is not None:  # all rows are older than that
            return ScanPage(items=(), keys=(), received=0, max_results=1, total=0)
        return self.answer(spans, page, 1 if is_count else self.size)

    async def fetch_again(self) -> tuple[ScanPage[Key], None]:
        return self.answer(((LOWEST_ID, "f" * 24),), 1, self.size), None

    def find(self, spans: Sequence[Span]) -> list[Key]:
        rows = map(key, sorted(self.rows))
        return [row for row in rows if any(after < row.id <= end for after, end in spans)]

    def answer(self, spans: Sequence[Span], page: int, size: int) -> ScanPage[Key]:
        """Rows and their count; the list may change between finding and counting, as it does in Eve."""
        counted = self.find(spans)
        self.change_between()
        found = self.find(spans)
        if self.counts_last:
            counted = found
            self.change_between()
            counted = self.find(spans)
        fits = min(size, self.clamp)
        shown = tuple(found[(page - 1) * fits : page * fits])
        total = len(counted) if self.reports_total else None
        return ScanPage(
            items=shown, keys=shown, received=len(shown), max_results=size if self.reports_size else None, total=total
        )

    def scan(
        self, *outstanding: Sequence[Span], concurrency: int, max_spans: int = 50, end: str = END
    ) -> PartitionedScan[Key]:
        return PartitionedScan(
            self.fetch,
            *outstanding,
            whole=(LOWEST_ID, end),
            started=datetime(2025, 1, 1, tzinfo=UTC),
            concurrency=concurrency,
            page_size=self.size,
            max_spans=max_spans,
            stats=ScanStats(),
        )

    def begin(self, *, concurrency: int, max_spans: int = 50) -> tuple[PartitionedScan[Key], ScanStats]:
        scan = self.scan(((LOWEST_ID, END),), concurrency=concurrency, max_spans=max_spans)
        scan.begin_with(self.answer(((LOWEST_ID, "f" * 24),), 1, self.size), self.fetch_again)
        return scan, scan.stats

    async def release(self, which: int) -> None:
        """Release one of the pending responses."""
        if self.pending:
            self.pending[which % len(self.pending)].set_result(None)
        await settle()


async def read_all(table: Table, scan: PartitionedScan[Key], choices: list[int], delivered: list[int]) -> None:
    """Take everything; each choice releases a response."""
    reading = asyncio.ensure_future(take_all(scan, delivered))
    places = iter(choices)
    await settle()
    while not reading.done():
        await table.release(next(places, 0))
    await reading


async def take_all(scan: PartitionedScan[Key], delivered: list[int]) -> None:
    while (batch := await scan.next_batch()) is not None:
        delivered.extend(int(each.id, 16) for each in batch.page.items)
        batch.mark_consumed(len(batch.page.keys))


@given(
    count=st.integers(0, 120),
    concurrency=st.integers(1, 6),
    size=st.integers(2, 7),
    choices=st.lists(st.integers(0, 5), max_size=60),
)
@examples(300, derandomize=True)
def test_unchanged_rows_are_delivered_once_for_one_request_per_page_and_a_count(
    count: int, concurrency: int, size: int, choices: list[int]
) -> None:
    """In any order of the responses: each row once, for one request per page, a recheck of gaps, and a count."""

    async def check() -> None:
        table = Table([3 * number + 1 for number in range(count)], size=size)
        scan, stats = table.begin(concurrency=concurrency)
        delivered: list[int] = []
        await read_all(table, scan, choices, delivered)
        assert sorted(delivered) == sorted(table.rows)
        assert len(delivered) == count == stats.count_before == stats.count_after
        assert not stats.changed_during_scan
        assert stats.requests <= max(1, -(-count // size)) + (2 if count else 0)
        assert scan.outstanding() == ((), ())

    asyncio.run(check())


REPORTS = [(True, True, 100), (True, True, 2), (True, False, 2), (False, True, 100), (False, False, 2)]
"""Whether the server reports totals and page sizes, and how many rows it puts on a page at most."""


def change_rows(rows: set[int], random: Random) -> None:
    """Insert or delete some neighbouring rows."""
    first = random.randint(1, 400)
    changed = range(first, first + random.choice([1, 1, 3, 30, 100]))
    rows.update(changed) if random.random() < 0.4 else rows.difference_update(changed)


@IN_TENTHS
def test_a_row_that_is_present_throughout_is_delivered_once(tenth: int) -> None:
    """Rows are inserted and deleted between any two responses; the scan is left within a batch, and another resumes."""
    for seed in range(tenth * 200, tenth * 200 + 200):
        asyncio.run(scan_a_changing_list(Random(seed)))


async def scan_a_changing_list(random: Random) -> None:
    numbers = random.sample(range(1, 401), random.choice([0, 1, 5, 40, 120]))
    concurrency, size = random.randint(1, 6), random.randint(2, 6)
    reports_total, reports_size, clamp = random.choice(REPORTS)
    table = Table(numbers, size=size, reports_total=reports_total, reports_size=reports_size, clamp=clamp)
    scan, _ = table.begin(concurrency=concurrency, max_spans=random.choice([1, 2, 50]))
    kept, ever, delivered = set(numbers), set(numbers), list[int]()
    changes, stop = random.choice([0.0, 0.1, 0.5]), random.choice([0, 7, 30, 1000])

    def change_now_and_then() -> None:
        while random.random() < changes:
            change_rows(table.rows, random)
            ever.update(table.rows)
            kept.intersection_update(table.rows)

    if not (reports_size and clamp < size):  # a wrong page size cannot be detected while rows change
        table.change_between, table.counts_last = change_now_and_then, random.random() < 0.5

    async def take_some(scan: PartitionedScan[Key], limit: int | None) -> None:
        while limit is None or len(delivered) < limit:
            reading = asyncio.ensure_future(scan.next_batch())
            await settle()
            while not reading.done():
                change_now_and_then()
                await table.release(random.randint(0, 10))
            batch: Batch[Key] | None = reading.result()
            if batch is None:
                return
            rows = [int(each.id, 16) for each in batch.page.items]
            count = len(rows) if limit is None else min(len(rows), limit - len(delivered))
            delivered.extend(rows[:count])
            batch.mark_consumed(count)
        await scan.aclose()

    await take_some(scan, stop)
    if any(rest := scan.outstanding()):
        again = table.scan(*rest, concurrency=concurrency, max_spans=2)
        await take_some(again, None)
        assert again.outstanding() == ((), ())
    assert len(delivered) == len(set(delivered))
    assert kept <= set(delivered) <= ever


@pytest.mark.parametrize("concurrency", [1, 3, 8])
async def test_a_slow_consumer_stops_the_fetching(concurrency: int) -> None:
    """At most `concurrency` requests are in flight, and hardly more pages are buffered than were in flight."""
    table = Table(list(range(1, 1001)), size=5)
    scan, _ = table.begin(concurrency=concurrency)
    for _ in range(50):
        assert len(table.pending) <= concurrency
        await table.release(0)
        internals.top_up(scan)
        assert internals.count_waiting_batches(scan) + len(table.pending) <= PAGES_PER_REQUEST * concurrency
    assert internals.count_waiting_batches(scan) + len(table.pending) <= concurrency + 3
    await scan.aclose()
    assert table.pending == []


async def test_no_worker_is_idle_while_a_range_can_be_split() -> None:
    """From the second request on all eight are in flight, until fewer pages than that are left."""
    table = Table(list(range(1, 2001)), size=10)
    scan, stats = table.begin(concurrency=8)
    delivered: list[int] = []
    reading = asyncio.ensure_future(take_all(scan, delivered))
    await settle()
    while stats.requests < 170:
        assert len(table.pending) == 8
        await table.release(stats.requests)
    while not reading.done():
        await table.release(0)
    assert len(delivered) == 2000


async def test_without_totals_no_worker_is_idle_either() -> None:
    """Ranges are split by time, until there is one for each request that may be in flight."""
    numbers = [number << 64 for number in range(1, 401)]
    table = Table(numbers, size=10, reports_total=False)
    end = key(401 << 64).id
    scan = table.scan(((LOWEST_ID, end),), concurrency=8, end=end)
    scan.begin_with(table.answer(((LOWEST_ID, "f" * 24),), 1, 10), table.fetch_again)
    delivered: list[int] = []
    reading = asyncio.ensure_future(take_all(scan, delivered))
    await settle()
    await table.release(0)
    assert len(table.pending) == 8
    while not reading.done():
        await table.release(0)
    assert sorted(delivered) == numbers
    assert len({end for ((_, end),) in table.requested}) == 8


async def test_a_row_that_an_insert_pushes_off_the_last_page_is_found_by_the_recheck() -> None:
    """The count before the insert reports a full page as the last one, so what follows it is requested once more."""
    table = Table(list(range(2, 42, 2)), size=10)
    scan, stats = table.begin(concurrency=1)
    table.change_between = lambda: table.rows.add(25)
    delivered: list[int] = []
    await read_all(table, scan, [], delivered)
    assert delivered == sorted([*range(2, 42, 2), 25])
    assert table.requested[1] == ((key(38).id, END),)
    assert stats.changed_during_scan


async def test_one_row_after_the_first_page_is_no_change_of_the_list() -> None:
    """It is the next page, not what a recheck finds of rows that were inserted."""
    table = Table(list(range(1, 12)), size=10)
    scan = table.scan(((LOWEST_ID, END),), concurrency=1)
    scan.begin_with(table.answer(((LOWEST_ID, "f" * 24),), 1, 10), table.fetch_again, filters_ids=True)
    delivered: list[int] = []
    await read_all(table, scan, [], delivered)
    assert delivered == list(range(1, 12))
    assert not scan.stats.changed_during_scan


async def test_pages_in_flight_are_delivered_before_the_failure_is_raised() -> None:
    """When a fetch fails, the pages in flight are still delivered; then every call raises the failure."""
    table = Table(list(range(1, 301)), size=10)
    scan, _ = table.begin(concurrency=4)
    failure = ConnectionFailed("reset")
    reading = asyncio.ensure_future(scan.next_batch())
    await settle()
    await table.release(0)
    assert (await reading) is not None
    await settle()
    table.pending[0].set_exception(failure)
    await settle()
    requested, delivered = len(table.requested), list[int]()
    reading_all = asyncio.ensure_future(take_all(scan, delivered))
    while not reading_all.done():
        await table.release(0)
    assert reading_all.exception() is failure
    assert len(table.requested) == requested
    assert len(delivered) == 40
    with pytest.raises(ConnectionFailed):
        await scan.next_batch()
    await scan.aclose()


async def test_several_failures_are_one_error() -> None:
    """The first is raised; no later one is logged by asyncio as an exception that was never retrieved."""
    table, logged = Table(list(range(1, 301)), size=10), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
    scan, _ = table.begin(concurrency=4)
    reading = asyncio.ensure_future(scan.next_batch())
    await settle()
    await table.release(0)
    await reading
    await settle()
    for place, gate in enumerate(list(table.pending)):
        gate.set_exception(ConnectionFailed(f"failure {place}"))
    await settle()
    with pytest.raises(ConnectionFailed, match="failure 0"):
        await take_all(scan, [])
    await scan.aclose()
    gc.collect()
    assert logged == []


async def test_a_closed_scan_raises_client_closed() -> None:
    """A consumer that waits when the scan is closed raises, and so does every later call."""
    table = Table(list(range(1, 301)), size=10)
    scan, _ = table.begin(concurrency=4)
    reading = asyncio.ensure_future(scan.next_batch())
    await settle()
    await scan.aclose()
    for waiting in (reading, scan.next_batch()):
        with pytest.raises(ClientClosed, match="was closed"):
            await waiting


@pytest.mark.parametrize("ids", [[1, 3], [12, 11], [12, 25], [0]])
async def test_ids_outside_the_requested_range_end_the_scan(ids: list[int]) -> None:
    """A response with ids below or above the range, or out of order, raises and is not delivered."""
    table = Table(list(range(1, 25)), size=10)
    scan = table.scan(((key(10).id, key(20).id),), concurrency=1, end=key(20).id)
    shown = tuple(map(key, ids))
    table.answer = lambda *_: ScanPage(items=shown, keys=shown, received=len(ids), max_results=10, total=10)  # type: ignore[method-assign]
    reading = asyncio.ensure_future(scan.next_batch())
    await settle()
    await table.release(0)
    with pytest.raises(RangeFilterIgnored, match=r"stream\(\)"):
        await reading


async def test_a_duplicate_on_a_page_is_dropped_and_counted() -> None:
    """The second of two equal ids is not delivered."""
    table = Table([1, 2, 3], size=10)
    shown = tuple(map(key, [1, 2, 2, 3]))
    scan = table.scan(((LOWEST_ID, END),), concurrency=1)
    scan.begin_with(ScanPage(items=shown, keys=shown, received=4, max_results=10, total=3), table.fetch_again)
    delivered: list[int] = []
    await read_all(table, scan, [], delivered)
    assert delivered == [1, 2, 3]
    assert scan.stats.duplicates == 1
