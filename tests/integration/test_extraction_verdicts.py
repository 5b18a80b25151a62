"""The verdict of a manifest is reliable: lost and repeated rows are found, and the sums are exact."""

import json
from collections.abc import Callable, Mapping
from contextlib import aclosing
from decimal import Decimal
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amili_async.errors import AmiliError
from amili_async.extraction import Manifest, Verdict
from amili_async.sandbox import ReceivedRequest, Sandbox
from tests.support.exhaustive import examples, sampled
from tests.support.histories import QUIET, ChangingRows, History, SharedServer, begin, serve_histories
from tests.support.rows import SPECIFICATIONS, crowd_a_second, fill, spread_evenly, total_of
from tests.support.starting import Connect, StartSandbox

server = pytest.fixture(scope="module")(serve_histories)

FULL = b"\xff" * 20
"""A row at each place."""

Page = dict[str, Any]


def lose(page: Page, place: int) -> Page:
    return page | {"_items": page["_items"][:place] + page["_items"][place + 1 :]}


def repeat(page: Page, place: int) -> Page:
    return page | {"_items": page["_items"][: place + 1] + page["_items"][place:]}


def lose_and_repeat(page: Page, place: int) -> Page:
    """The page has as many rows as it should have."""
    return repeat(lose(page, place), place - 1 if place else 0)


def lose_and_report_it(page: Page, place: int) -> Page:
    """The total is that of a list without the row."""
    return lose(page, place) | {"_meta": page["_meta"] | {"total": page["_meta"]["total"] - 1}}


def lose_all(page: Page, place: int) -> Page:
    return page | {"_items": []}


def lose_the_rest(page: Page, place: int) -> Page:
    """A page that ends early, as the last one does."""
    total = page["_meta"]["total"] - len(page["_items"]) + place
    return page | {"_items": page["_items"][:place], "_meta": page["_meta"] | {"total": total}}


def lose_most(page: Page, place: int) -> Page:
    """All but the first rows and the last ones."""
    items = page["_items"][:place] + page["_items"][place + 59 :]
    return page | {"_items": items, "_meta": page["_meta"] | {"total": page["_meta"]["total"] - 59}}


def repeat_the_page(page: Page, place: int) -> Page:
    return page | {"_items": page["_items"] * 2}


def report_less(page: Page, place: int) -> Page:
    return page | {"_meta": page["_meta"] | {"total": max(0, page["_meta"]["total"] - 1 - place)}}


def report_more(page: Page, place: int) -> Page:
    return page | {"_meta": page["_meta"] | {"total": page["_meta"]["total"] + 1 + place}}


DEFECTS = [
    lose,
    repeat,
    lose_and_repeat,
    lose_and_report_it,
    lose_all,
    lose_the_rest,
    repeat_the_page,
    report_less,
    report_more,
]


class DefectivePages:
    """Applies a defect to the pages of some requests, chosen by their number."""

    def __init__(self, defects: dict[int, tuple[Callable[[Page, int], Page], int]]) -> None:
        self._defects = defects
        self._number = 0
        self.was_applied = False

    def __call__(self, received: ReceivedRequest, page: Page) -> Page:
        defect, place = self._defects.get(self._number, (None, 0))
        self._number += 1
        if defect is None or not page["_items"]:
            return page
        self.was_applied = True
        return defect(page, place % len(page["_items"]))


def defects(numbers: st.SearchStrategy[int], *, most: int) -> st.SearchStrategy[Any]:
    defect = st.tuples(st.sampled_from(DEFECTS), st.integers(0, 6))
    return st.dictionaries(numbers, defect, min_size=1, max_size=most)


@examples(400, derandomize=True)
@given(
    presence=st.binary(min_size=20, max_size=20) | st.binary(max_size=20) | st.just(FULL),
    page_size=st.integers(3, 7),
    concurrency=st.integers(1, 8),
    planted=defects(st.integers(0, 40), most=2),
)
@example(presence=FULL, page_size=5, concurrency=1, planted={0: (lose, 0)})
@example(presence=FULL, page_size=5, concurrency=1, planted={0: (lose, 2)})
@example(presence=FULL, page_size=5, concurrency=1, planted={0: (lose, 4)})
@example(presence=FULL, page_size=5, concurrency=1, planted={1: (lose_and_report_it, 2)})
@example(presence=FULL, page_size=5, concurrency=4, planted={3: (lose_the_rest, 2)})
def test_the_verdict_is_complete_only_if_it_is(
    server: SharedServer, presence: bytes, page_size: int, concurrency: int, planted: Any
) -> None:
    """However a server loses or repeats rows, none is delivered twice, and the verdict of a loss is never complete."""
    history = History(presence=presence, step=86_400, page_size=page_size, concurrency=concurrency, **QUIET)
    delivered: list[str] = []

    async def run() -> Manifest:
        async with server.connect(history) as amili:
            extraction = begin(amili, history)
            try:
                async with aclosing(extraction.batches()) as batches:
                    async for batch in batches:
                        delivered.extend(line.id for line in batch)
            except AmiliError:
                assert extraction.manifest.verdict is Verdict.PARTIAL
            return extraction.manifest

    table = ChangingRows(server.sandbox, history)
    server.sandbox.override(page=DefectivePages(planted))
    try:
        manifest = server.run(run())
    finally:
        server.sandbox.override()
        rows = set(table.rows)
        table.clear()
    assert len(set(delivered)) == len(delivered)
    assert set(delivered) <= rows
    if manifest.verdict is Verdict.COMPLETE:
        assert set(delivered) == rows


