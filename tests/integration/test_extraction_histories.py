"""Extraction while rows come, go and change between any two requests: every row that stays arrives exactly once."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from amili_async import AmiliClient
from amili_async._wire.clock import SystemClock
from amili_async.extraction import Checkpoint, Extraction, Verdict
from amili_async.sandbox import Fault, ReceivedRequest, Sandbox
from tests.support.rows import BEGINNING, SPECIFICATIONS, make_id, make_row

NOW = 1_750_000_000
PLACES = 160
STEPS = (0, 1, 86_400)
"""Seconds from one place to the next: all in one second, side by side, or spread over months."""
KINDS = ("insert", "delete", "update", "turn", "create")
CAPITAL = {"article": "capital"}


class Line(msgspec.Struct, frozen=True):
    """All that is looked at."""

    id: str


@dataclass(frozen=True)
class History:
    """What the rows are at first, what happens to them, and how they are extracted meanwhile."""

    presence: bytes
    """A bit per place: whether a row is there at first."""
    step: int
    changes: list[tuple[str, int]]
    """Kinds, and the places that they are about, in turn."""
    pace: int
    """How many changes happen before each request."""
    is_filtered: bool
    counts: bool
    """Whether the server gives totals."""
    page_size: int
    concurrency: int
    parts: int | None
    delays: list[int] = field(default_factory=list)
    """Requests that are carried out later than those sent after them."""
    stops: list[tuple[int, bool]] = field(default_factory=list)
    """After how many records the extraction is left each time, and whether it goes on from a checkpoint in JSON."""


CHANGE = st.tuples(st.sampled_from(KINDS), st.integers(0, PLACES - 1))
NO_STOPS: st.SearchStrategy[list[tuple[int, bool]]] = st.just([])


def histories(*, stops: st.SearchStrategy[list[tuple[int, bool]]] = NO_STOPS) -> st.SearchStrategy[History]:
    """Histories of up to some hundred rows and changes; many of them short, as shrinking likes them."""
    return st.builds(
        History,
        presence=st.binary(min_size=PLACES // 8, max_size=PLACES // 8) | st.binary(max_size=PLACES // 8),
        step=st.sampled_from(STEPS),
        changes=st.integers(0, 80).flatmap(lambda most: st.lists(CHANGE, min_size=most // 2, max_size=most)),
        pace=st.integers(1, 4),
        is_filtered=st.booleans(),
        counts=st.booleans(),
        page_size=st.integers(3, 7),
        concurrency=st.integers(1, 8),
        parts=st.none() | st.integers(1, 8),
        delays=st.lists(st.integers(0, 20), max_size=2),
        stops=stops,
    )


class World:
    """The rows of one history, and what became of them."""

    def __init__(self, sandbox: Sandbox, history: History) -> None:
        self._sandbox = sandbox
        self._history = history
        self._changes = iter(history.changes)
        self.rows: dict[str, str] = {}
        """The article of each row that is there."""
        self.ever: set[str] = set()
        bits = int.from_bytes(history.presence)
        for place in range(PLACES):
            if bits >> place & 1:
                self._insert(self._id_at(place))
        self.kept = {row_id for row_id, article in self.rows.items() if self._matches(article)}
        """What was there, and matched, all the time."""
        for place in history.delays:
            sandbox.fail(Fault(delay=0.002), path=SPECIFICATIONS, after=place)
        sandbox.before_each_request(self._change)
        if not history.counts:
            sandbox.override(page=lambda _, page: page | {"_meta": {"max_results": page["_meta"]["max_results"]}})

    def clear(self) -> None:
        self._sandbox.before_each_request(None)
        self._sandbox.override()
        self._sandbox.stop_failing()
        for row_id in self.rows:
            self._sandbox.delete(SPECIFICATIONS, row_id)

    def _id_at(self, place: int) -> str:
        return make_id(BEGINNING + place * self._history.step, place)

    def _matches(self, article: str) -> bool:
        return article == "capital" or not self._history.is_filtered

    def _change(self, received: ReceivedRequest) -> None:
        for _ in range(self._history.pace):
            kind, place = next(self._changes, ("", 0))
            if kind == "insert":
                self._insert(self._id_at(place))
            elif kind == "create":
                self._insert(make_id(NOW, place))
            elif kind and self.rows:
                getattr(self, f"_{kind}")(list(self.rows)[place % len(self.rows)])

    def _insert(self, row_id: str) -> None:
        if row_id not in self.rows:
            article = ("capital", "fee")[int(row_id, 16) % 3 == 0]
            self._sandbox.insert(SPECIFICATIONS, make_row(row_id, article=article))
            self.rows[row_id] = article
            self.ever.add(row_id)

    def _delete(self, row_id: str) -> None:
        self._sandbox.delete(SPECIFICATIONS, row_id)
        self.kept.discard(row_id)
        del self.rows[row_id]

    def _update(self, row_id: str) -> None:
        self._sandbox.update(SPECIFICATIONS, row_id, {"amount": len(self.rows)})

    def _turn(self, row_id: str) -> None:
        article = self.rows[row_id] = "fee" if self.rows[row_id] == "capital" else "capital"
        self._sandbox.update(SPECIFICATIONS, row_id, {"article": article})
        if not self._matches(article):
            self.kept.discard(row_id)


class StandingClock(SystemClock):
    """The server's own time, as the client's."""

    def wall(self) -> float:
        return NOW


class Stage:
    """A server, a loop and connections for all histories, since making them takes longer than a history."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.run = runner.run
        self.sandbox = Sandbox(payouts=0, specifications=0, payments=0, rate_limit=None, clock=lambda: NOW)

    async def open(self) -> None:
        await self.sandbox.start()
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def aclose(self) -> None:
        await self.session.close()
        await self.sandbox.aclose()

    def connect(self, history: History) -> AmiliClient:
        return AmiliClient(
            self.sandbox.url,
            auth=self.sandbox.token(),
            page_size=history.page_size,
            concurrency=history.concurrency,
            rate_limit=None,
            session=self.session,
            clock=StandingClock(),
        )


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Where all histories play."""
    with asyncio.Runner() as runner:
        stage = Stage(runner)
        stage.run(stage.open())
        yield stage
        stage.run(stage.aclose())


def begin(amili: AmiliClient, history: History, checkpoint: Checkpoint | None = None) -> Extraction[Line]:
    where = CAPITAL if history.is_filtered else None
    return amili.payout_specifications.extract(where, into=Line, parts=history.parts, checkpoint=checkpoint)


async def take_batches(extraction: Extraction[Line]) -> list[list[str]]:
    async with aclosing(extraction.batches()) as batches:
        return [[line.id for line in batch] async for batch in batches]


async def take_some(extraction: Extraction[Line], count: int) -> list[str]:
    """The records taken before the extraction is left; the one in hand at that moment was not."""
    taken: list[str] = []
    async with aclosing(aiter(extraction)) as records:
        async for line in records:
            if len(taken) == count:
                break
            taken.append(line.id)
    return taken


async def take_in_pieces(amili: AmiliClient, history: History) -> tuple[list[str], Extraction[Line]]:
    extraction, taken = begin(amili, history), []
    for count, by_json in history.stops:
        taken += await take_some(extraction, count)
        if by_json:
            checkpoint = Checkpoint.from_json(extraction.checkpoint.to_json())
            extraction = begin(amili, history, checkpoint)
    for batch in await take_batches(extraction):
        taken += batch
    return taken, extraction


def check(taken: list[str], world: World) -> None:
    """What must hold of every history."""
    assert len(set(taken)) == len(taken), "delivered twice"
    assert world.kept <= set(taken), "lost"
    assert set(taken) <= world.ever, "made up"
    assert all(row_id < make_id(NOW - 9, 0) for row_id in taken), "newer than the bound"


def check_manifest(taken: list[str], extraction: Extraction[Line]) -> None:
    manifest = extraction.manifest
    assert (manifest.rows, manifest.distinct, manifest.doubled) == (len(taken), len(taken), 0)
    assert extraction.checkpoint.is_finished


TOGGLED = History(
    presence=b")",
    step=0,
    changes=[("insert", 0)] * 7 + [("turn", 2)] * 2,
    pace=2,
    is_filtered=True,
    counts=False,
    page_size=3,
    concurrency=2,
    parts=None,
)
"""Rows that match, do not match when they are counted, and match again when they are looked for."""
QUIET: dict[str, Any] = {"changes": [], "pace": 1, "is_filtered": False, "counts": True, "parts": None}
THOROUGH = partial(
    settings,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@THOROUGH(max_examples=600)
@given(history=histories())
@example(history=History(presence=b"\xff" * 20, step=0, page_size=3, concurrency=8, **QUIET))
@example(history=TOGGLED)
def test_every_row_that_stays_arrives_exactly_once(stage: Stage, history: History) -> None:
    """Whatever is inserted, deleted and updated between any two requests, of what stays nothing is lost or doubled."""

    async def play(world: World) -> None:
        async with stage.connect(history) as amili:
            extraction = begin(amili, history)
            batches = await take_batches(extraction)
        taken = [row_id for batch in batches for row_id in batch]
        check(taken, world)
        check_manifest(taken, extraction)
        assert all(batch == sorted(batch) for batch in batches)
        spans = sorted((batch[0], batch[-1]) for batch in batches)
        assert all(before[1] < after[0] for before, after in pairwise(spans)), "interleaved"
        if not history.changes:
            assert extraction.manifest.verdict is Verdict.COMPLETE

    world = World(stage.sandbox, history)
    try:
        stage.run(play(world))
    finally:
        world.clear()


STOPS = st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=4)


@THOROUGH(max_examples=300)
@given(history=histories(stops=STOPS))
def test_leaving_and_going_on_loses_and_doubles_nothing(stage: Stage, history: History) -> None:
    """The same holds of what was taken before each leaving and what comes afterwards, with or without JSON between."""

    async def play(world: World) -> None:
        async with stage.connect(history) as amili:
            taken, extraction = await take_in_pieces(amili, history)
        check(taken, world)
        check_manifest(taken, extraction)

    world = World(stage.sandbox, history)
    try:
        stage.run(play(world))
    finally:
        world.clear()
