"""The verdict of a manifest can be relied on: planted losses and doublings are found, and the sums are exact."""

from collections.abc import Callable
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amili_async.errors import AmiliError
from amili_async.extraction import Manifest, Verdict
from amili_async.sandbox import ReceivedRequest
from tests.integration.conftest import Connect, StartSandbox
from tests.integration.test_extraction_histories import QUIET, THOROUGH, History, Stage, World, begin, stage
from tests.support.rows import SPECIFICATIONS, crowd_a_second, fill, spread_evenly, total_of

__all__ = ["stage"]

FULL = b"\xff" * 20
"""A row at each place."""

Page = dict[str, Any]


def lose(page: Page, place: int) -> Page:
    return page | {"_items": page["_items"][:place] + page["_items"][place + 1 :]}


def double(page: Page, place: int) -> Page:
    return page | {"_items": page["_items"][: place + 1] + page["_items"][place:]}


def lose_and_double(page: Page, place: int) -> Page:
    """The page has as many rows as it should have."""
    return double(lose(page, place), place - 1 if place else 0)


def lose_and_say_so(page: Page, place: int) -> Page:
    """The total is that of a list without the row."""
    return lose(page, place) | {"_meta": page["_meta"] | {"total": page["_meta"]["total"] - 1}}


def lose_all(page: Page, place: int) -> Page:
    return page | {"_items": []}


def lose_the_rest(page: Page, place: int) -> Page:
    """A page that ends early, as the last one does."""
    total = page["_meta"]["total"] - len(page["_items"]) + place
    return page | {"_items": page["_items"][:place], "_meta": page["_meta"] | {"total": total}}


def repeat_the_page(page: Page, place: int) -> Page:
    return page | {"_items": page["_items"] * 2}


def say_less(page: Page, place: int) -> Page:
    return page | {"_meta": page["_meta"] | {"total": max(0, page["_meta"]["total"] - 1 - place)}}


def say_more(page: Page, place: int) -> Page:
    return page | {"_meta": page["_meta"] | {"total": page["_meta"]["total"] + 1 + place}}


LIES = [
    lose,
    double,
    lose_and_double,
    lose_and_say_so,
    lose_all,
    lose_the_rest,
    repeat_the_page,
    say_less,
    say_more,
]


class Liar:
    """Falsifies the pages of some requests, told by their number."""

    def __init__(self, lies: dict[int, tuple[Callable[[Page, int], Page], int]]) -> None:
        self._lies = lies
        self._number = 0
        self.has_lied = False

    def __call__(self, received: ReceivedRequest, page: Page) -> Page:
        lie, place = self._lies.get(self._number, (None, 0))
        self._number += 1
        if lie is None or not page["_items"]:
            return page
        self.has_lied = True
        return lie(page, place % len(page["_items"]))


def lies(numbers: st.SearchStrategy[int], *, most: int) -> st.SearchStrategy[Any]:
    lie = st.tuples(st.sampled_from(LIES), st.integers(0, 6))
    return st.dictionaries(numbers, lie, min_size=1, max_size=most)


@THOROUGH(max_examples=400)
@given(
    presence=st.binary(min_size=20, max_size=20) | st.binary(max_size=20) | st.just(FULL),
    page_size=st.integers(3, 7),
    concurrency=st.integers(1, 8),
    planted=lies(st.integers(0, 40), most=2),
)
@example(presence=FULL, page_size=5, concurrency=1, planted={0: (lose, 0)})
@example(presence=FULL, page_size=5, concurrency=1, planted={0: (lose, 2)})
@example(presence=FULL, page_size=5, concurrency=1, planted={0: (lose, 4)})
@example(presence=FULL, page_size=5, concurrency=1, planted={1: (lose_and_say_so, 2)})
@example(presence=FULL, page_size=5, concurrency=4, planted={3: (lose_the_rest, 2)})
def test_the_verdict_is_complete_only_if_it_is(
    stage: Stage, presence: bytes, page_size: int, concurrency: int, planted: Any
) -> None:
    """However a server loses or doubles rows: nothing is delivered twice, and what lacks a row is never complete."""
    history = History(presence=presence, step=86_400, page_size=page_size, concurrency=concurrency, **QUIET)
    taken: list[str] = []

    async def play() -> Manifest:
        async with stage.connect(history) as amili:
            extraction = begin(amili, history)
            try:
                async with aclosing(extraction.batches()) as batches:
                    async for batch in batches:
                        taken.extend(line.id for line in batch)
            except AmiliError:
                assert extraction.manifest.verdict is Verdict.PARTIAL
            return extraction.manifest

    world = World(stage.sandbox, history)
    stage.sandbox.override(page=Liar(planted))
    try:
        manifest = stage.run(play())
    finally:
        stage.sandbox.override()
        rows = set(world.rows)
        world.clear()
    assert len(set(taken)) == len(taken)
    assert set(taken) <= rows
    if manifest.verdict is Verdict.COMPLETE:
        assert set(taken) == rows