@sampled("defect, number, place", list(product([lose, repeat, lose_and_repeat], [0, 1, 2, 5, 9], [0, 1, 50, 98, 99])))
async def test_a_lost_or_repeated_row_is_found(
    defect: Callable[[Page, int], Page], number: int, place: int, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """One lost or repeated row among a thousand, wherever it is, makes the verdict other than complete."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(1000))
    amili = await connect(sandbox, concurrency=3)
    pages = DefectivePages({number: (defect, place)})
    sandbox.override(page=pages)
    extraction = amili.payout_specifications.extract()
    delivered = [record.id async for record in extraction]
    assert pages.was_applied
    assert len(set(delivered)) == len(delivered)
    if defect is not lose:
        assert extraction.manifest.duplicates == 1
    is_whole = defect is lose and sorted(delivered) == ids  # the last row of a page is fetched with the next page
    assert is_whole or extraction.manifest.verdict is not Verdict.COMPLETE


async def test_unchanged_rows_are_complete_and_add_up(start_sandbox: StartSandbox, connect: Connect) -> None:
    """The sum of every money column equals that of the rows, to the digit."""
    sandbox = await start_sandbox(specifications=2500, payouts=130, payments=140)
    amili = await connect(sandbox)
    for resource in (amili.payout_specifications, amili.payouts, amili.creditor_payments):
        extraction = resource.extract()
        assert len([record async for record in extraction]) == len(sandbox.rows(resource.path))
        manifest = Manifest.from_json(extraction.manifest.to_json())
        assert manifest == extraction.manifest
        assert manifest.verdict is Verdict.COMPLETE
        assert manifest.sums
        for name, amount in manifest.sums.items():
            assert amount == total_of(sandbox.rows(resource.path), name), name
        assert {"amount", "vat_amount", "total_amount"} & manifest.sums.keys()


async def test_sums_are_exact_where_floats_are_not(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Hundreds of tenths and one large amount add up exactly, in structs and in dicts."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, crowd_a_second(500))
    for place, row_id in enumerate(ids):
        sandbox.update(SPECIFICATIONS, row_id, {"amount": Decimal("0.1") if place else Decimal("90071992547409919.01")})
    amili = await connect(sandbox)
    for into in (None, dict):
        extraction = amili.payout_specifications.extract(into=into)
        assert len([record async for record in extraction]) == 500
        assert extraction.manifest.sums["amount"] == Decimal("90071992547409968.91")


async def test_a_resumed_extraction_adds_up_too(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Each record is summed once, the one at which the extraction was left too."""
    sandbox = await start_sandbox(specifications=700)
    amili = await connect(sandbox, page_size=30)
    extraction = amili.payout_specifications.extract()
    for count in (0, 1, 29, 30, 31, 250):
        async with aclosing(aiter(extraction)) as records:
            for _ in range(count):
                await anext(records)
        extraction = amili.payout_specifications.extract(checkpoint=extraction.checkpoint)
    async with aclosing(extraction.batches()) as batches:
        async for _ in batches:
            pass
    manifest = extraction.manifest
    assert (manifest.rows, manifest.verdict) == (700, Verdict.COMPLETE)
    assert manifest.sums["amount"] == total_of(sandbox.rows(SPECIFICATIONS), "amount")


@sampled("concurrency, change, place", list(product([1, 4], ["delete", "insert"], [0, 1, 500, -2])))
async def test_rows_deleted_or_inserted_concurrently_are_reported(
    concurrency: int, change: str, place: int, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """One deleted or inserted row makes the verdict drifted; before the end it is partial."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(1000))
    amili = await connect(sandbox, concurrency=concurrency)
    extraction = amili.payout_specifications.extract()
    async with aclosing(extraction.batches()) as batches:
        await anext(batches)
        assert extraction.manifest.verdict is Verdict.PARTIAL
        if change == "delete":
            sandbox.delete(SPECIFICATIONS, ids[place])
        else:
            fill(sandbox, [f"{int(ids[place], 16) + 1:024x}"])
        async for _ in batches:
            pass
    manifest = extraction.manifest
    assert (manifest.count_before, manifest.count_after) == (1000, 999 if change == "delete" else 1001)
    assert manifest.verdict is Verdict.DRIFTED


async def test_a_deleted_and_an_inserted_row_are_reported(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Equal counts before and after are drifted if another number of rows was delivered."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(1001)[:-1])
    amili = await connect(sandbox, concurrency=1)
    extraction = amili.payout_specifications.extract()
    async with aclosing(extraction.batches()) as batches:
        await anext(batches)
        sandbox.delete(SPECIFICATIONS, ids[0])
        fill(sandbox, [f"{int(ids[-2], 16) + 1:024x}"])
        async for _ in batches:
            pass
    manifest = extraction.manifest
    assert (manifest.count_before, manifest.count_after, manifest.rows) == (1000, 1000, 1001)
    assert manifest.verdict is Verdict.DRIFTED


async def test_two_changes_that_cancel_out_are_reported(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A deletion and a later insertion ahead of the scan show only in the totals in between."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(1000))
    pages = 0

    def change(received: ReceivedRequest) -> None:
        nonlocal pages
        pages += received.path == f"/{SPECIFICATIONS}"
        if pages == 4:
            sandbox.delete(SPECIFICATIONS, ids[-3])
        if pages == 6:
            fill(sandbox, [f"{int(ids[-2], 16) + 1:024x}"])
            sandbox.before_each_request(None)

    sandbox.before_each_request(change)
    amili = await connect(sandbox, concurrency=1)
    extraction = amili.payout_specifications.extract()
    assert len([record async for record in extraction]) == 1000
    manifest = extraction.manifest
    assert (manifest.count_before, manifest.count_after, manifest.rows) == (1000, 1000, 1000)
    assert manifest.verdict is Verdict.DRIFTED


def exchange_rows(sandbox: Sandbox, ids: list[str], *, is_stored: bool = True) -> None:
    """Before each request delete a row that is not fetched yet, and insert one among those that are."""
    left = iter(range(1, 400))

    def exchange(received: ReceivedRequest) -> None:
        place = next(left)
        sandbox.delete(SPECIFICATIONS, ids[-place])
        if is_stored:
            sandbox.insert(SPECIFICATIONS, {"_id": f"{int(ids[0], 16) + place:024x}", "article": "capital"})

    sandbox.before_each_request(exchange)


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_rows_that_are_deleted_and_inserted_at_one_rate_are_no_loss(
    concurrency: int, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """The count at the end has rows that were inserted too late to be delivered: the verdict is drifted."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(1000))
    amili = await connect(sandbox, concurrency=concurrency)
    exchange_rows(sandbox, ids)
    extraction = amili.payout_specifications.extract()
    delivered = {record.id async for record in extraction}
    manifest = Manifest.from_json(extraction.manifest.to_json())
    assert manifest.verdict is Verdict.DRIFTED
    assert manifest.inserted_during_scan
    assert len(delivered) == manifest.rows
    assert {row["_id"] for row in sandbox.rows(SPECIFICATIONS)} & set(ids) <= delivered


@pytest.mark.parametrize("is_stored", [True, False])
async def test_rows_that_are_lost_beside_a_few_inserted_ones_make_it_partial(
    is_stored: bool, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """What was inserted explains as many missing rows and no more."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(1000))
    amili = await connect(sandbox, concurrency=1)
    exchange_rows(sandbox, ids, is_stored=is_stored)
    pages = DefectivePages({3: (lose_most, 1)})
    sandbox.override(page=pages)
    extraction = amili.payout_specifications.extract()
    assert len([record async for record in extraction]) < 950
    assert pages.was_applied
    assert extraction.manifest.verdict is Verdict.PARTIAL


async def test_a_server_that_ignores_the_date_explains_no_missing_row(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """It counts all rows as inserted, of which the first one shows that it is older."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(1000))
    amili = await connect(sandbox, concurrency=1)
    exchange_rows(sandbox, ids)

    def ignore_date(received: ReceivedRequest) -> Mapping[str, str]:
        where = json.loads(received.query.get("where", "{}"))
        return {**received.query, "where": json.dumps({"_id": where["_id"]})} if "_id" in where else received.query

    sandbox.override(query=ignore_date)
    extraction = amili.payout_specifications.extract()
    assert len([record async for record in extraction]) < 1000
    assert (extraction.manifest.verdict, extraction.manifest.inserted_during_scan) == (Verdict.PARTIAL, 0)


async def test_a_manifest_is_complete_and_contains_no_values(start_sandbox: StartSandbox, connect: Connect) -> None:
    """It lists what was done and the filter without its values, and round-trips through JSON."""
    sandbox = await start_sandbox(specifications=300)
    amili = await connect(sandbox)
    extraction = amili.payout_specifications.extract({"article": "canary"})
    assert [record async for record in extraction] == []
    manifest = extraction.manifest
    assert manifest.resource == SPECIFICATIONS
    assert (manifest.rows, manifest.distinct, manifest.already_delivered) == (0, 0, 0)
    assert (manifest.count_before, manifest.count_after, manifest.count_past_bound, manifest.duplicates) == (0, 0, 0, 0)
    assert manifest.verdict is Verdict.COMPLETE
    assert "article" in manifest.filter
    assert "canary" not in manifest.to_json() + repr(manifest)
    fields = msgspec.json.decode(manifest.to_json())
    expected = {
        "resource",
        "filter",
        "bound",
        "requests",
        "rows",
        "already_delivered",
        "duplicates",
        "count_past_bound",
        "count_before",
        "count_after",
    }
    assert expected | {"since", "sums", "verdict"} <= fields.keys()
    assert fields["verdict"] == "complete"
