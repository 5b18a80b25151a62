"""`since=` and sweep: changes after an earlier extraction are delivered once, and the manifest does not grow."""

from collections.abc import Iterable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest

from amili_async import AmiliClient, field
from amili_async.errors import ConfigurationError
from amili_async.extraction import Checkpoint, Extraction, Manifest, Verdict
from amili_async.extraction.checkpoint import MAX_RECENT_VERSIONS
from amili_async.sandbox import Sandbox
from tests.support.clocks import HastyClock
from tests.support.rows import SPECIFICATIONS, count_pages, fill, make_id, make_row, spread_evenly
from tests.support.starting import Connect, StartSandbox

ROWS = 250


Version = tuple[str, str]
"""Id and etag."""


async def read_versions(extraction: Extraction[Any]) -> list[Version]:
    """The version of each record."""
    return [(record.id, record.etag) async for record in extraction]


def versions(sandbox: Sandbox, ids: Iterable[str]) -> list[Version]:
    """The current versions of these rows, in order."""
    wanted = set(ids)
    return sorted((row["_id"], row["_etag"]) for row in sandbox.rows(SPECIFICATIONS) if row["_id"] in wanted)


class Follower:
    """A consumer that repeatedly extracts what changed since its last manifest, which it keeps as text."""

    def __init__(self, amili: AmiliClient, where: Any = None) -> None:
        self._amili = amili
        self._where = where
        self._kept: str | None = None
        self.latest: Manifest | None = None

    async def update(self) -> list[Version]:
        since = None if self._kept is None else Manifest.from_json(self._kept)
        extraction = self._amili.payout_specifications.extract(self._where, since=since)
        taken = await read_versions(extraction)
        self.latest = extraction.manifest
        self._kept = extraction.manifest.to_json()
        return sorted(taken)

    @property
    def size(self) -> int:
        return len(self._kept or "")


@pytest.fixture
async def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    """A sandbox with rows of the years before."""
    sandbox = await start_sandbox(specifications=0)
    fill(sandbox, spread_evenly(ROWS))
    return sandbox


def insert_ago(sandbox: Sandbox, clock: HastyClock, seconds: float, place: int = 1) -> str:
    """Insert a row now, dated so many seconds ago."""
    return sandbox.insert(SPECIFICATIONS, make_row(make_id(int(clock.wall() - seconds), place)))


def update_ago(sandbox: Sandbox, clock: HastyClock, row_id: str, seconds: float, **changes: Any) -> None:
    """Change a row now, dated so many seconds ago."""
    moment = datetime.fromtimestamp(int(clock.wall() - seconds), UTC)
    sandbox.update(SPECIFICATIONS, row_id, {"_updated": moment, **changes})


async def test_created_and_changed_rows_are_delivered(sandbox: Sandbox, connect: Connect, clock: HastyClock) -> None:
    """New and changed rows are delivered once, as they are now; unchanged ones are not, and cost no request."""
    follower = Follower(await connect(sandbox))
    assert len(await follower.update()) == ROWS
    bound = follower.latest.bound if follower.latest else None
    assert await follower.update() == []
    await clock.move(3600)
    changed = [row["_id"] for row in sandbox.rows(SPECIFICATIONS)[10:200:17]]
    for row_id in changed:
        sandbox.update(SPECIFICATIONS, row_id, {"amount": 7})
    created = [sandbox.insert(SPECIFICATIONS, {"amount": place}) for place in range(3)]
    await clock.move(3600)
    sandbox.requests.clear()
    assert await follower.update() == versions(sandbox, changed + created)
    assert count_pages(sandbox) <= 2
    assert follower.latest is not None
    assert follower.latest.verdict is Verdict.COMPLETE
    assert follower.latest.since is not None
    assert bound is not None
    assert follower.latest.since >= bound
    await clock.move(3600)
    assert await follower.update() == []


