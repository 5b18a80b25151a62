"""Extraction while rows are inserted, deleted and changed between any two requests.

Invariant: every row that stays is delivered exactly once.
"""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amili_async import AmiliClient
from amili_async.extraction import Checkpoint, Extraction, Verdict
from tests.support.exhaustive import examples
from tests.support.histories import (
    QUIET,
    ChangingRows,
    History,
    Line,
    SharedServer,
    begin,
    check,
    histories,
    read_batches,
    read_some,
    serve_histories,
)

server = pytest.fixture(scope="module")(serve_histories)


async def read_in_pieces(amili: AmiliClient, history: History) -> tuple[list[str], Extraction[Line]]:
    extraction, delivered = begin(amili, history), []
    for count, by_json in history.stops:
        delivered += await read_some(extraction, count)
        if by_json:
            checkpoint = Checkpoint.from_json(extraction.checkpoint.to_json())
            extraction = begin(amili, history, checkpoint)
    for batch in await read_batches(extraction):
        delivered += batch
    return delivered, extraction


def check_manifest(delivered: list[str], extraction: Extraction[Line]) -> None:
    manifest = extraction.manifest
    assert (manifest.rows, manifest.distinct, manifest.duplicates) == (len(delivered), len(delivered), 0)
    assert extraction.checkpoint.is_finished


TOGGLED = History(
    presence=b")",
    step=0,
    changes=[("insert", 0)] * 7 + [("toggle", 2)] * 2,
    pace=2,
    is_filtered=True,
    counts=False,
    page_size=3,
    concurrency=2,
    parts=None,
)
"""Rows that match, do not match while they are counted, and match again while they are requested."""


@examples(600, derandomize=True)
@given(history=histories())
@example(history=History(presence=b"\xff" * 20, step=0, page_size=3, concurrency=8, **QUIET))
@example(history=TOGGLED)
def test_every_row_that_stays_is_delivered_once(server: SharedServer, history: History) -> None:
    """No row that stays is lost or repeated, whatever is inserted, deleted and updated between any two requests."""

    async def run_history(table: ChangingRows) -> None:
        async with server.connect(history) as amili:
            extraction = begin(amili, history)
            batches = await read_batches(extraction)
        delivered = [row_id for batch in batches for row_id in batch]
        check(delivered, table)
        check_manifest(delivered, extraction)
        assert all(batch == sorted(batch) for batch in batches)
        spans = sorted((batch[0], batch[-1]) for batch in batches)
        assert all(before[1] < after[0] for before, after in pairwise(spans)), "interleaved"
        if not history.changes:
            assert extraction.manifest.verdict is Verdict.COMPLETE

    table = ChangingRows(server.sandbox, history)
    try:
        server.run(run_history(table))
    finally:
        table.clear()


STOPS = st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=4)


@examples(300, derandomize=True)
@given(history=histories(stops=STOPS))
def test_leaving_and_resuming_loses_and_repeats_nothing(server: SharedServer, history: History) -> None:
    """The same holds of the records before and after each interruption, with or without JSON in between."""

    async def run_history(table: ChangingRows) -> None:
        async with server.connect(history) as amili:
            delivered, extraction = await read_in_pieces(amili, history)
        check(delivered, table)
        check_manifest(delivered, extraction)

    table = ChangingRows(server.sandbox, history)
    try:
        server.run(run_history(table))
    finally:
        table.clear()