@pytest.mark.parametrize("place", [0, 1, 50, 98, 99])
@pytest.mark.parametrize("number", [0, 1, 2, 5, 9])
@pytest.mark.parametrize("lie", [lose, double, lose_and_double])
async def test_a_row_lost_or_doubled_is_found(
    lie: Callable[[Page, int], Page], number: int, place: int, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """One row of one page of a thousand rows, wherever it is, makes the verdict another than complete."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(1000))
    amili = await connect(sandbox, concurrency=3)
    liar = Liar({number: (lie, place)})
    sandbox.override(page=liar)
    extraction = amili.payout_specifications.extract()
    taken = [record.id async for record in extraction]
    assert liar.has_lied
    assert len(set(taken)) == len(taken)
    if lie is not lose:
        assert extraction.manifest.doubled == 1
    is_whole = lie is lose and sorted(taken) == ids  # the last of a page is fetched with the next one
    assert is_whole or extraction.manifest.verdict is not Verdict.COMPLETE


async def test_quiet_rows_are_complete_and_add_up(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Every money column's sum is that of the rows, to the öre and to the digit."""
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
    """Ten thousand times a tenth, and large amounts beside small ones, in structs and in dicts."""
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
    """Each record is summed once, also the one at which the extraction was left."""
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


@pytest.mark.parametrize("place", [0, 1, 500, -2])
@pytest.mark.parametrize("change", ["delete", "insert"])
@pytest.mark.parametrize("concurrency", [1, 4])
async def test_rows_that_go_or_come_meanwhile_are_told(
    concurrency: int, change: str, place: int, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """One row deleted, or one inserted among the others, makes the verdict drifted; before the end it is partial."""
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
    assert (manifest.before, manifest.after) == (1000, 999 if change == "delete" else 1001)
    assert manifest.verdict is Verdict.DRIFTED


async def test_a_row_that_goes_and_another_that_comes_are_told(start_sandbox: StartSandbox, connect: Connect) -> None:
    """The server's counts before and after are equal, and yet the verdict is drifted: what was delivered is neither."""
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
    assert (manifest.before, manifest.after, manifest.rows) == (1000, 1000, 1001)
    assert manifest.verdict is Verdict.DRIFTED


async def test_a_change_that_is_undone_is_told(start_sandbox: StartSandbox, connect: Connect) -> None:
    """One row goes and later another comes before either was reached: only the totals on the way tell of it."""
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
    assert (manifest.before, manifest.after, manifest.rows) == (1000, 1000, 1000)
    assert manifest.verdict is Verdict.DRIFTED


async def test_a_manifest_is_whole_and_tells_no_values(start_sandbox: StartSandbox, connect: Connect) -> None:
    """It says what was done, the filter without its values, and survives its JSON."""
    sandbox = await start_sandbox(specifications=300)
    amili = await connect(sandbox)
    extraction = amili.payout_specifications.extract({"article": "canary"})
    assert [record async for record in extraction] == []
    manifest = extraction.manifest
    assert (manifest.resource, manifest.rows, manifest.distinct, manifest.known) == (SPECIFICATIONS, 0, 0, 0)
    assert (manifest.before, manifest.after, manifest.newer, manifest.doubled) == (0, 0, 0, 0)
    assert manifest.verdict is Verdict.COMPLETE
    assert "article" in manifest.filter
    assert "canary" not in manifest.to_json() + repr(manifest)
    fields = msgspec.json.decode(manifest.to_json())
    expected = {"resource", "filter", "bound", "requests", "rows", "known", "doubled", "newer", "before", "after"}
    assert expected | {"since", "sums", "verdict"} <= fields.keys()
    assert fields["verdict"] == "complete"