async def test_a_delivered_row_is_delivered_again_only_if_it_changed(
    sandbox: Sandbox, connect: Connect, clock: HastyClock
) -> None:
    """Rows changed shortly before the bound are fetched again, and left out unless their version changed."""
    follower = Follower(await connect(sandbox))
    ids = [row["_id"] for row in sandbox.rows(SPECIFICATIONS)]
    await clock.move(3600)
    for row_id in ids[:20]:
        update_ago(sandbox, clock, row_id, 60, amount=1)
    assert len(await follower.update()) == ROWS
    await clock.move(120)
    assert await follower.update() == []
    assert follower.latest is not None
    assert (follower.latest.rows, follower.latest.already_delivered, follower.latest.distinct) == (0, 20, 20)
    assert follower.latest.verdict is Verdict.COMPLETE
    for row_id in ids[:5]:
        sandbox.update(SPECIFICATIONS, row_id, {"amount": 2})
    await clock.move(20)
    assert await follower.update() == versions(sandbox, ids[:5])
    assert (follower.latest.rows, follower.latest.already_delivered) == (5, 15)
    await clock.move(20)
    assert await follower.update() == []


async def test_it_looks_back_five_minutes_and_no_further(sandbox: Sandbox, connect: Connect, clock: HastyClock) -> None:
    """Of the rows stored late, those dated in the five minutes before the earlier bound are fetched."""
    follower = Follower(await connect(sandbox))
    await clock.move(3600)
    await follower.update()
    assert follower.latest is not None
    assert follower.latest.bound is not None
    second = int(follower.latest.bound.timestamp()) - 300
    for place, moment in enumerate((second - 1, second)):
        row = make_row(make_id(second - 86_400, place), _updated=datetime.fromtimestamp(moment, UTC))
        sandbox.insert(SPECIFICATIONS, row)
    assert [row_id for row_id, _ in await follower.update()] == [make_id(second - 86_400, 1)]


async def test_rows_stored_late_are_found(sandbox: Sandbox, connect: Connect, clock: HastyClock) -> None:
    """A row stored after an extraction, but dated up to five minutes before its bound, is delivered by the next."""
    follower = Follower(await connect(sandbox))
    await clock.move(3600)
    on_time = insert_ago(sandbox, clock, 200, place=5)
    assert len(await follower.update()) == ROWS + 1
    late = [insert_ago(sandbox, clock, seconds) for seconds in (11, 60, 300)]
    await clock.move(30)
    assert await follower.update() == versions(sandbox, late)
    later = insert_ago(sandbox, clock, 250, place=9)
    await clock.move(30)
    assert await follower.update() == versions(sandbox, [later])
    assert on_time not in late


async def test_changes_around_the_bound_are_not_lost(sandbox: Sandbox, connect: Connect, clock: HastyClock) -> None:
    """Each version that lasts is delivered, even if it was made close to an extraction."""
    follower = Follower(await connect(sandbox))
    held = dict(await follower.update())
    ids = sorted(held)
    for number in range(40):
        sandbox.update(SPECIFICATIONS, ids[number], {"amount": number})
        sandbox.insert(SPECIFICATIONS, {"amount": number})
        await clock.move(number % 13)
        held |= dict(await follower.update())
        await clock.move(number % 7)
    await clock.move(60)
    held |= dict(await follower.update())
    assert sorted(held.items()) == versions(sandbox, (row["_id"] for row in sandbox.rows(SPECIFICATIONS)))
    assert len(held) == ROWS + 40


async def test_a_version_is_delivered_once(sandbox: Sandbox, connect: Connect, clock: HastyClock) -> None:
    """Frequent extractions deliver no version twice."""
    follower = Follower(await connect(sandbox))
    seen = await follower.update()
    ids = sorted(row_id for row_id, _ in seen)
    for number in range(30):
        sandbox.update(SPECIFICATIONS, ids[number % 9], {"amount": number})
        sandbox.insert(SPECIFICATIONS, {"amount": number})
        await clock.move(17)
        seen += await follower.update()
    assert len(set(seen)) == len(seen)


async def test_the_manifest_does_not_grow(sandbox: Sandbox, connect: Connect, clock: HastyClock) -> None:
    """After many rounds the manifest is as large as after a few: it has the versions of the last five minutes only."""
    follower = Follower(await connect(sandbox))
    await clock.move(3600)
    sizes = []
    for number in range(40):
        for place in range(5):
            insert_ago(sandbox, clock, 40 + place, place=number * 10 + place)
        await follower.update()
        sizes.append(follower.size)
        await clock.move(100)
    settled = sizes[10]
    assert max(sizes[10:]) <= settled * 1.2 + 40
    assert settled <= 3000


