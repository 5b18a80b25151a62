"""An extraction in parts: what it costs, that the parts together are the whole, and the verdict on them."""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import product
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_async import AmiliClient, Manifest, Part, PayoutSpecification, Resource, Split, Verdict, field
from amili_async.conditions import Where
from amili_async.errors import ConfigurationError, UnreadableResponse
from amili_async.extraction import Checkpoint
from amili_async.sandbox import ReceivedRequest, Sandbox
from tests.support.exhaustive import examples, sampled
from tests.support.histories import (
    CAPITAL,
    ChangingRows,
    History,
    Line,
    SharedServer,
    check,
    histories,
    read_batches,
    read_some,
    serve_histories,
)
from tests.support.rows import (
    SPECIFICATIONS,
    count_pages,
    crowd_a_month,
    crowd_a_second,
    fill,
    make_id,
    make_row,
    spread_evenly,
)
from tests.support.starting import Connect, StartSandbox

server = pytest.fixture(scope="module")(serve_histories)

Specifications = Resource[PayoutSpecification]


async def extract(
    lines: Specifications, where: Where = None, *, part: Part | None = None, **options: Any
) -> tuple[list[str], Manifest]:
    """The ids of all records, and the manifest."""
    extraction = lines.extract(where, part=part, **options)
    ids = [line.id async for line in extraction]
    return ids, extraction.manifest


async def extract_parts(
    lines: Specifications, parts: Sequence[Part], where: Where = None, **options: Any
) -> tuple[list[str], list[Manifest]]:
    """The ids of the records of all parts, and the manifest of each."""
    done = [await extract(lines, where, part=part, **options) for part in parts]
    return [row_id for ids, _ in done for row_id in ids], [manifest for _, manifest in done]


async def open_lines(
    start_sandbox: StartSandbox, connect: Connect, ids: Sequence[str], **options: Any
) -> tuple[Sandbox, Specifications]:
    sandbox = await start_sandbox(specifications=0)
    fill(sandbox, ids)
    return sandbox, (await connect(sandbox, **options)).payout_specifications


# What it costs, and that nothing is lost


DISTRIBUTIONS = [spread_evenly, crowd_a_month, crowd_a_second]


@sampled("count, parts, distribute", list(product([0, 1, 99, 100, 250, 600, 3000], [1, 2, 3, 6, 16], DISTRIBUTIONS)))
async def test_parts_together_are_the_whole(
    count: int, parts: int, distribute: Callable[[int], list[str]], start_sandbox: StartSandbox, connect: Connect
) -> None:
    """Rows, sums and verdict are those of the whole, for two requests more and two for each part."""
    sandbox, lines = await open_lines(start_sandbox, connect, distribute(count))
    ids, whole = await extract(lines)
    sandbox.requests.clear()
    split = await lines.split(parts=parts)
    assert count_pages(sandbox) <= 2 + parts
    assert len(split.parts) == max(1, min(parts, count))
    delivered, manifests = await extract_parts(lines, split.parts)
    merged = await lines.conclude(split, manifests)
    assert (sorted(delivered), merged.rows, merged.sums) == (sorted(ids), count, whole.sums)
    assert [manifest.verdict for manifest in (*manifests, merged, whole)] == [Verdict.COMPLETE] * (len(manifests) + 2)
    assert merged.requests == count_pages(sandbox) <= whole.requests + 2 + 2 * parts
    assert [manifest.count_before for manifest in manifests] == [manifest.rows for manifest in manifests]
    assert merged.count_before == merged.count_after == count


