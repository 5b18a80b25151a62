"""A page without rows that contradicts what is known is believed only if it is empty twice."""

from collections.abc import Callable
from typing import Any

import pytest

from amili_async import AmiliClient
from amili_async.extraction import Verdict
from amili_async.sandbox import ReceivedRequest, Sandbox
from tests.support.rows import SPECIFICATIONS, fill, make_id, make_row, spread_evenly
from tests.support.starting import Connect, StartSandbox

ROWS = 1500


def empty_once(sandbox: Sandbox, number: int, total: str) -> None:
    """Empty the list page of that number; its total is `zero`, or the true one, or no page has a total."""
    seen = 0

    def change(received: Any, page: dict[str, Any]) -> dict[str, Any]:
        nonlocal seen
        meta = dict(page["_meta"])
        if total == "none":
            del meta["total"]
        if received.query.get("max_results") == "1":
            return {**page, "_meta": meta}
        seen += 1
        if seen != number:
            return {**page, "_meta": meta}
        return {**page, "_items": [], "_meta": {**meta, "total": 0} if total == "zero" else meta}

    sandbox.override(page=change)


async def stream(amili: AmiliClient) -> list[str]:
    return [record.id async for record in amili.payout_specifications.stream()]


async def extract(amili: AmiliClient) -> list[str]:
    extraction = amili.payout_specifications.extract()
    ids = [record.id async for record in extraction]
    assert extraction.manifest.verdict in {Verdict.COMPLETE, Verdict.DRIFTED}
    return ids


async def sweep(amili: AmiliClient) -> list[str]:
    every = [record.id async for record in amili.payout_specifications.stream(page_size=50)]
    return sorted(set(every) - await amili.payout_specifications.sweep(every))


CASES = [
    (read, total, number)
    for read, totals in ((stream, ("zero", "true")), (extract, ("zero", "true", "none")))
    for total in totals
    for number in (1, 2, 3, 5, 9, 15)
    if (number, total) != (1, "zero")  # an empty list, as far as is known
]


@pytest.mark.parametrize(("read", "total", "number"), CASES, ids=[f"{r.__name__}-{t}-{n}" for r, t, n in CASES])
async def test_one_empty_page_loses_nothing(
    read: Callable[[AmiliClient], Any], total: str, number: int, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Whichever page a lagging replica answers without rows, every row is delivered once."""
    sandbox = await start_sandbox(specifications=ROWS)
    amili = await connect(sandbox, concurrency=4)
    empty_once(sandbox, number, total)
    assert sorted(await read(amili)) == sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))


@pytest.mark.parametrize("total", ["zero", "true", "none"])
@pytest.mark.parametrize("number", [31, 32, 35, 40])
async def test_a_sweep_believes_no_absence_from_one_response(
    number: int, total: str, start_sandbox: StartSandbox, connect: Connect
) -> None:
    """No row that exists is reported as gone because of one page without rows."""
    sandbox = await start_sandbox(specifications=ROWS)
    amili = await connect(sandbox, concurrency=4)
    empty_once(sandbox, number, total)
    assert len(await sweep(amili)) == ROWS


async def test_a_row_is_gone_only_if_it_is_not_found_by_its_id_either(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Rows that each page of a sweep leaves out, with a total that agrees, are found by their ids."""
    sandbox = await start_sandbox(specifications=ROWS)
    amili = await connect(sandbox)
    ids = sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))
    hidden = set(ids[100:220])
    sandbox.delete(SPECIFICATIONS, ids[700])

    def hide(received: Any, page: dict[str, Any]) -> dict[str, Any]:
        if "$in" in received.query.get("where", ""):
            return page
        left = [row for row in page["_items"] if row["_id"] not in hidden]
        return {**page, "_items": left, "_meta": {"page": 1}}

    sandbox.override(page=hide)
    assert await amili.payout_specifications.sweep(ids) == {ids[700]}


@pytest.mark.parametrize(("does_it_end", "expected"), [(True, (3, Verdict.DRIFTED)), (False, (4, Verdict.PARTIAL))])
async def test_rows_inserted_and_deleted_at_one_rate_are_counted_twice(
    does_it_end: bool,
    expected: tuple[int, Verdict],
    start_sandbox: StartSandbox,
    connect: Connect,
) -> None:
    """Each row that stayed is delivered once; the verdict is partial only if the second count confirms the first.

    These rows were inserted with an old date of creation, so that no count shows that they are new: a doubt remains.
    """
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(ROWS))
    amili = await connect(sandbox, concurrency=1)
    before = int(ids[0][:8], 16) - 1
    late: list[str] = []
    counts = 0

    def exchange_a_row(request: ReceivedRequest) -> None:
        nonlocal counts
        if request.query.get("max_results") != "1":
            sandbox.delete(SPECIFICATIONS, ids[-1 - len(late)])
            late.append(make_id(before, len(late)))
            sandbox.insert(SPECIFICATIONS, make_row(late[-1]))
            return
        counts += 1
        for row_id in late if does_it_end and counts == 3 else ():
            sandbox.delete(SPECIFICATIONS, row_id)

    sandbox.before_each_request(exchange_a_row)
    extraction = amili.payout_specifications.extract()
    taken = [record.id async for record in extraction]
    assert sorted(set(taken).difference(late)) == ids[: -len(late)]
    assert len(set(taken)) == len(taken)
    # Counted once at the start and twice at the end; then what was created in between.
    assert (counts, extraction.manifest.verdict) == expected


async def test_a_count_that_is_too_high_once_is_no_missing_row(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Before an extraction is called partial, the rows are counted again."""
    sandbox = await start_sandbox(specifications=ROWS)
    amili = await connect(sandbox)
    ids = sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))
    counts = 0

    def change(received: Any, page: dict[str, Any]) -> dict[str, Any]:
        nonlocal counts
        if received.query.get("max_results") != "1":
            if ids[-1] in [row["_id"] for row in sandbox.rows(SPECIFICATIONS)]:
                sandbox.delete(SPECIFICATIONS, ids[-1])
            return page
        counts += 1
        return {**page, "_meta": {**page["_meta"], "total": ROWS}} if counts == 1 else page

    sandbox.override(page=change)
    extraction = amili.payout_specifications.extract()
    assert sorted([record.id async for record in extraction]) == ids[:-1]
    assert counts == 2
    assert extraction.manifest.count_after == ROWS - 1
    assert extraction.manifest.verdict is Verdict.DRIFTED