async def test_since_accepts_a_finished_checkpoint(sandbox: Sandbox, connect: Connect, clock: HastyClock) -> None:
    """The checkpoint of a finished extraction can replace its manifest; that of an unfinished one raises."""
    amili = await connect(sandbox)
    first = amili.payout_specifications.extract()
    async with aclosing(first.batches()) as batches:
        await anext(batches)
        unfinished = (first.checkpoint, first.manifest)
    for each in unfinished:
        with pytest.raises(ConfigurationError, match="not finished"):
            amili.payout_specifications.extract(since=each)
    await read_versions(first)
    await clock.move(600)
    created = sandbox.insert(SPECIFICATIONS, {"amount": 1})
    await clock.move(60)
    kept = Checkpoint.from_json(first.checkpoint.to_json())
    assert [each for each, _ in await read_versions(amili.payout_specifications.extract(since=kept))] == [created]


async def test_an_incremental_extraction_can_be_resumed(sandbox: Sandbox, connect: Connect, clock: HastyClock) -> None:
    """With both since and checkpoint it resumes; with one of them alone, or another, it raises."""
    amili = await connect(sandbox, page_size=10)
    first = amili.payout_specifications.extract()
    await read_versions(first)
    since = first.manifest
    await clock.move(3600)
    changed = [row["_id"] for row in sandbox.rows(SPECIFICATIONS)[:95]]
    for row_id in changed:
        sandbox.update(SPECIFICATIONS, row_id, {"amount": 5})
    await clock.move(60)
    second = amili.payout_specifications.extract(since=since)
    taken: list[Any] = []
    async with aclosing(aiter(second)) as records:
        async for record in records:
            if len(taken) == 33:
                break
            taken.append((record.id, record.etag))
    checkpoint = Checkpoint.from_json(second.checkpoint.to_json())
    rest = amili.payout_specifications.extract(since=since, checkpoint=checkpoint)
    assert sorted(taken + await read_versions(rest)) == versions(sandbox, changed)
    assert rest.manifest.verdict is Verdict.COMPLETE
    assert rest.manifest.since == since.bound
    with pytest.raises(ConfigurationError, match="since"):
        amili.payout_specifications.extract(checkpoint=checkpoint)
    with pytest.raises(ConfigurationError, match="since"):
        amili.payout_specifications.extract(checkpoint=checkpoint, since=rest.manifest)
    await clock.move(60)
    assert await read_versions(amili.payout_specifications.extract(since=rest.manifest)) == []


async def test_since_of_another_filter_or_resource_raises(sandbox: Sandbox, connect: Connect) -> None:
    """The manifest of another filter or resource raises, and nothing is sent."""
    amili = await connect(sandbox)
    extraction = amili.payout_specifications.extract(field("article") == "capital")
    await read_versions(extraction)
    sandbox.requests.clear()
    for where in (None, field("article") == "reminder"):
        with pytest.raises(ConfigurationError, match="filter"):
            amili.payout_specifications.extract(where, since=extraction.manifest)
    with pytest.raises(ConfigurationError, match="finance--payout-specifications"):
        amili.creditor_payments.extract(field("article") == "capital", since=extraction.manifest)
    assert sandbox.requests == []


async def test_since_keeps_the_filter(sandbox: Sandbox, connect: Connect, clock: HastyClock) -> None:
    """Of the created and changed rows, only those that match the filter now are delivered."""
    follower = Follower(await connect(sandbox), field("article") == "capital")
    ids = sorted(row_id for row_id, _ in await follower.update())
    await clock.move(3600)
    sandbox.update(SPECIFICATIONS, ids[0], {"amount": 1})
    sandbox.update(SPECIFICATIONS, ids[1], {"article": "reminder"})
    created = sandbox.insert(SPECIFICATIONS, {"article": "capital"})
    sandbox.insert(SPECIFICATIONS, {"article": "reminder"})
    await clock.move(60)
    assert await follower.update() == versions(sandbox, [ids[0], created])