async def test_parts_have_equal_numbers_of_rows(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Rows are cut at equal ranks in whole pages, however their dates lie."""
    _, lines = await open_lines(start_sandbox, connect, crowd_a_month(3000))
    split = await lines.split(parts=4)
    _, manifests = await extract_parts(lines, split.parts)
    assert [manifest.rows for manifest in manifests] == [800, 700, 700, 800]


async def test_a_finished_part_counts_nothing(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A part requests its own pages and no count; its counts are those of its range."""
    sandbox, lines = await open_lines(start_sandbox, connect, spread_evenly(550))
    split = await lines.split(parts=2)
    sandbox.requests.clear()
    _, manifest = await extract(lines, part=split.parts[1])
    assert (count_pages(sandbox), manifest.requests) == (3, 3)
    assert (manifest.rows, manifest.count_before, manifest.count_after) == (250, 250, None)
    assert (manifest.part, manifest.bound, manifest.verdict) == (split.parts[1].range, split.bound, Verdict.COMPLETE)


async def test_rows_past_the_bound_are_in_no_part(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Rows made after the bound are counted by the split and belong to the next extraction."""
    sandbox, lines = await open_lines(start_sandbox, connect, spread_evenly(250))
    split = await lines.split(parts=3)
    fill(sandbox, [make_id(int((split.bound + timedelta(seconds=5)).timestamp()), place) for place in range(150)])
    again = await lines.split(parts=3)
    assert (again.count_before, again.count_past_bound) == (250, 150)
    delivered, manifests = await extract_parts(lines, split.parts)
    assert len(delivered) == 250
    assert (await lines.conclude(split, manifests)).verdict is Verdict.COMPLETE


# What travels


async def test_a_split_travels_as_json_and_as_a_pickle(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Splits and parts are equal after the journey, and hold neither a value of the filter nor the token."""
    sandbox, lines = await open_lines(start_sandbox, connect, [])
    where = field("article") == "canary"
    for place in range(20):
        sandbox.insert(SPECIFICATIONS, make_row(make_id(10**9, place), article="canary"))
    split = await lines.split(where, parts=4)
    for value in (split, *split.parts):
        kind = type(value)
        assert kind.from_json(value.to_json()) == value == pickle.loads(pickle.dumps(value))  # noqa: S301 - our own
        text = value.to_json() + repr(pickle.dumps(value))
        assert "canary" not in text
        assert sandbox.token() not in text
    delivered, manifests = await extract_parts(lines, split.parts, where)
    travelled = [Manifest.from_json(each.to_json()) for each in manifests]
    merged = await lines.conclude(Split.from_json(split.to_json()), travelled, where)
    assert (len(delivered), merged.rows, merged.filter) == (20, 20, "article …")


@pytest.mark.parametrize(
    "damage",
    [
        {"range": ["0" * 24, "x"]},
        {"range": ["f" * 24, "0" * 24]},
        {"bound": "2025-06-13T08:00:00"},
        {"index": "one"},
        {"version": 7},
    ],
)
async def test_a_damaged_part_raises(damage: dict[str, Any], start_sandbox: StartSandbox, connect: Connect) -> None:
    """A range that is no range of ids would lose rows or be sent in a filter."""
    _, lines = await open_lines(start_sandbox, connect, spread_evenly(10))
    split = await lines.split(parts=2)
    fields = msgspec.json.decode(split.parts[0].to_json())
    with pytest.raises(ConfigurationError, match="this part"):
        Part.from_json(msgspec.json.encode(fields | damage))
    fields = msgspec.json.decode(split.to_json())
    damaged: list[list[Any]] = [[], fields["parts"][1:], fields["parts"][::-1]]
    for parts in damaged:
        with pytest.raises(ConfigurationError, match="this split"):
            Split.from_json(msgspec.json.encode(fields | {"parts": parts}))


# What is rejected


async def test_what_belongs_to_another_split_raises(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A part, a checkpoint or a manifest of another filter, split or `since` is never mixed with this one's."""
    sandbox, lines = await open_lines(start_sandbox, connect, spread_evenly(250))
    where = field("amount") > 5
    split, filtered = await lines.split(parts=3), await lines.split(where, parts=3)
    first, second = split.parts[:2]
    other_cut = await lines.split(parts=2)
    _, whole = await extract(lines)
    half = lines.extract(part=first)
    await read_some(half, 5)  # type: ignore[arg-type]
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: lines.extract(where, part=first), "part= belongs to another filter"),
        (lambda: lines.extract(part=filtered.parts[0]), "part= belongs to another filter"),
        (lambda: lines.extract(part=split), "part= is a Split: "),  # type: ignore[call-overload]
        (lambda: lines.extract(checkpoint=first), "checkpoint= is a Part: "),  # type: ignore[call-overload]
        (lambda: lines.extract(part=second, checkpoint=half.checkpoint), "belongs to another part"),
        (lambda: lines.extract(part=first, since=whole), r"part= was made with another since="),
        (lambda: lines.extract(since=half.manifest), "since= belongs to one part of a split"),
    ]
    for call, message in calls:
        with pytest.raises(ConfigurationError, match=message):
            call()
    _, done = await extract(lines, part=first)
    _, elsewhere = await extract(lines, part=other_cut.parts[1])
    _, also_filtered = await extract(lines, where, part=filtered.parts[0])
    sandbox.requests.clear()
    for manifests, message in (
        ([done, whole], "a manifest belongs to no part of this split"),
        ([elsewhere], "a manifest belongs to no part of this split"),
        ([also_filtered], "a manifest belongs to another filter"),
        ([half.checkpoint], "a manifest is a Checkpoint"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            await lines.conclude(split, manifests)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="the split belongs to another filter"):
        await lines.conclude(filtered, [])
    with pytest.raises(ConfigurationError, match="the split was made with another since="):
        await lines.conclude(split, [], since=whole)
    with pytest.raises(ConfigurationError, match="parts must be"):
        await lines.split(parts=0)
    assert sandbox.requests == []


async def test_a_manifest_of_another_bound_raises(start_sandbox: StartSandbox, connect: Connect, clock: Any) -> None:
    """A split of the same rows at another moment has another bound."""
    _, lines = await open_lines(start_sandbox, connect, spread_evenly(100))
    split = await lines.split(parts=1)
    clock.skip(60)
    again = await lines.split(parts=1)
    _, manifest = await extract(lines, part=again.parts[0])
    with pytest.raises(ConfigurationError, match="its bound differs"):
        await lines.conclude(split, [manifest])


async def test_a_server_that_does_not_count_cannot_be_split(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Ranks need a total; the error names what works without one."""
    sandbox, lines = await open_lines(start_sandbox, connect, spread_evenly(250))
    sandbox.override(page=lambda _, page: {name: value for name, value in page.items() if name != "_meta"})
    with pytest.raises(UnreadableResponse, match=r"no total .* use extract\(\)"):
        await lines.split(parts=3)


async def test_a_server_that_ignores_ranges_cannot_be_split(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A split is not made where a range finds none of the rows that the list shows."""
    sandbox, lines = await open_lines(start_sandbox, connect, spread_evenly(250))

    def find_nothing(request: ReceivedRequest, page: dict[str, Any]) -> dict[str, Any]:
        return page if "where" not in request.query else page | {"_items": [], "_meta": page["_meta"] | {"total": 0}}

    sandbox.override(page=find_nothing)
    with pytest.raises(UnreadableResponse, match="ignores what extract"):
        await lines.split(parts=3)


# The verdict


async def test_rows_that_are_deleted_and_inserted_at_one_rate_are_no_loss(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    """The count at the end has rows that were inserted into parts that had ended: the verdict is drifted."""
    sandbox, lines = await open_lines(start_sandbox, connect, spread_evenly(600))
    split = await lines.split(parts=3)
    ids = sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))
    _, manifests = await extract_parts(lines, split.parts[:1])
    for place in range(5):
        sandbox.delete(SPECIFICATIONS, ids[-2 - place])
        sandbox.insert(SPECIFICATIONS, {"_id": f"{int(ids[0], 16) + 1 + place:024x}"})
    _, rest = await extract_parts(lines, split.parts[1:])
    whole = await lines.conclude(split, [*manifests, *rest])
    assert (whole.rows, whole.count_after, whole.inserted_during_scan) == (595, 600, 5)
    assert whole.verdict is Verdict.DRIFTED


async def test_missing_parts_are_named(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Parts that never ran or are half done are missing; the manifest is partial, and costs no request."""
    sandbox, lines = await open_lines(start_sandbox, connect, spread_evenly(600))
    split = await lines.split(parts=4)
    _, manifests = await extract_parts(lines, split.parts[::2])
    half = lines.extract(part=split.parts[1])
    await read_some(half, 20)  # type: ignore[arg-type]
    sandbox.requests.clear()
    partial = await lines.conclude(split, [*manifests, half.manifest])
    assert (partial.missing_parts, partial.verdict, partial.is_finished) == ((1, 3), Verdict.PARTIAL, False)
    assert sandbox.requests == []
    _, rest = await extract_parts(lines, [split.parts[index] for index in partial.missing_parts])
    whole = await lines.conclude(split, [half.manifest, *manifests, *rest])
    assert (whole.missing_parts, whole.verdict, whole.rows) == ((), Verdict.COMPLETE, 600)


async def test_a_part_that_ran_twice_counts_once(start_sandbox: StartSandbox, connect: Connect) -> None:
    """Its first manifest counts, in whatever order the parts ran."""
    _, lines = await open_lines(start_sandbox, connect, spread_evenly(600))
    split = await lines.split(parts=4)
    _, manifests = await extract_parts(lines, [*split.parts, *split.parts[:2]])
    Random(5).shuffle(manifests)
    merged = await lines.conclude(split, manifests)
    assert (merged.rows, merged.verdict) == (600, Verdict.COMPLETE)


async def test_a_row_deleted_within_a_part_is_drift(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A part that has fewer rows than were counted counts them once more, and finds them deleted."""
    sandbox, lines = await open_lines(start_sandbox, connect, ids := spread_evenly(600), concurrency=1)
    split = await lines.split(parts=2)
    extraction = lines.extract(part=split.parts[0])
    taken = 0
    async for _ in extraction:
        taken += 1
        if taken == 150:
            sandbox.delete(SPECIFICATIONS, ids[280])
    assert (extraction.manifest.rows, extraction.manifest.verdict) == (299, Verdict.DRIFTED)
    _, rest = await extract(lines, part=split.parts[1])
    merged = await lines.conclude(split, [extraction.manifest, rest])
    assert (merged.rows, merged.verdict) == (599, Verdict.DRIFTED)


async def test_a_part_that_lacks_a_row_is_missing(start_sandbox: StartSandbox, connect: Connect) -> None:
    """A row that the server left out makes its part partial, although another row was inserted into another part."""
    sandbox, lines = await open_lines(start_sandbox, connect, ids := spread_evenly(600))
    split = await lines.split(parts=2)

    def lose(request: ReceivedRequest, page: dict[str, Any]) -> dict[str, Any]:
        return page | {"_items": [row for row in page["_items"] if row["_id"] != ids[50]]}

    sandbox.override(page=lose)
    _, lacking = await extract(lines, part=split.parts[0])
    sandbox.override()
    assert (lacking.rows, lacking.count_before, lacking.verdict) == (299, 300, Verdict.PARTIAL)
    sandbox.insert(SPECIFICATIONS, make_row(f"{int(ids[400], 16) + 1:024x}"))
    _, other = await extract(lines, part=split.parts[1])
    merged = await lines.conclude(split, [lacking, other])
    assert (merged.missing_parts, merged.verdict) == ((0,), Verdict.PARTIAL)
    _, repeated = await extract(lines, part=split.parts[0])
    merged = await lines.conclude(split, [lacking, other, repeated])
    assert (merged.missing_parts, merged.verdict, merged.rows) == ((), Verdict.DRIFTED, 601)


async def test_rows_inserted_and_deleted_between_parts_are_drift(start_sandbox: StartSandbox, connect: Connect) -> None:
    """The count at the end shows what no part has seen."""
    sandbox, lines = await open_lines(start_sandbox, connect, ids := spread_evenly(600))
    split = await lines.split(parts=2)
    _, manifests = await extract_parts(lines, split.parts)
    sandbox.delete(SPECIFICATIONS, ids[5])
    merged = await lines.conclude(split, manifests)
    assert (merged.verdict, merged.count_before, merged.count_after) == (Verdict.DRIFTED, 600, 599)


# Continuing


async def test_a_part_continues_from_its_checkpoint(start_sandbox: StartSandbox, connect: Connect) -> None:
    """With or without the part beside it, the checkpoint of a part delivers the rest of that part alone."""
    _, lines = await open_lines(start_sandbox, connect, spread_evenly(600))
    split = await lines.split(parts=2)
    given: list[dict[str, Any]] = [{}, {"part": split.parts[0]}]
    for options in given:
        begun = lines.extract(part=split.parts[0])
        taken = await read_some(begun, 130)  # type: ignore[arg-type]
        checkpoint = Checkpoint.from_json(begun.checkpoint.to_json())
        rest, manifest = await extract(lines, checkpoint=checkpoint, **options)
        assert (len(taken), len({*taken, *rest}), manifest.verdict) == (130, 300, Verdict.COMPLETE)
        assert manifest.part == split.parts[0].range


async def test_an_incremental_extraction_can_be_split(
    start_sandbox: StartSandbox, connect: Connect, clock: Any
) -> None:
    """The parts of a split with `since=` deliver what changed, once, and the next `since=` continues after them."""
    sandbox, lines = await open_lines(start_sandbox, connect, ids := spread_evenly(600))
    split = await lines.split(parts=3)
    _, manifests = await extract_parts(lines, split.parts)
    whole = await lines.conclude(split, manifests)
    clock.skip(3600)
    for row_id in ids[:250]:
        sandbox.update(SPECIFICATIONS, row_id, {"amount": 1})
    split = await lines.split(parts=3, since=whole)
    changed, manifests = await extract_parts(lines, split.parts, since=whole)
    merged = await lines.conclude(split, manifests, since=whole)
    assert (sorted(changed), merged.verdict, merged.rows) == (ids[:250], Verdict.COMPLETE, 250)
    with pytest.raises(ConfigurationError, match="made with another since="):
        lines.extract(part=split.parts[0])
    again, _ = await extract(lines, since=merged)
    assert again == []  # the hashes of all parts are in the manifest of the whole


# Histories


RUNS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), max_size=12)
"""Parts that run, each with the number of records after which it is left; more than there are: it runs to its end."""


async def run_parts(
    amili: AmiliClient, history: History, split: Split, runs: list[tuple[int, int]]
) -> tuple[dict[int, list[str]], list[Manifest]]:
    """Some parts run some times, then each until it is whole; the records of the first whole run of each."""
    where = CAPITAL if history.is_filtered else None
    delivered: dict[int, list[str]] = {}
    manifests: list[Manifest] = []

    async def run(part: Part, count: int) -> None:
        extraction = amili.payout_specifications.extract(where, into=Line, part=Part.from_json(part.to_json()))
        if count < 25:
            ids = await read_some(extraction, count)
        else:
            ids = [row_id for batch in await read_batches(extraction) for row_id in batch]
        if extraction.manifest.verdict is not Verdict.PARTIAL:
            delivered.setdefault(part.index, ids)
        manifests.append(extraction.manifest)

    for number, count in runs:
        await run(split.parts[number % len(split.parts)], count)
    for part in split.parts:
        while part.index not in delivered:
            await run(part, 25)
    return delivered, manifests


@examples(300, derandomize=True)
@given(history=histories(), cuts=st.integers(1, 6), runs=RUNS, seed=st.integers(0, 99))
def test_no_history_loses_or_repeats_a_row(
    server: SharedServer, history: History, cuts: int, runs: list[tuple[int, int]], seed: int
) -> None:
    """Parts run half, twice and in any order, while rows change: each row that stays is in exactly one of them."""
    history = replace(history, counts=True)

    async def run_history(table: ChangingRows) -> None:
        where = CAPITAL if history.is_filtered else None
        async with server.connect(history) as amili:
            split = await amili.payout_specifications.split(where, parts=cuts)
            delivered, manifests = await run_parts(amili, history, split, runs)
            order = list(range(len(manifests)))
            Random(seed).shuffle(order)
            merged = await amili.payout_specifications.conclude(split, manifests, where)
            shuffled = await amili.payout_specifications.conclude(split, [manifests[each] for each in order], where)
        together = [row_id for ids in delivered.values() for row_id in ids]
        check(together, table)
        assert (merged.rows, merged.missing_parts, merged.is_finished) == (len(together), (), True)
        assert shuffled.missing_parts == ()
        if not history.changes:
            assert (merged.verdict, shuffled.verdict) == (Verdict.COMPLETE, Verdict.COMPLETE)
            assert shuffled.rows == merged.rows

    table = ChangingRows(server.sandbox, history)
    try:
        server.run(run_history(table))
    finally:
        table.clear()