async def test_a_sweep_finds_what_is_gone(sandbox: Sandbox, connect: Connect, clock: HastyClock) -> None:
    """Deleted rows, and those that no longer match, are found with one request per hundred rows."""
    amili = await connect(sandbox)
    ids = sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))
    where = field("article") == "capital"
    assert await amili.payout_specifications.sweep(ids, where) == frozenset()
    deleted = {ids[0], ids[100], ids[-1]}
    for row_id in deleted:
        sandbox.delete(SPECIFICATIONS, row_id)
    sandbox.update(SPECIFICATIONS, ids[7], {"article": "reminder"})
    sandbox.requests.clear()
    assert await amili.payout_specifications.sweep(ids) == deleted
    assert count_pages(sandbox) <= 3 + 2 + 10
    assert await amili.payout_specifications.sweep(iter(ids), where) == deleted | {ids[7]}
    assert await amili.payout_specifications.sweep([]) == frozenset()
    with pytest.raises(ConfigurationError):
        await amili.payout_specifications.sweep(["no id"])


async def test_a_sweep_leaves_out_new_ids(sandbox: Sandbox, connect: Connect, clock: HastyClock) -> None:
    """A row made within the last ten seconds may not be visible yet, so its id is never reported as gone."""
    amili = await connect(sandbox)
    fresh = sandbox.insert(SPECIFICATIONS, {"amount": 1})
    missing = make_id(int(clock.wall()), 77)
    assert await amili.payout_specifications.sweep([fresh, missing]) == frozenset()
    await clock.move(60)
    assert await amili.payout_specifications.sweep([fresh, missing]) == {missing}


async def test_a_plan_has_the_cost(sandbox: Sandbox, connect: Connect, clock: HastyClock) -> None:
    """For one request a plan has rows, requests, seconds and the time of finishing, and the extraction keeps to it."""
    amili = await connect(sandbox)
    sandbox.requests.clear()
    plan = await amili.payout_specifications.plan(field("article") == "capital")
    assert count_pages(sandbox) <= 2
    assert plan.rows == ROWS
    sandbox.requests.clear()
    await read_versions(amili.payout_specifications.extract(field("article") == "capital"))
    assert plan.requests <= count_pages(sandbox) <= plan.requests + 10
    assert plan.finish is not None
    assert plan.finish.tzinfo is UTC


async def test_since_and_checkpoint_of_the_wrong_kind_raise(sandbox: Sandbox, connect: Connect) -> None:
    """An incomplete or unfinished extraction, or a value of another type: the error states which."""
    amili = await connect(sandbox)
    sandbox.override(page=lambda _, page: {**page, "_items": page["_items"][:3] + page["_items"][4:]})
    lacking = amili.payout_specifications.extract()
    await read_versions(lacking)
    sandbox.override()
    since: Any
    for since, message in (
        (lacking.manifest, "lacks rows"),
        (lacking.checkpoint, "lacks rows"),
        (amili.payout_specifications.extract().manifest, "is not finished"),
        (lacking.manifest.to_json(), "is a str"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            amili.payout_specifications.extract(since=since)
    checkpoint: Any
    for checkpoint, message in ((lacking.manifest, "must be a Checkpoint"), ("x", "is a str")):
        with pytest.raises(ConfigurationError, match=message):
            amili.payout_specifications.extract(checkpoint=checkpoint)


async def test_a_manifest_is_bounded_after_a_batch_that_changed_every_row(
    start_sandbox: StartSandbox, connect: Connect, clock: HastyClock
) -> None:
    """However many rows changed just before, the manifest is small, and the next extraction misses no change."""
    sandbox = await start_sandbox(specifications=0)
    ids = fill(sandbox, spread_evenly(6000))
    for row_id in ids:
        sandbox.update(SPECIFICATIONS, row_id, {"article": "batch"})
    await clock.move(15)
    amili = await connect(sandbox)
    follower = Follower(amili)
    assert await follower.update() == versions(sandbox, ids)
    assert follower.size < 60_000
    changed = set(ids[::7])
    for row_id in changed:
        sandbox.update(SPECIFICATIONS, row_id, {"article": "again"})
    await clock.move(15)
    taken = await follower.update()
    assert set(taken) >= set(versions(sandbox, changed))
    assert len(taken) == len(set(taken)) <= len(changed) + 6000 - MAX_RECENT_VERSIONS
    assert follower.latest is not None
    assert follower.latest.distinct == 6000
